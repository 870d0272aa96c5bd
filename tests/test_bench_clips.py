"""Clips in the suite: what is measured of them, peers through FFmpeg, the page that plays them."""

from __future__ import annotations

import csv
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diffcodec
from diffcodec import Clip, files

for package in ("torchmetrics", "bjontegaard", "scipy"):
    pytest.importorskip(package, reason="needs the extra bench")

import browsing  # noqa: E402
from conftest import needs_weights  # noqa: E402
from PIL import Image  # noqa: E402

from diffcodec.bench import codec_of, codecs, films, measuring, metrics, report, sources  # noqa: E402
from diffcodec.bench import run as suite  # noqa: E402

try:
    import av
except ImportError:  # the extra is not there
    av = None  # type: ignore[assignment]
needs_av = pytest.mark.skipif(av is None, reason="needs PyAV (extra video)")


def waves(frames: int = 6, height: int = 36, width: int = 50) -> np.ndarray:
    """uint8 (T, H, W, 3), that moves."""
    t, y, x = np.mgrid[:frames, :height, :width]
    every = [128 + 80 * np.sin((x - 2 * t) / (4 + c)) * np.cos(y / 6 + c) for c in range(3)]
    return np.stack(every, 3).astype(np.uint8)


def film(sampling: Any, frames: int = 4, height: int = 36, width: int = 50) -> Clip:
    rgb = waves(frames, height, width)
    if sampling == "RGB":
        return Clip((rgb,), "RGB", Fraction(25))
    y, u, v = (np.ascontiguousarray(rgb[..., c]) for c in range(3))
    if sampling == "YUV420":
        u, v = (np.ascontiguousarray(one[:, ::2, ::2]) for one in (u, v))
    return Clip((y, u, v), sampling, Fraction(25))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    np.save(root / "a.npy", waves())
    (root / "b.y4m").write_bytes(files.write_signal(film("YUV420"), "Y4M"))
    return root


def coarse(clip: np.ndarray, quality: int) -> bytes:
    """As many bytes as its quality says; it decodes to fewer levels the lower that is."""
    step = 101 - quality
    return json.dumps([clip.shape, step]).encode().ljust(64) + (clip // step * step).tobytes() + bytes(20 * quality)


def fine(data: bytes) -> np.ndarray:
    shape, _ = json.loads(data[:64])
    return np.frombuffer(data[64 : 64 + int(np.prod(shape))], np.uint8).reshape(shape)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of a lossy and a lossless codec of clips."""
    made = codec_of("x264", coarse, fine, "quality", qualities=(1, 100), medium="clip")  # by the name of the anchor
    kept = codec_of("kept", lambda clip: coarse(clip, 100), fine, "nothing", medium="clip")
    for codec in (made, kept):
        monkeypatch.setitem(codecs.BY_NAME, codec.name, codec)
    return ["x264", "kept"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with (path / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_clips_are_measured_beside_pictures(folder: Path, own: list[str], tmp_path: Path, run: Any) -> None:
    Image.fromarray(waves(1, 40, 40)[0]).save(folder / "c.png")
    (folder / "d.txt").write_text("neither")
    asked = [word for name in (*own, "jpeg", "png") for word in ("--codec", name)]
    out = tmp_path / "out"
    code, told, said = run("bench", folder, "--out", out, "--frames", 4, *asked, "--rate", 25, "--rate", 26, "--json")
    assert code == 0, said
    found = json.loads(told)
    assert found["images"] == 3 and len(found["errors"]) == 1 and "d.txt" in found["errors"][0]
    rows = rows_of(out)
    by = {(row["image"], row["codec"]) for row in rows}
    assert by == {(i, c) for i in ("a.npy", "b.y4m") for c in own} | {("c.png", "jpeg"), ("c.png", "png")}
    for row in rows:
        pixels = 1600 if row["image"] == "c.png" else 4 * 36 * 50
        samples = pixels * (1.5 if row["image"] == "b.y4m" else 3)
        assert row["frames"] == ("1" if row["image"] == "c.png" else "4")
        assert float(row["bpp"]) == pytest.approx(8 * int(row["bytes"]) / pixels, abs=1e-4)
        assert float(row["bpd"]) == pytest.approx(8 * int(row["bytes"]) / samples, abs=1e-4)
        assert (row["flicker"] == "nan") == (row["codec"] == "jpeg")
        if row["codec"] == "kept":
            assert float(row["psnr"]) == 100 and float(row["flicker"]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "1 picture and 2 clips" in page and "Lossy, 2 clips" in page and "Lossless, 1 picture" in page
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg", "", page)
    with (out / "summary.csv").open(newline="") as file:
        means = {(row["codec"], row["target_bpp"]): row for row in csv.DictReader(file)}
    assert means["kept", ""]["images"] == "2" and means["png", ""]["images"] == "1"


def test_only_what_the_folder_holds_is_measured(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(diffcodec.InputError, match="png: the folder holds nothing"):
        suite.run(str(folder), str(tmp_path / "out"), ["png"])
    with pytest.raises(diffcodec.InputError, match="pictures or clips"):
        suite.run(str(tmp_path / "in" / ".."), str(tmp_path / "other"), ["png"])


def test_frames_beyond_those_asked_for_are_not_read(folder: Path) -> None:
    source = sources.READ["clip"](folder / "a.npy", 3)
    assert source.frames == 3 and source.units == 3 * 36 * 50 and source.samples == 3 * source.units
    assert sources.READ["clip"](folder / "b.y4m", 99).samples == 4 * 36 * 50 * 3 // 2
    assert [sources.medium_of(folder / name) for name in ("a.npy", "b.y4m")] == ["clip", "clip"]
    np.save(folder / "one.npy", waves(1)[0])
    assert sources.medium_of(folder / "one.npy") == "picture"


def test_distances_of_clips() -> None:
    original = waves()
    same = sources.of_clips(original, original)
    assert same == dict(metrics.EQUAL)
    still = sources.of_clips(original + np.uint8(2), original)  # no value is near the end of its range
    assert still["flicker"] == 0 and still["psnr"] == pytest.approx(10 * np.log10(65025 / 4))
    shaken = original.copy()
    shaken[::2] += 3
    found = sources.of_clips(shaken, original)
    assert found["flicker"] == pytest.approx(3) and found["psnr"] == pytest.approx(10 * np.log10(65025 / 4.5))
    found = sources.of_clips(np.roll(original, 1, 0) // 2, original)
    assert found["swd"] > 50 and found["flicker"] > 3


def test_a_clip_codec_that_lies_is_found(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = codec_of("bad", lambda clip: coarse(clip, 50), fine, "nothing", medium="clip")
    monkeypatch.setitem(codecs.BY_NAME, "bad", bad)
    with pytest.raises(diffcodec.InputError, match="other pixels"):
        suite.run(str(folder), str(tmp_path / "out"), ["bad"])


def test_means_are_of_one_medium() -> None:
    def row(image: str, codec: str, frames: int) -> dict[str, Any]:
        values = dict.fromkeys(("bpp", "bpd", *metrics.METRICS, "encode_s", "decode_s"), "1")
        return {"image": image, "codec": codec, "frames": frames, "target_bpp": "1", **values}

    rows = [row("a", "jpeg", 1), row("b", "jpeg", 1), row("c", "x264", 9)]
    parts = {medium: report.summarise(some) for medium, some in report.by_medium(rows).items()}
    assert list(parts["picture"][0]) == ["jpeg"] and list(parts["clip"][0]) == ["x264"]
    assert not parts["picture"][2] and not parts["clip"][2]
    old = [{key: value for key, value in one.items() if key != "frames"} for one in rows[:2]]  # of a table from before
    assert list(report.by_medium(old)) == ["picture"]


# ---- peers


@needs_av
@pytest.mark.parametrize("name", films.LOSSY)
def test_lossy_peers_fit_their_rates(name: str) -> None:
    clip = film("RGB", 4, 65, 71)  # odd sides
    rates = (0.5, 2.0)
    points = list(codecs.BY_NAME[name].points(clip, rates))
    assert [point.target for point in points] == list(rates)
    errors = []
    for point in points:
        assert point.image.shape == (4, 65, 71, 3) and 8 * point.size / clip.units <= 1.02 * (point.target or 0)
        assert "crf" in point.setting
        errors.append(float(np.square(point.image.astype(float) - clip.planes[0]).mean()))
    assert errors[1] <= errors[0] < 800


@needs_av
@pytest.mark.parametrize("sampling", ["RGB", "YUV420", "YUV444"])
@pytest.mark.parametrize("name", films.LOSSLESS)
def test_lossless_peers_keep_all_samples(name: str, sampling: str) -> None:
    clip = film(sampling, 3, 64, 64)
    (point,) = codecs.BY_NAME[name].points(clip, ())
    assert 0 < point.size < clip.units * 6 and (point.image == clip.rgb()).all()
    found = films.kept(name, clip)
    assert found.size == point.size and 0 <= found.overhead < found.size
    odd = film(sampling, 2, 35, 37)
    if films.LOSSLESS[name][sampling][0].even:
        with pytest.raises(ValueError, match="even sides"):
            films.kept(name, odd)
    elif name == "ffv1":
        assert films.kept(name, odd).size


@needs_av
def test_a_peer_that_changes_samples_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = films.Peer("libx264rgb", "bgr24", {"qp": "40"}, "h264", without=films.SEI)
    monkeypatch.setitem(films.LOSSLESS["ffv1"], "RGB", [lossy])
    with pytest.raises(ValueError, match="other samples"):
        films.kept("ffv1", film("RGB", 2, 64, 64))


# ---- ours


@needs_weights
def test_ours_without_loss() -> None:
    (point,) = codecs.BY_NAME["ardm-clip"].points(film("YUV420", 2, 8, 10), ())
    assert point.image.shape == (2, 8, 10, 3) and point.size > 0


def test_our_streams_are_made_once_for_all_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffcodec.bench import ours_clips

    made: list[float] = []
    asked: list[float] = []

    def encode(frames: np.ndarray, codec: str, model: Any, *, bpp: float, **how: Any) -> bytes:
        if bpp > 4:
            raise diffcodec.InputError("the model ends there: ask for less")
        made.append(bpp)
        return bytes(int(bpp * frames.size / 24))

    def decode(data: bytes, *, realism: float, **how: Any) -> np.ndarray:
        asked.append(realism)
        return waves()

    monkeypatch.setattr(ours_clips.api, "encode", encode)
    monkeypatch.setattr(ours_clips.api, "decode", decode)
    clip = film("RGB", 6)
    for name in ("diffc-clip", "diffc-clip-mean", "diffc-clip-flow"):
        codec = codecs.BY_NAME[name]
        points = list(codec.points(clip, (2.0, 1.0, 8.0)))
        assert [point.target for point in points] == [1.0, 2.0] and codec.shares == "diffc-clip"
    assert made == [1.0, 2.0] and asked[2:] == [0.0, 0.0, 1.0, 1.0]
    assert codecs.find("diffc-clip-mean@3:mine.safetensors") is not None


# ---- the page

_LOOKS = """
addEventListener("load", () => setTimeout(() => {
  const seen = [$("player").hidden, $("frame").max];
  $("frame").value = 2;
  $("frame").oninput();
  seen.push($("left").style.transform, $("right").style.transform, $("at").textContent);
  seen.push($("stage").clientHeight / $("stage").clientWidth, $("left").naturalHeight);
  $("picture").value = "c.png";
  $("picture").onchange();
  seen.push($("player").hidden, $("left").style.transform);
  document.body.dataset.seen = JSON.stringify(seen);
}, 500));
"""


def test_the_page_plays_clips(folder: Path, own: list[str], tmp_path: Path) -> None:
    browsing.browser()
    Image.fromarray(waves(1, 40, 40)[0]).save(folder / "c.png")
    out = tmp_path / "out"
    suite.run(str(folder), str(out), [own[0], "jpeg"], [25, 26])
    assert (measuring.SHOWN, metrics.EQUAL["flicker"]) == (32, 0)
    text = (out / "report.html").read_text(encoding="utf-8")
    views = json.loads(re.search(r"const views = (.*), drawn = ", text)[1])  # type: ignore[index]
    views = {name: views[name] for name in sorted(views)}
    text = re.sub(r"const views = .*, drawn = ", lambda _: f"const views = {json.dumps(views)}, drawn = ", text)
    hidden, last, left, right, at, shape, tall, hidden_of_picture, unmoved = browsing.seen(text, _LOOKS, out)
    assert not hidden and last == "5" and left == right == "translateY(-33.3333%)" and at == "frame 3 of 6"
    assert shape == pytest.approx(36 / 50, abs=0.02) and tall == 6 * 36
    assert hidden_of_picture and unmoved == "translateY(0%)"
