"""Pictures of 16 bits and more for `content`: those that packages bring, and those drawn and developed here."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.common import centre

Named = Iterator[tuple[str, np.ndarray]]


def fractal(side: int, slope: float, seed: int) -> np.ndarray:
    """0 to 1, (side, side), of power falling as frequency^-slope."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1
    waves = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    z = np.fft.irfft2(waves / frequency ** (slope / 2), s=(side, side))
    return (z - z.min()) / (z.max() - z.min())


def developed(name: str, noise: float, seed: int, side: int = 160) -> np.ndarray:
    """Linear light of a photograph of scikit-image at half size, with shot noise; 1 is white."""
    from skimage import data

    samples = getattr(data, name)().astype(float) / 255
    linear = np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)
    h, w = linear.shape[0] // 2, linear.shape[1] // 2
    light = linear[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1).mean((1, 3)).squeeze()
    grain = np.random.default_rng(seed).normal(size=light.shape)
    return centre(light + grain * np.sqrt(np.abs(light) * noise + noise**2), side)


def levels(light: np.ndarray, most: int = 65535, gamma: float = 1.0) -> np.ndarray:
    """uint16, 0 to ``most``."""
    return np.rint(np.clip(light, 0, 1) ** (1 / gamma) * most).astype(np.uint16)


def _dicom(*names: str) -> Named:
    try:
        import imagecodecs
        import pydicom
        from pydicom.encaps import generate_frames
    except ImportError as error:
        print(f"left out: {error.name} is not installed")
        return
    folder = os.path.join(os.path.dirname(pydicom.__file__), "data", "test_files")
    for name in names:
        found: Any = pydicom.dcmread(os.path.join(folder, name), force=True)
        if found.file_meta.TransferSyntaxUID.is_compressed:
            samples = imagecodecs.jpeg2k_decode(next(generate_frames(found.PixelData, number_of_frames=1)))
        else:
            kind = "<i2" if found.PixelRepresentation else "<u2"
            samples = np.frombuffer(found.PixelData, kind).reshape(found.Rows, found.Columns)
        yield name.removesuffix(".dcm"), centre(np.array(samples), 320)


def ct() -> Named:
    """Computed tomography: two scans of pydicom, and a drawn slice: organs, noise of the beam, no value outside."""
    yield from _dicom("CT_small.dcm", "J2K_pixelrep_mismatch.dcm")
    y, x = np.mgrid[-1 : 1 : 192j, -1 : 1 : 192j]
    for seed, grain in ((1, 12), (2, 30)):
        body = 40 + 60 * (fractal(192, 3, seed) > 0.5) + 900 * (np.hypot(x - 0.3, y) < 0.15) + 20 * fractal(192, 2, 9)
        slice_ = np.where(np.hypot(x, 1.3 * y) < 0.9, body, -1000)
        noisy = slice_ + np.random.default_rng(seed).normal(0, grain, slice_.shape)
        yield f"drawn-{grain}", np.where(np.hypot(x, y) < 1, np.rint(noisy), -2000).astype(np.int16)


def mr() -> Named:
    """Magnetic resonance: pydicom, matplotlib, nibabel."""
    yield from _dicom("MR_small.dcm", "examples_overlay.dcm")
    from matplotlib import cbook

    with gzip.open(cbook.get_sample_data("s1045.ima.gz", asfileobj=False)) as file:
        yield "s1045", np.frombuffer(file.read(), np.uint16).reshape(256, 256).copy()
    try:
        import nibabel
    except ImportError:
        print("left out: nibabel is not installed")
        return
    path = os.path.join(os.path.dirname(nibabel.__file__), "tests", "data", "example4d.nii.gz")
    volume: Any = nibabel.load(path)  # type: ignore[attr-defined]
    yield "example4d", np.ascontiguousarray(volume.dataobj.get_unscaled()[:, :, 12, 0])


def heights() -> Named:
    """Height maps in metres and in 65 536 steps."""
    from matplotlib import cbook

    with np.load(cbook.get_sample_data("jacksboro_fault_dem.npz", asfileobj=False)) as z:
        yield "jacksboro", z["elevation"].astype(np.int16)
    with np.load(cbook.get_sample_data("topobathy.npz", asfileobj=False)) as z:
        yield "topobathy", z["topo"]
    yield "smooth", levels(fractal(192, 3.2, 1), 40_000)
    yield "rough", levels(fractal(192, 2.4, 2), 9000)


def disparity() -> Named:
    """A stereo pair's, with holes: in 256ths, in 16ths."""
    import skimage.data

    with np.load(os.path.join(os.path.dirname(skimage.data.__file__), "motorcycle_disp.npz")) as z:
        found = z["arr_0"][100:292, 200:392]
    known = np.isfinite(found)
    yield "256ths", np.where(known, np.rint(256 * np.where(known, found, 0)), 0).astype(np.uint16)
    yield "16ths", np.where(known, np.rint(16 * np.where(known, found, 0)), 0).astype(np.uint16)


def grey() -> Named:
    """Photographs of 16, 14 and 12 bits."""
    for number, name in enumerate(("camera", "moon", "grass")):
        yield name, levels(developed(name, 3e-5, number))
    yield "camera-14-bit", levels(developed("camera", 3e-5, 6), 16383)
    yield "moon-12-bit-shifted", levels(developed("moon", 1e-5, 7), 4095, 2.2) << 4


def colour() -> Named:
    """Photographs: linear and not, of much light and little; some that were of 12 or 8 bits before."""
    for number, (name, noise) in enumerate((("chelsea", 2e-6), ("coffee", 1e-4), ("astronaut", 5e-6))):
        yield name, levels(developed(name, noise, number, 128))
        yield f"{name}-gamma", levels(developed(name, noise, number, 128), gamma=2.2)
    yield "rocket-12-bit-shifted", levels(developed("rocket", 2e-5, 8, 128), 4095, 2.2) << 4
    from skimage import data

    yield "retina-8-bit-linear", levels((centre(data.retina(), 128) / 255.0) ** 2.2)


def high_range() -> Named:
    """Linear light as floats: of 16 bits, of 32 that are of 16 or whole, of 32."""
    for name, noise in (("coffee", 1e-6), ("rocket", 1e-5)):
        light = 4 * developed(name, noise, 9, 128)
        yield f"{name}-half", light.astype(np.float16)
        yield f"{name}-half-as-float", light.astype(np.float16).astype(np.float32)
    yield "coffee-float", (4 * developed("coffee", 1e-6, 9, 96)).astype(np.float32)
    yield "rocket-whole-as-float", np.rint(20_000 * developed("rocket", 1e-5, 9, 96)).astype(np.float32)


WIDE = {
    "CT": ct,
    "MR": mr,
    "height maps": heights,
    "disparity": disparity,
    "16-bit grey": grey,
    "16-bit colour": colour,
    "HDR": high_range,
}
