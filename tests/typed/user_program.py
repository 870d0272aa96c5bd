"""A user's program that calls all that is public, for a type checker: `mypy --strict` passes on it, nobody runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader

import diffcodec

Samples = NDArray[np.generic]


def progress(fraction: float) -> None:
    print(f"{fraction:.0%}")


def streams(picture: NDArray[np.uint8], path: Path) -> Samples:
    data: bytes = diffcodec.encode(picture, progress=progress)
    diffcodec.encode(Image.fromarray(picture), "diffc", bpp=0.5, effort=5, device="cpu", strip="all")
    diffcodec.encode(picture, progressive=False)
    diffcodec.encode(picture, given=diffcodec.Prompt("a house"), prompt=None, threads=1, seed=3)
    base: diffcodec.Base = diffcodec.base_of(picture, 4, bpp=0.2)
    small: diffcodec.Base | diffcodec.File = diffcodec.base_of(picture, 4, bpp=0.2, form="webp")
    files: list[bytes] = diffcodec.given_files(diffcodec.encode(picture, "diffc", given=small))
    diffcodec.encode(picture, "diffc", given=[base, diffcodec.File(files[0]), diffcodec.Outside(picture, "depth")])
    back: Samples = diffcodec.decode(data, upto_bytes=100, realism=0.5, progress=progress)
    diffcodec.decode(path, reconstruction="mean")
    with path.open("rb") as file:
        diffcodec.decode(file)
        for preview in diffcodec.decode_progressive(file, reconstruction="flow"):
            shown: Samples = preview.image
            rate: float = preview.bpp
            print(shown.shape, rate, preview.bytes_read, preview.complete, preview.frame)
    thumbnail: Samples = diffcodec.decode(data, size=(320, 200))
    print(thumbnail.shape, diffcodec.decode(data, size=64).shape)
    every: list[Samples] = diffcodec.decode_sequence(data)
    left: diffcodec.Concealed = diffcodec.decode_concealed(data)
    print(left.lost, left.known.mean(), left.passes, left.signal.mode, len(every))
    return back


def pushed(pieces: list[bytes]) -> Samples:
    decoder = diffcodec.PushDecoder(realism=0.5, device="cpu")
    for piece in pieces:
        for preview in decoder.feed(piece):
            print(preview.bytes_read)
    return decoder.close()


async def awaited(pieces: AsyncIterator[bytes]) -> None:
    async for preview in diffcodec.decode_async(pieces, reconstruction="mean"):
        print(preview.image.shape)


def clips(groups: list[diffcodec.Clip]) -> None:
    data = b"".join(diffcodec.encode_groups(groups, frames=[one.shape[0] for one in groups], device="cpu", effort=5))
    for group in diffcodec.decode_groups(data, frames=slice(0, 8), threads=1):
        print(group.shape, group.rate)
    print(diffcodec.decode(data, frames=slice(0, 8)).shape)


def signals(data: bytes) -> None:
    signal = diffcodec.decode_signal(data, frames=True)
    print(signal.mode, signal.array.shape, len(signal.following))
    picture: diffcodec.Picture = diffcodec.decode_signal(data, medium="picture")
    image: Image.Image = picture.to_pillow()
    clip: diffcodec.Clip = diffcodec.decode_signal(data, medium="clip")
    tracks: diffcodec.Tracks = diffcodec.decode_signal(data, medium="tracks")
    later: diffcodec.Tracks = diffcodec.decode_signal(data, medium="tracks", frames=slice(16, 32), threads=1)
    tokens: diffcodec.Tokens = diffcodec.decode_signal(data, medium="tokens")
    print(image.size, clip.mode, tracks.mode, later.mode, tokens.mode)
    diffcodec.encode(picture)


def told(data: bytes) -> int:
    found = diffcodec.inspect(data, partial=True)
    width: int = found["width"]
    codec: str = found["codec"]
    model: str | None = found["model"]
    ends: list[int] = [one["end"] for one in found["passes"]]
    memory: int = found["decode_cost"]["memory_bytes"]
    most: float = found["decode_cost"]["budget"]
    print(codec, model, ends, memory, most, found["bpp"], found["metadata"].get("exif", 0), found["digest"])
    return width


def archives(pictures: list[NDArray[np.uint8]]) -> None:
    data: bytes = diffcodec.encode_archive(pictures, "photo-ardm", names=["a", "b"], jobs=2)
    whole: list[Samples] = diffcodec.decode_archive(data, groups=[0])
    some: list[Samples | None] = diffcodec.decode_archive(data, damaged="skip")
    found = diffcodec.inspect_archive(data)
    names: list[str] = found["names"]
    sizes: list[int] = [group["bytes"] for group in found["groups"]]
    with diffcodec.open_picture("http://127.0.0.1/a.dfca", "a") as file:
        print(next(diffcodec.decode_progressive(file)).bpp)
    print(len(whole), len(some), names, sizes, found["steps"])


def dataset(path: Path) -> None:
    pictures = diffcodec.ArchiveDataset(path, lambda array: array.astype(np.float32), kept=2)
    for batch in DataLoader(pictures, batch_sampler=pictures.batches(4, seed=0)):
        print(batch, len(pictures))


def files(folder: Path) -> None:
    for one in diffcodec.encode_files(folder, folder / "out", recursive=True, jobs=2, bpp=0.5, effort=3):
        status: str = one.status
        print(status, one.source, one.target, one.output_bytes, one.error, one.facts.get("mode"))
    for one in diffcodec.encode_files("a.png", codec="diffc", max_bytes=900, given=diffcodec.Prompt("a"), group=None):
        print(one.seconds)
    list(diffcodec.encode_files([folder / "b.png"], psnr=30, calls=9, tune=True, seed=1, chained=1, prompt="b"))
    for one in diffcodec.decode_files({folder / "a.dfc": folder / "a.png"}, skip_existing=True):
        print(one.warnings, one.deleted)


def restored(picture: NDArray[np.uint8], known: NDArray[np.bool_]) -> None:
    one: Samples = diffcodec.restore(picture, "enlarge", scale=4)
    several: list[Samples] = diffcodec.restore(picture, "extend", margins=(1, 2, 3, 4), samples=3)
    drawn: Samples = diffcodec.inpaint(picture, known, "cifar10-oa", seed=1)
    print(one.shape, len(several), drawn.shape)


def models(provider: Any, picture: NDArray[np.uint8], path: Path) -> None:
    diffcodec.register_model("mine", provider)
    told = diffcodec.calibrate("mine", [picture], loss=0.02, out=path, overwrite=True, progress=progress)
    calls: float = told["plans"][0]["calls"]
    print(calls, told["file"], diffcodec.encode(picture, "diffc", "mine", bpp=1, calibration=path))
    for card in diffcodec.list_models():
        name: str = card["name"]
        codecs: list[str] = card["default_for"]
        print(name, codecs, card["bytes"], card["fingerprint"], card["description"])


def safe(data: bytes) -> Samples | None:
    try:
        return diffcodec.decode(data, budget=0.1, max_pixels=2**24)
    except (diffcodec.Truncated, diffcodec.ChecksumMismatch) as error:
        print(error)
    except diffcodec.DiffcodecError as error:
        print(type(error).__name__, diffcodec.__version__)
    return None
