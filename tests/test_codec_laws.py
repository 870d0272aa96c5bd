"""Every codec keeps the laws with every model, and for every law there is a codec that breaks it and is caught."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import FakeCodec, FakeModel, FakeReceiver, White, needs_weights
from test_laws import Flat, Flow, Near
from test_ordered import Counting, picture_model, token_model

from diffcodec.codecs import cost
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm import lattice, ordered
from diffcodec.codecs.ardm.cost import BETWEEN, CONTEXT, LATTICE, LEARNED, NO_PHOTO, ORDERED, REFINED
from diffcodec.codecs.codec import About, Encoded, Room, Wish
from diffcodec.codecs.diffc.row import DiffC
from diffcodec.codecs.table import CODECS
from diffcodec.models import registry
from diffcodec.models.condition import Observed
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.models.operators import Box
from diffcodec.runtime import threads
from diffcodec.runtime.errors import CorruptStream, InputError
from diffcodec.testing import CodecLaws, LawBroken
from diffcodec.testing.coding import Example, framed

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"

# ---- those that keep them

#: of networks that take long: one tiny picture, a few trials
SLOW: dict[str, Any] = {"shapes": ((5, 6, 3, 1),), "rates": (Room(framed, 120),), "trials": 2, "large": None}
FEW_CALLS: dict[str, Any] = {"shapes": ((6, 7, 3, 1), (5, 4, 1, 0)), "wish": Wish(calls=4), "trials": 4, "large": None}
TOKENS: dict[str, Any] = {"shapes": ((1, 60, 1, 0), (6, 9, 1, 1)), "values": 27, "large": None}


@dataclass(frozen=True, eq=False)
class Walks(Example):
    """Rows of numbers of agents that move."""

    columns: int = 2
    places: tuple[int, int] = (0, 1)
    circles: tuple[int, ...] = ()


class WalkLaws(CodecLaws):
    """Of rows of numbers: ``shapes`` have an even width, no photo, a plane of gaps and others of a number's bytes."""

    shapes = ((20, 6, 0, 3), (1, 2, 0, 2))
    large = None
    asked = ("mixtures",)

    def example(self, height: int, width: int, photo: int, extra: int) -> Walks:
        walks = np.random.default_rng(height).integers(-3, 4, (height, width)).cumsum(0).cumsum(0) + 9 * height**2
        planes = [walks * 0, *(walks >> 8 * (extra - 2 - k) & 255 for k in range(extra - 1))]
        return Walks(np.zeros((height, width, 0), np.uint8), np.stack(planes, 2).astype(np.uint8))


#: (codec, options) by the name of a bundled model
BUNDLED: dict[str, tuple[str, dict[str, Any]]] = {
    "photo-ardm": ("ardm", {}),
    "cifar10-ardm": ("ardm", {"shapes": ((32, 32, 3, 0), (5, 9, 1, 9))}),
    "cifar10-oa": ("ardm", FEW_CALLS),
    "clip-ardm": ("ardm", {"shapes": ((33, 14, 3, 0),), "frames": 3, "sampling": "RGB", "large": None, "trials": 4}),
    "cifar10-vdm": ("diffc", SLOW),
    "clip-vdm": ("diffc", SLOW),
    "icons-text": ("diffc", SLOW),
    "photo-cond": ("diffc", SLOW),
    "photo-octaves": ("diffc", {**SLOW, "shapes": ((64, 66, 3, 0),)}),
    "photo-vdm": ("diffc", SLOW),
    "photo-vdm-exact": ("diffc", SLOW),
    "tracks-ardm": ("ardm", {"laws": WalkLaws}),
}
#: (codec, what makes the model, options) of small ones
SMALL: dict[str, tuple[Any, Callable[[], Any], dict[str, Any]]] = {
    "a stand-in": (FakeCodec(), FakeModel, {}),
    "no model": (
        CODECS["ardm"],
        lambda: None,
        {"shapes": ((6, 7, 0, 2), (5, 4, 0, 9)), "large": (66, 70, 0, 1)},
    ),
    "white pixels": (CODECS["diffc"], White, {}),
    "fields of which something was observed": (
        CODECS["diffc"],
        lambda: GaussianPictures.smooth(4).given(Observed.of(CodecLaws().example(8, 12, 3, 0).photo, Box(2))),
        {"shapes": ((8, 12, 3, 0),), "given": True},
    ),
    "flat, over the lattice": (CODECS["ardm"], Flat, {}),
    "flat, with statistics": (CODECS["ardm"], Flat, {"shapes": ((12, 17, 3, 0), (9, 8, 1, 1)), "large": None}),
    "frames of a clip": (
        CODECS["ardm"],
        Flow,
        {"shapes": ((33, 14, 3, 0), (3, 1, 3, 0)), "frames": 3, "sampling": "RGB", "large": None, "trials": 9},
    ),
    "frames of half the chroma": (
        CODECS["ardm"],
        Flow,
        {"shapes": ((16, 14, 1, 0),), "frames": 2, "sampling": "YUV420", "large": None, "trials": 9},
    ),
    "near tokens, any order": (CODECS["ardm"], Near, {**TOKENS, "wish": Wish(calls=9)}),
    "digits of two, any order": (
        CODECS["ardm"],
        lambda: Counting(200, 2),
        {"shapes": ((4, 20, 1, 0),), "values": 200, "wish": Wish(calls=5), "large": None},
    ),
    "tokens in floats, any order": (CODECS["ardm"], lambda: token_model(27, 4), {**FEW_CALLS, **TOKENS}),
    "text, any order": (
        CODECS["ardm"],
        lambda: registry.load(DATA / "text-ardm", device="cpu"),
        {"shapes": ((1, 40, 1, 0),), "values": 27, "wish": Wish(calls=3), "trials": 3, "large": None},
    ),
    "pictures, any order": (CODECS["ardm"], picture_model, FEW_CALLS),
}


@cache
def suite_of(name: str) -> CodecLaws:
    """The suite of a bundled or a small model, whose examples are coded once."""
    if name in BUNDLED:
        codec, options = BUNDLED[name]
        laws = options.get("laws", CodecLaws)
        options = {key: value for key, value in options.items() if key != "laws"}
        return laws.of(CODECS[codec], provider=registry.load(name, codec=codec, device="cpu"), **options)
    row, make, options = SMALL[name]
    return CodecLaws.of(row, provider=make(), **options)


@pytest.fixture
def by_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples are so small that the context coder would take them, in one pass, and statistics would not pay."""
    name = request.node.callspec.params["name"]
    if name in SMALL or name == "cifar10-oa":
        monkeypatch.setattr(ordered, "PASS_TOKENS", 16)
        real = ardm.context.encode_planes
        monkeypatch.setattr(
            ardm.context,
            "encode_planes",
            lambda planes, most=None, progress=None: bytes(10**6) if most else real(planes),
        )
    if name == "photo-ardm":
        monkeypatch.setattr(lattice, "LEARNED_PIXELS", 0)
    if name.endswith("with statistics"):
        monkeypatch.setattr(lattice, "REFINED_PIXELS", 0)
        monkeypatch.setattr(lattice, "REFINED_BYTES", -(10**6))


@needs_weights
@pytest.mark.usefixtures("by_network")
@pytest.mark.parametrize("law", CodecLaws.laws())
@pytest.mark.parametrize("name", BUNDLED)
def test_codecs_keep_the_laws_with_bundled_models(name: str, law: str) -> None:
    getattr(suite_of(name), law)()


@pytest.mark.usefixtures("by_network")
@pytest.mark.parametrize("law", CodecLaws.laws())
@pytest.mark.parametrize("name", SMALL)
def test_codecs_keep_the_laws_with_small_models(name: str, law: str) -> None:
    getattr(suite_of(name), law)()


@needs_weights
def test_every_bundled_model_is_looked_at() -> None:
    assert {card["name"] for card in registry.cards()} == {*BUNDLED}


@pytest.mark.usefixtures("by_network")
@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("no model", {NO_PHOTO}),
        ("flat, over the lattice", {LATTICE, NO_PHOTO}),
        ("flat, with statistics", {REFINED}),
        ("photo-ardm", {LEARNED, NO_PHOTO, CONTEXT}),
        ("frames of a clip", {BETWEEN}),
        ("frames of half the chroma", {BETWEEN}),
        ("near tokens, any order", {ORDERED}),
    ],
)
def test_every_method_of_ardm_is_looked_at(name: str, methods: set[int]) -> None:
    assert {case.head.params[0] for case in suite_of(name).cases} == methods


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documentation is not part of this distribution")
def test_the_codec_of_the_page_takes_forty_lines_and_keeps_the_laws() -> None:
    text = (ROOT / "docs" / "howto" / "codec.md").read_text(encoding="utf-8")
    block = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)[0]
    assert len([line for line in block.split("\n") if line.strip()]) < 40
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "codec", "exec"), names)
    CodecLaws.of(names["Rows"](), shapes=((11, 14, 3, 1), (1, 9, 1, 17), (7, 1, 0, 2), (2, 2, 3, 0))).check()


# ---- those that break one

count = iter(range(10**9))
LOSSY: dict[str, Any] = {"provider": White(), "shapes": ((5, 6, 3, 1),), "rates": (Room(framed, 150),), "trials": 2}
Broken = tuple[Any, dict[str, Any]]  # a codec, and options of the suite


def codec(base: type = FakeCodec, model: Any = None, **changes: Any) -> Broken:
    """The stand-in with other members."""
    return type("Broken", (base,), changes)(), {"provider": model or FakeModel()}


def lossy(**changes: Any) -> Broken:
    """The lossy codec with other members."""
    return type("Broken", (DiffC,), changes)(), LOSSY


def encoding(change: Callable[[Encoded], Encoded], **changes: Any) -> Broken:
    """The stand-in, where ``change`` of what is encoded comes of it."""
    return codec(encode=lambda self, *a, **o: [change(one) for one in FakeCodec.encode(self, *a, **o)], **changes)


def receiving(**changes: Any) -> Broken:
    """The stand-in, whose receiver has other members."""
    broken = type("BrokenReceiver", (FakeReceiver,), changes)
    return codec(receiver=lambda self, head, model: broken(head))


def showing(change: Callable[[Any, np.ndarray, Any], tuple[Any, Any]]) -> Broken:
    """The stand-in, where ``change`` of its receiver and the planes is shown."""
    return receiving(show=lambda self, name: change(self, *FakeReceiver.show(self, name)))


def taking_all(take_all: Callable[..., None]) -> Broken:
    return receiving(take_all=take_all)


def last_pass(change: Callable[[bytes], bytes]) -> Callable[[Encoded], Encoded]:
    return lambda one: replace(one, passes=[*one.passes[:-1], change(one.passes[-1])])


def another(data: bytes) -> bytes:
    """Other bytes at every time, which inflate to the same."""
    return data + bytes([next(count) % 256])


def telling(*fractions: float) -> Broken:
    """An encoder that tells these fractions."""

    def encode(self: Any, *given: Any, progress: Any = None, **options: Any) -> Any:
        for fraction in fractions if progress else ():
            progress(fraction)
        return FakeCodec.encode(self, *given, **options)

    return codec(encode=encode)


def stopping(then: Callable[[Exception, Any], None], marked: bool = False) -> Broken:
    """An encoder that does this where it is stopped, and whose bytes are others from then on if it is ``marked``."""

    def encode(self: Any, *given: Any, progress: Any = None, **options: Any) -> Any:
        out = FakeCodec.encode(self, *given, **options)
        try:
            progress and progress(1.0)
        except Exception as error:
            self.stopped = True
            then(error, progress)
        return [last_pass(another)(one) for one in out] if marked and self.stopped else out

    return codec(encode=encode, stopped=False)


def again(error: Exception, progress: Any) -> None:
    progress(1.0)


def raised(error: Exception, progress: Any) -> None:
    raise error


def raised_as(kind: Callable[[Exception], Exception]) -> Callable[[Exception, Any], None]:
    def raised(error: Exception, progress: Any) -> None:
        raise kind(error)

    return raised


def unsettled(error: Exception, progress: Any) -> None:
    torch.set_num_threads(torch.get_num_threads() + 1)
    raise error


def refusing(error: Exception) -> Broken:
    """Of tuning and prompts by such an error."""

    def refuse(self: Any, wish: Wish) -> None:
        FakeCodec.refuse(self, wish)
        if wish.tune:
            raise error

    return codec(refuse=refuse)


class Asked(FakeModel):
    def ask(self, what: int) -> None:
        """A network call."""


class Asking(FakeCodec):
    """Asks its model about every pass, and its receiver does: of others if ``shift`` is 1."""

    shift, told = 0, 1

    def encode(self, coded: Any, model: Any, *given: Any, **options: Any) -> Any:
        out = super().encode(coded, model, *given, **options)
        for number in range(len(out[0].passes)):
            model.ask(number)
        return out

    def receiver(self, head: Any, model: Any) -> Any:
        def take(receiver: Any, payload: bytes, progress: Any = None) -> None:
            model.ask(len(receiver.passes) + self.shift)
            FakeReceiver.take(receiver, payload)

        return type("AskingReceiver", (FakeReceiver,), {"take": take})(head)

    def cost(self, prefix: Any, reconstruction: Any = None) -> Any:
        return cost.Cost(prefix.head.pixels, self.told * len(prefix.passes)), cost.Allowance(cost.Rate(2**10))


def spoiled(self: Any, photo: np.ndarray, extra: Any) -> tuple[Any, Any]:
    """Other planes, if there was a look before all passes had come."""
    first = self.__dict__.setdefault("first", len(self.passes))
    return photo ^ np.uint8(first < len(self.passes)), extra


def careless(self: Any, name: str) -> tuple[Any, Any]:
    try:
        return FakeReceiver.show(self, name)  # type: ignore[no-any-return]
    except CorruptStream as error:
        raise ValueError(str(error)) from None


def unlike(self: Any, coded: Any, *given: Any, like: Any = None, **options: Any) -> Any:
    """Forgets what is coded where it is told how."""
    return FakeCodec.encode(self, coded if like is None else Example(coded.photo ^ 1, coded.extra), *given, **options)


def wide(self: Any, coded: Any, model: Any, wish: Wish, room: Room, **options: Any) -> Any:
    return DiffC.encode(self, coded, model, wish, room if room.exact else replace(room, size=room.size + 20), **options)


def untold(self: Any, payloads: Any, progress: Any = None) -> None:
    for payload in payloads:
        self.take(payload)


def unheard(self: Any, payloads: Any, progress: Any = None) -> None:
    untold(self, payloads)
    with contextlib.suppress(Exception):
        progress and progress(1.0)


def drawing(self: Any, *given: Any, **options: Any) -> Any:
    random.random()
    return FakeCodec.encode(self, *given, **options)


def tuning(self: Any, coded: Any, model: Any, wish: Wish, *given: Any, **options: Any) -> Any:
    if wish.tune:
        raise KeyError("tune")
    return FakeCodec.encode(self, coded, model, wish, *given, **options)


def by_threads(self: Any, *given: Any, **options: Any) -> Any:
    more = bytes(threads.limit() or 0)
    return [last_pass(lambda data: data + more)(one) for one in FakeCodec.encode(self, *given, **options)]


def costing(**changes: Any) -> Broken:
    return codec(cost=lambda self, prefix, name="flow": (cost.Cost(**{"pixels": prefix.head.pixels, **changes}), FREE))


def refused(self: Any, wish: Wish) -> None:
    raise InputError("no")


FREE = cost.NOTHING_ALLOWED
#: law -> codecs that break it
BROKEN: dict[str, list[Broken]] = {
    "test_planes_come_back": [
        showing(lambda self, photo, extra: (photo ^ np.uint8(1), extra)),
        showing(lambda self, photo, extra: (photo.astype(np.int16), extra)),
        showing(lambda self, photo, extra: (photo[:-1], extra)),
        showing(lambda self, photo, extra: (photo, None)),
        showing(lambda self, photo, extra: (photo, extra if extra is None else extra ^ np.uint8(2))),
        showing(lambda self, photo, extra: (photo, extra if extra is None else extra[1:])),
        receiving(complete=property(lambda self: False)),
        codec(encode=lambda self, *given, **options: []),
    ],
    "test_parameters_say_what_comes": [
        codec(about=lambda self, params: About(needs_model=False, lossy=True)),
        codec(about=lambda self, params: About(False), receiver=lambda self, head, model: FakeReceiver(model and head)),
        encoding(lambda one: replace(one, numerics=2)),
        encoding(lambda one: replace(one, numerics=1), about=lambda self, params: About()),
        lossy(params_bytes=5),
        lossy(about=lambda self, params: About(environment="here")),
    ],
    "test_rooms_are_kept": [lossy(encode=wide), lossy(fewest_bytes=0)],
    "test_ways_are_taken_again": [codec(encode=unlike)],
    "test_every_prefix_shows_a_picture": [
        showing(lambda self, photo, extra: (photo ^ np.uint8(255 * (len(self.passes) > 1)), extra)),
        receiving(show=lambda self, name: (self.passes[0], None)),
        receiving(show=lambda self, name: FakeReceiver.show(self, [name][len(self.passes) == 2])),
        (FakeCodec(), {"provider": FakeModel(), "given": True}),
    ],
    "test_what_is_known_is_what_was_encoded": [
        receiving(known=lambda self: np.ones(self.shape[:2], bool)),
        receiving(known=lambda self: np.zeros(self.shape[:2], bool)),
        receiving(known=lambda self: FakeReceiver.known(self)[:1]),
        receiving(known=lambda self: FakeReceiver.known(self) & (len(self.passes) != 2)),
    ],
    "test_a_receiver_mirrors_the_encoder": [
        codec(Asking, Asked(), shift=1),
        showing(lambda self, photo, extra: (photo ^ np.uint8(next(count) % 2), extra)),
        showing(spoiled),
    ],
    "test_no_pass_is_too_many": [
        receiving(take=lambda self, payload, progress=None: self.passes.append(payload)),
        receiving(
            take=lambda self, payload, progress=None: self.passes.append(payload),
            complete=property(lambda self: bool(self.passes)),
        ),
    ],
    "test_cut_passes_are_found": [encoding(last_pass(lambda data: data + b"\0")), receiving(show=careless)],
    "test_damaged_passes_are_found_or_shown": [receiving(show=careless)],
    "test_parameters_of_anyone_are_refused": [
        codec(receiver=lambda self, head, model: {bytes([head.photo]): FakeReceiver}[head.params](head)),
        codec(cost=lambda self, prefix, name="flow": (cost.Cost(prefix.head.pixels, prefix.head.params[0] * 0), FREE)),
    ],
    "test_about_answers_any_bytes": [
        codec(about=lambda self, params: About(needs_model=params[0] > 0)),
        codec(about=lambda self, params: About(environment=str(next(count)))),
        codec(about=lambda self, params: About(environment=params)),
    ],
    "test_cost_bounds_the_work": [
        costing(pixels=1), costing(plain_bytes=5), costing(network_calls=5), codec(Asking, Asked(), told=0),
    ],
    "test_progress_rises_to_one": [
        telling(), telling(0.5), telling(0.5, 0.2, 1.0), telling(-0.5, 1.0), telling(1.5, 1.0), taking_all(untold),
    ],
    "test_work_can_be_stopped": [
        stopping(lambda error, progress: None), stopping(again), stopping(unsettled), stopping(raised, marked=True),
        stopping(raised_as(lambda error: ValueError("stopped"))), stopping(raised_as(lambda error: type(error)(0))),
        taking_all(unheard),
    ],
    "test_wishes_are_refused_or_met": [
        refusing(ValueError("no")), refusing(InputError("no\nno")), codec(refuse=lambda self, wish: None),
        codec(refuse=refused), lossy(refuse=refused), codec(encode=tuning),
    ],
    "test_the_same_again": [encoding(last_pass(another)), codec(encode=drawing)],
    "test_the_seed_of_the_header_is_the_seed": [
        lossy(receiver=lambda self, head, model: DiffC.receiver(self, replace(head, seed=0), model)),
    ],
    "test_threads_change_nothing": [
        codec(encode=by_threads),
        showing(lambda self, photo, extra: (photo ^ np.uint8(threads.limit() == 3), extra)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("law", CodecLaws.laws())
def test_for_every_law_codecs_that_break_it(law: str) -> None:
    for number, (broken, options) in enumerate(BROKEN[law]):
        before = torch.get_num_threads()
        try:
            with pytest.raises(LawBroken) as error:
                getattr(CodecLaws.of(broken, **options), law)()
        except BaseException:
            print(f"number {number}")
            raise
        finally:
            torch.set_num_threads(before)
        assert str(error.value) and "\n" not in str(error.value)


def test_what_is_no_codec() -> None:
    for wrong in (object(), FakeModel(), type("Half", (), {"name": "half", "lossy": False})()):
        with pytest.raises(LawBroken, match="members are missing"):
            CodecLaws.of(wrong).check()
    with pytest.raises(LawBroken, match="make"):
        CodecLaws().check()
    with pytest.raises(LawBroken, match="the planes are others"):
        CodecLaws.of(BROKEN["test_planes_come_back"][0][0], provider=FakeModel()).check()
