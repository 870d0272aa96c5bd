"""Writes docs/files.md from the tables of `diffcodec.files`.

python -m tools.make_files_doc [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from diffcodec import files
from diffcodec.files import by_pillow, clips, tiff, video, y4m
from diffcodec.media.modes import MODES

PATH = Path(__file__).parents[1] / "docs" / "files.md"
EXTRA = "extra `files`"
#: format -> rows (samples in the file, mode, reader)
READ: dict[str, list[tuple[str, str, str]]] = {
    "npy": [("bool, uint8 to uint32, int16, int32, float16, float32", "the array's shape and type", "NumPy")],
    "PNG": [
        ("grey of 1, 8, 16 bits", "`1`, `L`, `I;16`", "Pillow"),
        ("grey of 2 and 4 bits", "`L`, times 85 and 17", "Pillow"),
        ("RGB, with or without alpha, grey and alpha, 8 bits", "`RGB`, `RGBA`, `LA`", "Pillow"),
        ("the same, 16 bits", "`RGB;16`, `RGBA;16`, `LA;16`", "pypng; sBIT is metadata"),
        ("palette", "`RGB`, `RGBA`; indices are metadata", "Pillow"),
        ("transparent colour (tRNS) of any depth", "an alpha channel of 0 and the largest value", "ours"),
    ],
    "JPEG": [
        ("8 bits", "`L`, `RGB`, `CMYK` (Adobe's inverted values turned)", "Pillow"),
        ("9 to 16 bits, lossless", "`L`, `I;16`, `RGB`, `RGB;16`, unscaled", f"imagecodecs ({EXTRA})"),
    ],
    "PNM": [
        ("PBM", "`1`", "ours"),
        ("PGM, PPM up to 255", "`L`, `RGB`, unscaled", "ours"),
        ("PGM, PPM up to 65535", "`I;16`, `RGB;16`, unscaled", "ours"),
        ("PFM", "`F`, `F[3]`", "ours"),
    ],
    "JPEG 2000": [
        ("8 bits", "`L`, `LA`, `RGB`, `RGBA`; `RGBX` if no box calls the fourth alpha", "Pillow"),
        ("other depths up to 16", "`L`, `I;16`, `RGB;16`, `RGBA;16`, `RGBX;16`, unscaled", f"imagecodecs ({EXTRA})"),
        ("signed", "`I;16S`, `I;16S[3]`, `I;16S[4]`", f"imagecodecs ({EXTRA})"),
    ],
    "AVIF": [
        ("8 bits", "`L`, `RGB`, `RGBA`", "Pillow"),
        ("10, 12 bits", "`I;16`, `RGB;16`, `RGBA;16`, unscaled", f"imagecodecs ({EXTRA})"),
    ],
    "HEIC": [
        ("8 bits", "`L`, `RGB`, `RGBA`", f"pillow-heif ({EXTRA})"),
        ("10, 12 bits", "`I;16`, `RGB;16`, `RGBA;16`, unscaled", f"pillow-heif ({EXTRA})"),
    ],
    "JPEG XL": [
        ("8 bits", "`L`, `LA`, `RGB`, `RGBA`", f"imagecodecs ({EXTRA})"),
        ("9 to 16 bits", "`I;16`, `RGB;16`, unscaled; of 16 bits `LA;16`, `RGBA;16` too", f"imagecodecs ({EXTRA})"),
        ("floats", "`F`, `F[3]`, `F;16`, `F;16[3]`", f"imagecodecs ({EXTRA})"),
    ],
    "others": [(", ".join(by_pillow.FORMATS), "Pillow's mode", "Pillow")],
}
PHOTOMETRIC = {
    **{tiff.GREY: "grey (0 or 1)", tiff.RGB: "RGB", tiff.CMYK: "CMYK", tiff.YCBCR: "YCbCr"},
    **{tiff.LAB: "CIE L\\*a\\*b\\* (8 or 9)"},
}
EXTRAS = {(): "none", (0,): "unspecified", (1,): "associated alpha", (2,): "alpha"}
SAMPLES = ("bit", "u1", "u2", "u4", "i2", "i4", "f2", "f4")
REFUSED = [
    ("bands or depths that no mode holds (TIFF of 5 bands, CMYK of 16 bits)", "no mode holds the samples of this …"),
    ("floats of 64 bits that are not exact in 32", "floats of 64 bits that 32 do not hold"),
    (
        "TIFF of 24 bits (readers differ in their order), several planes in depth, uncompressed subsampled chroma",
        "no mode holds … / 24 bits of SampleFormat 1",
    ),
    ("colour filter arrays, LogLuv, linear raw, transparency masks", "no mode holds a TIFF file of …"),
    (
        "bits that Pillow drops: SGI of 16 bits, BC6H and wide masks in DDS, scaled FITS, McIDAS",
        "Pillow would drop … / does not keep …",
    ),
    ("page descriptions: EPS, WMF", "expected a picture made of samples"),
    ("premultiplied AVIF and HEIC", "premultiplied colours"),
    ("what needs a library that is not installed", "pip install 'diffcodec[files]'"),
    ("damage of any kind", "the picture is damaged: …"),
]


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ("---",) * len(head), *rows]] + [""]


INTRODUCTION = """
`diffcodec.files.read` gives the samples that are in the file, or refuses the file by name; it never rounds, scales or
drops any. Fewer bits than the mode has are kept as they stand (a 10-bit sample is 0 to 1023); the largest value is then
kept in the metadata as `{white}`, and goes into PGM, PPM and PNG files again. Only grey of 2 and 4 bits is spread over
8, as every reader does. Orientation is kept, never applied (HEIC alone is turned by its reader, as its standard asks).
Lossy formats give what their reference decoder gives.
"""
ABOUT_TIFF = """
Depths between are held in the next type, 8-bit signed samples in 16. White-is-zero is turned (`largest - sample`); of
signed and float samples it is named in a warning instead. Palettes give `RGB`, or `RGB;16` where their 16-bit entries
are more than 8 bits; indices are metadata of the former and named in a warning for the latter. YCbCr is kept where it
was stored without loss, and is libtiff's RGB where it was compressed as JPEG or for fewer pixels (which is named).
Strips, tiles, planes, predictors, byte orders and BigTIFF make no difference.
"""
VIDEO = """
## Video

Clips are read and written by PyAV (`pip install 'diffcodec[video]'`), y4m by us. Samples are those that the decoders of
FFmpeg give, in their own format, never converted; the container is told by its first bytes, and no file that one names
is opened.

{read}
Frame rate, primaries, transfer, matrix and range are kept, of y4m the siting of chroma too. Named in a warning, and not
kept: sound, subtitles, further streams, chapters, titles; rotation, pixels that are not square, that frames are
interlaced, times of frames that are not steady. Refused by name: more than 8 bits, alpha, other chroma than 4:2:0 and
4:4:4, frames that change their size, damage. Animations of GIF, PNG, WebP and AVIF are pictures with frames.

{written}"""
CONTAINERS = {
    "mov": "mp4, mov, m4v",
    "matroska": "mkv, webm",
    "avi": "avi",
    "mpegts": "ts",
    "mpeg": "mpg",
    "ogg": "ogv",
    "flv": "flv",
}
WRITTEN_VIDEO = {
    "MKV": "FFV1, level 3",
    "MP4": "x264 without loss (qp 0), of 4:2:0 with even sides",
    "Y4M": "plain frames; its rate may be unknown",
    "NPY": "an array T×H×W×3; samples alone",
    "GIF": "to be shown: 256 colours a frame, delays in 1/100 s; what is lost is told",
}
ABOUT_WRITING = """
`read(write(x))` is `x`: samples, type, shape and mode. What a format cannot hold is refused before anything is written;
metadata without a place are named in a warning (`benchmarks/claims/round_trip.py` prints the table). GIF alone shows a
clip without keeping its samples, and the warning names what is lost.
"""


def _clips(format: str) -> list[str]:
    return [f"`{mode}`" for mode in files.FORMATS[format] or files.SHOWN[format] if mode.startswith("clip:")]


def text() -> str:
    """The whole page."""
    out = [
        "# Picture files",
        "",
        "Written by `tools/make_files_doc.py`; modes are those of [MODES.md](../bitstream_spec/MODES.md).",
        INTRODUCTION.format(white=files.pictures.WHITE),
        "## Read",
        "",
    ]
    rows = [(form.name, *row) for form in files.READERS for row in READ.get(form.name, [])]
    rows += [("TIFF", "see below", "", f"Pillow (libtiff) where it keeps all, else tifffile ({EXTRA})")]
    out += table(("format", "samples", "mode", "read by"), rows)
    out += ["TIFF, by photometric interpretation, ExtraSamples and sample type:", ""]
    tiffs = [
        (PHOTOMETRIC[photometric], EXTRAS[extra], *(f"`{modes[s]}`" if s in modes else "" for s in SAMPLES))
        for photometric, _, extra, modes in tiff.BANDS
    ]
    out += table(("bands", "further bands", *(s if s != "bit" else "1 bit" for s in SAMPLES)), tiffs)
    out += [ABOUT_TIFF.strip(), "", "Refused:", ""]
    out += table(("what", "message"), [(what, f"`{message}`") for what, message in REFUSED])
    names = ", ".join(CONTAINERS[container] for container in video.CONTAINERS)
    reading = [
        (names, ", ".join(f"`{name}`" for name in (*video.PLANAR, *video.PACKED)), "PyAV"),
        ("y4m", ", ".join(f"`C{space}`" for space in y4m.SPACES), "ours"),
        ("npy", "uint8 T×H×W×3", "NumPy"),
    ]
    writing = [(format, WRITTEN_VIDEO[format], ", ".join(_clips(format))) for format in clips.WRITERS]
    tables = {
        "read": "\n".join(table(("files", "pixel formats", "read by"), reading)),
        "written": "\n".join(table(("format", "how", "modes"), writing)),
    }
    out += [VIDEO.format(**tables).strip(), "", "## Written", ABOUT_WRITING]
    held = []
    for format, modes in files.FORMATS.items():
        if not modes:
            continue  # of those that are only shown
        ends = " ".join(end for end in files.pictures.EXTENSIONS if files.format_of(f"x{end}") == format)
        held.append((format, ends, ", ".join(f"`{mode}`" for mode in modes)))
    out += table(("format", "names", "modes"), held)
    nowhere = [mode.name for mode in MODES if not any(mode.name in modes for modes in files.FORMATS.values())]
    out += [
        f"No format holds {', '.join(f'`{name}`' for name in nowhere)}: take the array from `diffcodec.decode`.",
        "",
    ]
    return "\n".join(out)


def main() -> int:
    if "--check" in sys.argv:
        return 0 if PATH.read_text(encoding="utf-8") == text() else 1
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
