"""Work and memory are bounded before they are spent: bombs are refused, and nothing that the encoder writes is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import White, needs_weights

import diffcodec
from diffcodec.bitstream import Chunk, Header, small, write
from diffcodec.codecs import budget as budgets
from diffcodec.codecs import cost
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm import cost as ardm_cost
from diffcodec.codecs.diffc import cost as diffc_cost
from diffcodec.codecs.diffc.cost import RECONSTRUCTION_CALLS
from diffcodec.codecs.reconstruction import NAMED, Decoder
from diffcodec.entropy.context import decisions, kernels, state
from diffcodec.models import registry
from diffcodec.models.lattice import geometry
from diffcodec.runtime.errors import CorruptStream, InputError, LimitExceeded
from diffcodec.stream import progressive
from diffcodec.stream.parsed import read

SIDE = 2**14
MODELS = {"ardm": "photo-ardm", "diffc": "photo-vdm", "ordered": "cifar10-oa"}


def header(codec: int, params: bytes, model: str, width: int = SIDE, height: int = SIDE, mode: int = 3) -> Header:
    fingerprint = bytes.fromhex(next(card["fingerprint"] for card in registry.cards() if card["name"] == model))[:8]
    numerics = 2 if codec == 2 else 0
    refined = int(params[3:4] == bytes([ardm_cost.REFINED]))
    return Header(codec, numerics, width, height, mode, refined, 0, model, fingerprint, params)


def stream(head: Header, passes: list[bytes], digest: bytes | None = None) -> bytes:
    end = [] if digest is None else [Chunk("E", digest)]
    return write([Chunk("H", head.to_bytes()), *(Chunk("P", payload) for payload in passes), *end])


RGB = b"\0\0\0"  # layout: three coded planes


def lattice(width: int = SIDE, height: int = SIDE, layout: bytes = RGB, mode: int = 3) -> Header:
    sides = len(list(geometry.side_levels(height, width)))
    return header(0, layout + bytes([ardm_cost.LATTICE]) + bytes(sides), "photo-ardm", width, height, mode)


def whole_lattice(width: int, height: int) -> bytes:
    return stream(lattice(width, height), [b""] * len(geometry.pass_units(height, width)), bytes(8))


ORDERED = RGB + bytes([ardm_cost.ORDERED, 0]) + (50).to_bytes(2, "little")
DIFFC = RGB + bytes([0, 13])
BOMBS: dict[str, Callable[[], bytes]] = {
    "lattice": lambda: whole_lattice(SIDE, SIDE),
    "lattice, wide": lambda: whole_lattice(2**28, 1),
    "lattice, high": lambda: whole_lattice(1, 2**28),
    "lattice, one pass of many": lambda: stream(lattice(), [b""], bytes(8)),
    "lattice, half of the pixels": lambda: whole_lattice(SIDE, SIDE // 2),
    "lattice, a sixteenth": lambda: whole_lattice(SIDE // 4, SIDE // 4),
    "lattice, grey": lambda: stream(lattice(layout=b"\0", mode=0), [b""] * 25, bytes(8)),
    "statistics": lambda: stream(
        header(0, RGB + bytes([ardm_cost.REFINED, 1]) + bytes(9), "photo-ardm"), [b""] * 25, bytes(8)
    ),
    "diffusion": lambda: stream(header(2, DIFFC, "photo-vdm"), [b"\0\1"], b""),
    "diffusion, wide": lambda: stream(header(2, DIFFC, "photo-vdm", 2**28, 1), [b"\0\1"], b""),
    "diffusion, many passes": lambda: stream(header(2, DIFFC, "photo-vdm", 64, 64), [b"\0\1" * 21_000], b""),
    "diffusion, many chunks": lambda: stream(header(2, DIFFC, "photo-vdm", 64, 64), [b"\0\1"] * 5_000, b""),
    "any order": lambda: stream(header(0, ORDERED, "cifar10-oa"), [b""], bytes(8)),
    "any order, small stream": lambda: write([Chunk("S", small.pack(header(0, ORDERED, "cifar10-oa"), b"", bytes(8)))]),
    "any order, many calls": lambda: stream(
        header(0, RGB + bytes([ardm_cost.ORDERED, 0]) + (4096).to_bytes(2, "little"), "cifar10-oa", 256, 256),
        [b""],
        bytes(8),
    ),
}


class Nothing:
    """Stands for the registry: a bomb must not get as far as a model."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"registry.{name} was asked for before the budget")


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_any_model_is_loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = BOMBS[name]()
    monkeypatch.setattr(registry, "load", Nothing)
    refused = (LimitExceeded, CorruptStream)
    with pytest.raises(refused):
        diffcodec.decode(data)
    with pytest.raises(refused):
        list(diffcodec.decode_progressive(data))


@pytest.mark.parametrize("name", BOMBS)
def test_inspect_tells_what_is_refused(name: str) -> None:
    try:
        told = diffcodec.inspect(BOMBS[name](), partial=True)["decode_cost"]
    except CorruptStream:
        return
    allowed = told["allowed"]
    assert told["budget"] > 1
    assert any(told[what] > allowed[what] for what in allowed)


def test_a_limit_says_the_number_and_how_to_raise_it() -> None:
    data = BOMBS["diffusion, many passes"]()
    told = diffcodec.inspect(data)["decode_cost"]
    with pytest.raises(LimitExceeded) as error:
        diffcodec.decode(data)
    message = str(error.value)
    assert f"{told['network_calls']} network calls where {told['allowed']['network_calls']} are allowed" in message
    assert "\n" not in message and "4096 pixels" in message
    needed = float(message.split("a budget of ")[1].split()[0])
    assert needed >= told["budget"]
    container = read(data)
    assert budgets.affordable([container.prefix], len(data), needed)
    assert not budgets.affordable([container.prefix], len(data), 0.9 * told["budget"])
    assert budgets.affordable([container.prefix], len(data), float("inf"))


def test_prefixes_of_bombs() -> None:
    """A cut stream promises the passes to come: what a preview would fill in counts."""
    data = stream(lattice(), [b""])
    with pytest.raises(LimitExceeded, match="budget"):
        diffcodec.decode(data, upto_bytes=len(data))
    with pytest.raises(LimitExceeded):
        list(diffcodec.decode_progressive(stream(lattice(), [b""] * 25, bytes(8))))


@needs_weights
def test_a_budget_is_raised_and_lowered() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    forced = ardm.encode(photo, photo[..., :0], registry.load("photo-ardm"), method=ardm.LATTICE)
    data = stream(replace(lattice(50, 40), params=RGB + forced[0]), forced[1])
    assert diffcodec.decode(data, upto_bytes=len(data)).shape == photo.shape
    assert diffcodec.decode(data, upto_bytes=len(data), budget=float("inf")).shape == photo.shape
    with pytest.raises(LimitExceeded):
        diffcodec.decode(data, upto_bytes=len(data), budget=1e-6)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(InputError, match="budget"):
            diffcodec.decode(data, budget=wrong)
        with pytest.raises(InputError, match="budget"):
            list(diffcodec.decode_progressive(data, budget=wrong))


class Counted(White):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def predict(self, z: Any, logsnr: Any) -> Any:
        self.calls += 1
        return super().predict(z, logsnr)


def diffusion(payloads: list[bytes], side: int = 16) -> bytes:
    return stream(Header(2, 2, side, side, 3, 0, 0, White.name, White.fingerprint[:8], DIFFC), payloads, b"")


def test_previews_are_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of passes, each in a chunk of its own: the picture comes, and the previews that the bytes are worth."""
    payloads = [b"\0\1"] * 300
    data, model = diffusion(payloads), Counted()
    found, allowed = budgets.cost_of(read(data).prefix)
    most = allowed.of(found, len(data))["network_pixels"] // found.preview_pixels
    monkeypatch.setattr(progressive, "PREVIEWS", 20 / most)
    previews = list(diffcodec.decode_progressive((data[i : i + 8] for i in range(0, len(data), 8)), model=model))
    assert 10 <= len(previews) <= 21 and previews[-1].complete
    assert model.calls <= len(payloads) + RECONSTRUCTION_CALLS["flow"] * len(previews)
    assert np.array_equal(previews[-1].image, diffcodec.decode(data, model=White()))


def test_small_previews_all_come() -> None:
    payloads = [b"\0\1"] * 30
    data, model = diffusion(payloads), Counted()
    previews = list(diffcodec.decode_progressive(data, model=model))
    assert len(previews) == len(payloads) + 1 and previews[-1].complete
    assert np.array_equal(previews[-1].image, diffcodec.decode(data, model=White()))
    with pytest.raises(CorruptStream, match="no diffusion pass"):
        list(diffcodec.decode_progressive(diffusion([b"\0\1", b"", b""]), model=White()))


def honest() -> Iterator[tuple[str, np.ndarray]]:
    """Pictures that take the fewest bytes for their pixels, of every form."""
    for height, width in [(1, 1), (24, 30), (1, 300), (300, 1)]:
        y, x = np.mgrid[:height, :width]
        yield f"black {height}×{width}", np.zeros((height, width, 3), np.uint8)
        yield f"grey {height}×{width}", np.full((height, width), 128, np.uint8)
        yield f"gradient {height}×{width}", ((x + y) * 255 // (height + width)).astype(np.uint8)
        dot = np.zeros((height, width, 3), np.uint8)
        dot[height // 2, width // 2] = 255, 0, 9
        yield f"dot {height}×{width}", dot
        dark = np.random.default_rng(0).random((height, width, 3)) < 0.002
        yield f"stars {height}×{width}", dark.astype(np.uint8)
    yield "white 16 bits", np.full((500, 500, 4), 65535, np.uint16)
    yield "black floats", np.zeros((300, 300), np.float32)


@needs_weights
@pytest.mark.parametrize("model", [None, "cifar10-oa"])
def test_no_lossless_picture_is_refused(model: str | None) -> None:
    """What encode writes takes at most a tenth of the default budget (benchmarks/claims/budget.py: of large ones)."""
    for name, array in honest():
        if model is not None and array.size > 300:  # fifty calls each
            continue
        data = diffcodec.encode(array, model=model)
        told = diffcodec.inspect(data)["decode_cost"]
        assert told["budget"] <= 0.1, (name, told)
        if array.size < 20_000:
            assert np.array_equal(diffcodec.decode(data), array), name


@needs_weights
@pytest.mark.parametrize("shape", [(1600, 1600), (1500, 1600, 3), (1, 2**22), (2**22, 1)])
@pytest.mark.parametrize("level", [0])
def test_large_blank_pictures_are_cheap(shape: tuple[int, ...], level: int) -> None:
    """Black takes the lattice network no bytes at all: beyond the floor of the budget the context coder has it."""
    array = np.full(shape, level, np.uint8)
    data = diffcodec.encode(array)
    told = diffcodec.inspect(data)["decode_cost"]
    assert len(data) < 120 and told["network_calls"] == 0 and told["pixels"] == shape[0] * shape[1]
    assert np.array_equal(diffcodec.decode(data), array)


@needs_weights
def test_streams_that_would_be_refused_are_coded_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is drawn into the picture: the encoder asks the same question as the reader."""
    rates = cost.Rate(2**12), cost.Rate(2**13, 2**7), cost.Rate(2**30, 2**19)
    monkeypatch.setattr(ardm_cost, "LATTICE_ALLOWED", cost.Allowance(*rates))
    array = np.zeros((90, 90, 3), np.uint8)
    array[40, 40:60] = 3
    data = diffcodec.encode(array)
    assert diffcodec.inspect(data)["decode_cost"]["budget"] <= 1
    assert np.array_equal(diffcodec.decode(data), array)


@pytest.mark.parametrize("wish", [{"max_bytes": 150}, {"max_bytes": 3000}, {"psnr": 30}, {}])
def test_no_lossy_picture_is_refused(wish: dict[str, Any]) -> None:
    for shape in [(20, 30), (30, 40)]:
        for array in (
            np.zeros((*shape, 3), np.uint8),
            np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8),
        ):
            data = diffcodec.encode(array, "diffc", White(), **wish)
            assert diffcodec.inspect(data)["decode_cost"]["budget"] <= 0.1


def test_a_preview_of_twelve_megapixels_is_within_the_budget() -> None:
    """From the first 200 bytes of a lossy stream, with the passes that these hold in practice, and the flow."""
    head = header(2, DIFFC, "photo-vdm", 4000, 3000)
    payload = (b"\0\x80\x10" * 4 + b"\xf0\1\x80\x10" + bytes(30)) * 4
    told = diffcodec.inspect(stream(head, [payload]), partial=True)["decode_cost"]
    assert 20 + registry.shortcut_calls(head.fingerprint) == told["network_calls"]
    teacher = NAMED["flow"].by(Decoder(None, RECONSTRUCTION_CALLS["flow"]))
    for reconstruction in NAMED["mean"], NAMED["flow"], teacher:
        part = read(stream(head, [payload]), partial=True)
        assert budgets.affordable([part.prefix], 200, 0.105, reconstruction)


def context(body: bytes, width: int = SIDE, height: int = SIDE) -> bytes:
    head = Header(0, 0, width, height, 3, 0, 0, "", bytes(8), RGB + bytes([ardm_cost.CONTEXT]))
    return stream(head, [body], bytes(8))


@pytest.mark.parametrize("body", [b"\1", b"\1\0\0\0", b"\2" + b"\xff" * 100, b"\2" + bytes(range(200)), b"\4\1\0\7"])
@pytest.mark.parametrize("height", [SIDE, SIDE // 2])
def test_pictures_of_the_context_coder_that_so_few_bytes_are_not_worth(body: bytes, height: int) -> None:
    with pytest.raises(LimitExceeded, match="context-coded pixels"):
        diffcodec.decode(context(body, SIDE, height))
    with pytest.raises(LimitExceeded, match="context-coded pixels"):
        list(diffcodec.decode_progressive(context(body, SIDE, height)))


def test_planes_beside_a_photograph_count_as_well() -> None:
    """Alpha, of a stream by the network and of a lossy one."""
    side = 2**13
    for head in (
        lattice(side, side, layout=bytes(4), mode=4),
        replace(header(2, bytes([0, 13]), "photo-vdm", side, side, 4), params=bytes(4) + bytes([0, 13])),
    ):
        passes = [b""] * 40 if head.codec == 0 else [b"\1\0", b"\0\1"]
        count = len(geometry.pass_units(side, side)) + 1
        told = diffcodec.inspect(stream(head, passes[:count], bytes(8) if head.codec == 0 else b""))["decode_cost"]
        assert told["context_pixels"] == side * side


def test_a_blank_picture_is_read_at_no_cost() -> None:
    body = ardm.context.encode_planes(np.zeros((8, 8, 3), np.uint8))
    told = diffcodec.inspect(context(body))["decode_cost"]
    assert told["context_pixels"] == 0 and told["budget"] <= 0.1


def test_rows_that_repeat_end_with_the_bytes() -> None:
    """Behind the end zeros are read, which say that a row is the one before: decoding stops there, not at the rows'."""
    planes = np.zeros((2**21, 2, 1), np.uint8)
    model = state.new_model(planes, np.array([0]), decoding=True)
    data = np.zeros(1, np.uint8)
    decisions.start(model, data)
    assert kernels.code_rows(model, data, 0, False, 0, len(planes), 0) == -1
    assert model.coder[state.POSITION] == data.size + 6  # the first byte too many


def test_calls_of_many_frames() -> None:
    """Every frame has a floor of calls: some thousand small ones take more than one floor, and are honest."""
    one = read(whole_lattice(64, 64))
    told = budgets.decode_cost([one.prefix] * 2**13, 2**13 * 100)
    assert told["network_calls"] > 2**16 and told["budget"] <= 0.1


def test_a_remainder_is_no_pass() -> None:
    """The exact picture's last payload is one call, whatever its entropy-coded bytes look like."""
    noise = np.random.default_rng(0).integers(0, 8, 2**16, dtype=np.uint8).tobytes()
    head = header(2, RGB + bytes([1, 13]), "photo-vdm", 64, 64)
    told = diffcodec.inspect(stream(head, [b"\0\1" * 9, b"\0\0" + noise], bytes(8)))["decode_cost"]
    assert told["network_calls"] == 9 + 1 + registry.shortcut_calls(head.fingerprint)


@pytest.mark.parametrize("codec", ["ardm", "diffc"])
def test_encode_says_what_readers_would_refuse(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tight = cost.Allowance(cost.Rate(1), cost.Rate(1), cost.Rate(1), cost.Rate(1))
    monkeypatch.setattr(ardm_cost, "NOTHING_ALLOWED", tight)
    monkeypatch.setattr(diffc_cost, "DIFFC_ALLOWED", tight)
    array = np.random.default_rng(0).integers(0, 2, (20, 20), np.uint8) * np.uint8(255)
    given: Any = array.astype(np.int32) if codec == "ardm" else array
    with pytest.warns(UserWarning, match="give a budget of") as told:
        data = diffcodec.encode(
            given, codec, White() if codec == "diffc" else None, **{"ardm": {}, "diffc": {"psnr": 12}}[codec]
        )
    needed = float(str(told[0].message).split("a budget of ")[1].split()[0])
    with pytest.raises(LimitExceeded):
        diffcodec.decode(data, model=White())
    assert diffcodec.decode(data, model=White(), budget=needed).shape == array.shape


def test_the_page_on_security_names_tests_that_exist() -> None:
    root = Path(__file__).parents[1]
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (root / "docs/security.md").read_text())
    assert len(named) > 20
    for path, test in named:
        assert re.search(rf"^def {test}\(", (root / path).read_text(), re.M), (path, test)


def test_frames_share_the_budget() -> None:
    """Hundreds of frames of 2^20 pixels in few bytes are worth no more than their bytes and some floors."""
    frame = whole_lattice(1024, 1024)
    first = lattice(1024, 1024)
    passes = [Chunk("P", b"")] * len(geometry.pass_units(1024, 1024))
    data = write([Chunk("H", first.to_bytes()), *passes, *[Chunk("N", frame)] * 200, Chunk("E", bytes(8))])
    with pytest.raises(LimitExceeded, match="network pixels"):
        diffcodec.decode_sequence(data)
    with pytest.raises(LimitExceeded, match="network pixels"):
        list(diffcodec.decode_progressive(data))
    assert diffcodec.inspect(data)["decode_cost"]["network_pixels"] > 200 * 2**20


def test_frames_hold_no_frames() -> None:
    frame = whole_lattice(8, 8)
    for _ in range(2):
        chunks = [Chunk("H", lattice(8, 8).to_bytes()), Chunk("P", b""), Chunk("N", frame), Chunk("E", bytes(8))]
        frame = write(chunks)
    with pytest.raises(CorruptStream, match="holds frames of its own"):
        diffcodec.inspect(frame)
