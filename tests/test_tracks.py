"""Tracks by a network: they come back whatever they are, in any order, and each pass by itself."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from conftest import needs_weights
from dfc_decoder import tracks as reader
from dfc_decoder.refused import Refused
from hypothesis import given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec import Column, Tracks
from diffcodec.codecs.ardm import tracks as codec
from diffcodec.codecs.ardm.columns import LINE, PLAIN, ROUND
from diffcodec.codecs.ardm.track_plan import Further
from diffcodec.codecs.codec import Head
from diffcodec.entropy import grid, presence
from diffcodec.entropy.context.coder import encode_planes
from diffcodec.entropy.grid import GridMixtures, pop_whole, whole_intervals
from diffcodec.entropy.stack import AnsStack
from diffcodec.media.groups import joined
from diffcodec.media.medium import Walking
from diffcodec.models import registry
from diffcodec.models.tracks import prediction
from diffcodec.models.tracks.model import TracksModel
from diffcodec.models.tracks.net import TracksConfig, TracksNet
from diffcodec.models.tracks.past import LAGS, UNIT, Past
from diffcodec.models.tracks.quant import quantise
from diffcodec.runtime.errors import CorruptStream, DiffcodecError, InputError
from diffcodec.testing import LawBroken, TrackLaws


def model(config: TracksConfig = TracksConfig(16, 6, 2, 2), seed: int = 0) -> TracksModel:  # noqa: B008
    """A small network that has learned nothing."""
    torch.manual_seed(seed)
    return TracksModel(quantise(TracksNet(config)), "small", bytes(32), config.others, config.heads)


def walks(frames: int, agents: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(places int64 (T, A, 2), who is there bool (T, A)): they walk, come and go."""
    random = np.random.default_rng(seed)
    places = (random.normal(0, 3, (frames, agents, 2)).cumsum(0).cumsum(0) / 4 + 5000).astype(np.int64)
    here = np.ones((frames, agents), bool)
    for a in range(0, agents, 2):
        here[: random.integers(frames), a] = False
    here[frames // 2 : frames // 2 + 2, agents - 1] = False
    return places, here


def tracks(places: np.ndarray, here: np.ndarray, *others: np.ndarray) -> Tracks:
    values = np.concatenate([places, *(one[..., None] for one in others)], 2)
    names = ("x", "y", *(f"other {n}" for n in range(len(others))))
    missing = np.repeat(~here[..., None], len(names), 2)
    return Tracks(values, tuple(Column(name, Decimal("0.01")) for name in names), missing)


def smooth(frames: int, agents: int) -> tuple[Tracks, np.ndarray]:
    """Tracks of agents who are heavy, which a linear prediction knows; who is there bool (T, A)."""
    random, push = np.random.default_rng(0), np.zeros((frames, agents, 2))
    for t in range(1, frames):
        push[t] = 0.9 * push[t - 1] + random.normal(0, 2, (agents, 2))
    places, here = push.cumsum(0).cumsum(0).astype(np.int64) // 4, walks(frames, agents)[1]
    return tracks(places, here), here


def walking(signal: Tracks) -> Walking:
    """The form that a network codes."""
    form = signal.forms()[-1]
    assert isinstance(form, Walking)
    return form


def there_and_back(form: Walking, network: Any) -> tuple[bytes, list[bytes], np.ndarray]:
    params, passes = codec.encode(form.extra, form.columns, form.places, network, circles=form.circles)
    receiver = receiver_of(form, params, network)
    receiver.take_all(passes)
    assert receiver.complete
    extra = receiver.show()[1]
    assert extra is not None
    return params, passes, extra


def receiver_of(form: Walking, params: bytes, network: Any) -> codec.Receiver:
    height, width, count = form.extra.shape
    return codec.Receiver(Head("ardm", height, width, 0, count, params), network)


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    """But for what stands where nobody is."""
    there = wanted[..., 0] == 0
    assert (found[..., 0] == wanted[..., 0]).all() and (found[there] == wanted[there]).all()


@pytest.mark.parametrize("config", [TracksConfig(16, 6, 2, 2), TracksConfig(8, 0, 1, 1)])
def test_walks_come_back(config: TracksConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "FRAMES", 16)
    monkeypatch.setattr(codec, "STATES", 0)
    places, here = walks(50, 5)
    places[30, 1] += 10**12  # far beyond what any mixture expects
    form = walking(tracks(places, here, places[..., 0] * 3 + 1))
    _, passes, extra = there_and_back(form, model(config))
    assert len(passes) == 4
    same(extra, form.extra)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 10**6), st.integers(0, 59), st.booleans())
def test_whatever_numbers_come_back(frames: int, agents: int, seed: int, size: int, gaps: bool) -> None:
    random = np.random.default_rng(seed)
    places = random.integers(0, 2**size + 1, (frames, agents, 2))
    here = random.random((frames, agents)) < (0.6 if gaps else 1)
    forms = tracks(places, here).forms()
    if isinstance(forms[-1], Walking):  # two columns vary
        same(there_and_back(forms[-1], model())[2], forms[-1].extra)
    else:
        assert not here.any()


def test_passes_are_decoded_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "FRAMES", 8)
    monkeypatch.setattr(codec, "STATES", 0)
    form = walking(tracks(*walks(30, 4)))
    params, passes, extra = there_and_back(form, model())
    for number in (3, 1):
        part = receiver_of(form, params, model()).part(number, passes[number])
        assert (part == extra[8 * number : 8 * number + 8]).all()


def test_agents_in_another_order_take_as_much() -> None:
    places, here = walks(120, 9)
    order = np.random.default_rng(1).permutation(9)
    sizes = []
    for index in (np.arange(9), order):
        form = walking(tracks(places[:, index], here[:, index]))
        sizes.append(sum(map(len, there_and_back(form, model())[1])))
    assert abs(sizes[1] - sizes[0]) <= 0.005 * sizes[0] + 4  # the context coder's gaps have an order


def test_integers_are_the_network() -> None:
    """Up to the rounding of weights and activations."""
    torch.manual_seed(3)
    net = TracksNet(TracksConfig(32, 8, 2, 3))
    net.head.weight.data *= 10
    places, here = walks(40, 6)
    past = Past(6, prediction.KNOWN[2], 4096, 8192)
    for now, there in zip(places, here, strict=True):
        past.look(past.known(there))
        past.tell(now, there)
    known = np.flatnonzero(past.count >= 0)
    past.look(past.count >= 0)
    exact = TracksModel(quantise(net), "small", bytes(32), 8, 2).mixtures(past, known)[0]
    features, relative = (
        torch.tensor(one)[None].float() / UNIT for one in (past.features[known], past.relative(known))
    )
    with torch.no_grad():
        floats = net(features, relative, torch.ones(1, len(known), dtype=torch.bool))[0][0].numpy() * 64
    assert np.abs(exact.reshape(len(known), -1) - floats).max() < 0.02 * np.abs(floats).max() + 3


def test_displacements_that_do_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    right = GridMixtures.pop
    monkeypatch.setattr(GridMixtures, "pop", lambda self, stack: right(self, stack)[::-1])
    with pytest.raises(LawBroken, match="pop gives other displacements"):
        TrackLaws.of(model()).test_displacements_come_back()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 62), st.integers(0, 2**32))
def test_numbers_as_they_stand(width: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**width, 7)
    stack = AnsStack()
    stack.push_intervals(*whole_intervals(values, width))
    assert (pop_whole(stack, 7, width) == values).all()
    stack.finish()


def test_damaged_passes_are_refused_or_decode() -> None:
    """Nothing but our own errors, whatever the bytes."""
    form = walking(tracks(*walks(20, 4)))
    params, passes, _ = there_and_back(form, model())
    random = np.random.default_rng(0)
    outcomes = set()
    for _ in range(60):
        payload = bytearray(passes[0])
        payload[random.integers(len(payload))] ^= 1 << random.integers(8)
        try:
            receiver_of(form, params, model()).take(bytes(payload[: random.integers(1, len(payload) + 1)]))
            outcomes.add("decoded")
        except CorruptStream:
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize(
    "params",
    [
        b"\5", b"\5\2\0\0\x10\0", b"\5\2\0\2\x10\0", b"\5\2\0\1\0\0", b"\5\2\0\1\x10\x08", b"\5\2\0\1\x10\3\0",
        b"\5\2\0\1\x10\0\0",
        b"\5\3\0\1\x10\0", b"\5\3\0\1\x10\4\3", b"\5\3\0\1\x10\4\1",
    ],
)  # fmt: skip
def test_parameters_that_fit_no_tracks(params: bytes) -> None:
    with pytest.raises(CorruptStream):
        codec.Receiver(Head("ardm", 4, 4, 0, 3, params), model())


def test_a_linear_prediction_is_found() -> None:
    random = np.random.default_rng(0)
    moves = np.zeros((400, 3, 2))
    for t in range(2, 400):
        moves[t] = 1.2 * moves[t - 1] - 0.5 * moves[t - 2] + random.normal(0, 40, (3, 2))
    places = moves.cumsum(0).round().astype(np.int64)
    number, found = prediction.chosen(places, np.ones((400, 3), bool))
    assert number == len(prediction.KNOWN) and found.shape == (LAGS,)
    assert np.abs(found[:2] / 4096 - [1.2, -0.5]).max() < 0.1


def test_two_columns_are_a_place() -> None:
    """By their names, or else the first two that vary; with other gaps than each other they are none."""
    places, here = walks(9, 3)
    assert walking(tracks(places, here)).places == (0, 1)
    turned = Tracks(places, (Column("pos_y"), Column("pos_x")))
    assert walking(turned).places == (1, 0)
    flat = np.concatenate([places[..., :1] * 0 + 7, places], 2)
    assert walking(Tracks(flat, (Column(), Column(), Column()))).places == (1, 2)
    missing = np.zeros(places.shape, bool)
    missing[0, 0, 0] = True
    assert len(Tracks(places, (Column("x"), Column("y")), missing).forms()) == 1
    assert len(Tracks(places, (Column("speed"), Column("height"))).forms()) == 1


@needs_weights
def test_streams_of_walks_name_their_network() -> None:
    signal, here = smooth(300, 12)
    data = diffcodec.encode(signal)
    told = diffcodec.inspect(data)
    assert told["model"] == "tracks-ardm" and told["format"] == "1.7"
    assert diffcodec.decode_signal(data).equals(signal)
    assert 8 * len(data) / (2 * here.sum()) < 5


@needs_weights
@pytest.mark.parametrize("others", [(), (np.arange(300)[:, None].repeat(12, 1) ** 2,)])
def test_some_frames(others: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """By their passes alone, other columns and all."""
    monkeypatch.setattr(codec, "FRAMES", 64)
    monkeypatch.setattr(codec, "STATES", 0)
    forms = Tracks.forms
    monkeypatch.setattr(Tracks, "forms", lambda self, palettes=True: forms(self, palettes)[-1:])  # the network's
    signal, here = smooth(300, 12)
    signal = tracks(signal.values, here, *others)
    data = diffcodec.encode(signal)
    assert diffcodec.inspect(data)["model"] == "tracks-ardm"
    for first, last in ((0, 1), (60, 70), (64, 128), (299, 300), (0, 300)):
        found = diffcodec.decode_signal(data, frames=slice(first, last))
        assert found.equals(signal.between(first, last))
        assert (diffcodec.decode(data, frames=slice(first, last)) == signal.array[first:last]).all()
        assert joined(list(diffcodec.decode_groups(data, frames=slice(first, last)))).equals(found)
    for first, last in ((5, 5), (300, 301)):
        with pytest.raises(InputError, match="there are 300 frames"):
            diffcodec.decode(data, frames=slice(first, last))
    asked = []
    part = codec.Receiver.part
    monkeypatch.setattr(codec.Receiver, "part", lambda self, n, *rest: asked.append(n) or part(self, n, *rest))
    diffcodec.decode(data, frames=slice(130, 140))
    assert asked == [2]
    with pytest.raises(InputError, match="of a clip or of tracks"):
        diffcodec.decode(diffcodec.encode(np.zeros((4, 4, 3), np.uint8)), frames=slice(0, 1))


def paced(frames: int, agents: int) -> tuple[np.ndarray, np.ndarray]:
    """(places, who is there) of agents that are seen in every third frame, each from its own on, and lost for some."""
    places, _ = walks(frames, agents)
    here = (np.arange(frames)[:, None] + np.arange(agents)) % 3 == 0
    here[: frames // 3, 1] = here[frames // 2 : frames // 2 + 15, 2] = False
    return places, here


@pytest.mark.parametrize("further", [Further(32, 0), Further(0, 48), Further(5, 200, True), Further(255, 255, True)])
def test_what_is_remembered_and_learned_comes_back(further: Further) -> None:
    places, here = paced(90, 5)
    form = walking(tracks(places, here, places[..., 0] * 3 + 1))
    params, passes = codec.encode(form.extra, form.columns, form.places, model(), further=further)
    assert codec.Plan.from_bytes(params).further == further
    receiver = receiver_of(form, params, model())
    receiver.take_all(passes)
    extra = receiver.show()[1]
    assert extra is not None
    same(extra, form.extra)


def test_gaps_of_other_columns_are_told_beside_those_of_places() -> None:
    places, here = paced(60, 4)
    signal = tracks(places, here, places[..., 0])
    missing = signal.gaps.copy()
    missing[::2, :, 2] = True
    form = walking(replace(signal, missing=missing))
    params, passes = codec.encode(form.extra, form.columns, form.places, model(), further=Further(walked=True))
    receiver = receiver_of(form, params, model())
    receiver.take_all(passes)
    extra = receiver.show()[1]
    assert extra is not None
    same(extra, form.extra)


def test_gaps_of_columns_that_are_not_there_are_refused() -> None:
    form = walking(tracks(*paced(60, 4)))
    params, passes = codec.encode(form.extra, form.columns, form.places, model(), further=Further(walked=True))
    assert passes[0][0] == 0
    with pytest.raises(CorruptStream, match="gaps of columns"):
        receiver_of(form, params, model()).take(b"\x01\x00" + passes[0][1:])
    own: Any = {"others": 6, "heads": 2, "mixtures": 2}, {}
    with pytest.raises(Refused, match="gaps of no columns"):
        reader.decode(params[1:], [b"\x01\x00" + passes[0][1:]], *form.extra.shape, own)


def test_who_comes_back_is_known() -> None:
    """Places and gaps of agents that are seen in every third frame take less than half."""
    form, sizes = walking(tracks(*paced(300, 6))), []
    for further in (Further(), None):
        params, passes = codec.encode(form.extra, form.columns, form.places, model(), further=further)
        sizes.append(sum(map(len, passes)))
    found = codec.Plan.from_bytes(params).further
    assert found.longest and found.walked and sizes[1] < 0.5 * sizes[0]


def test_a_network_learns_what_it_does_not_know() -> None:
    form, sizes = walking(smooth(600, 8)[0]), []
    for rate in (0, 48):
        passes = codec.encode(form.extra, form.columns, form.places, model(), further=Further(32, rate))[1]
        sizes.append(sum(map(len, passes)))
    assert sizes[1] < 0.97 * sizes[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.3, 0.9, 1.0]))
def test_who_is_there_comes_back(frames: int, agents: int, seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    here = random.random((frames, agents)) < share
    starts, freqs = presence.intervals(here)
    assert (freqs >= 1).all() and (starts.astype(np.int64) + freqs <= 2**24).all()
    stack = AnsStack()
    stack.push_intervals(starts, freqs)
    assert (presence.pop(stack, frames, agents) == here).all()
    stack.finish()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 16), st.integers(0, 50))
def test_gradients_are_bounded(seed: int, K: int, size: int) -> None:
    random = np.random.default_rng(seed)
    params = random.integers(-(2**15), 2**15 + 1, (20, 6, K)).astype(np.int32)
    predicted, sigma = random.integers(-(2**size), 2**size + 1, (20, 2)), random.integers(384, 385 + 2**size, 20)
    logs = (64 * np.log2(sigma / 1024)).astype(np.int64)
    moves = random.integers(-(2**size), 2**size + 1, (20, 2))
    assert np.abs(GridMixtures(params, predicted, sigma, logs).gradients(moves)).max() <= grid.STEEPEST


def test_gradients_are_those_of_the_bits() -> None:
    """Of what intervals say, by differences."""
    random = np.random.default_rng(0)
    params = random.integers(-40, 41, (30, 6, 3)).astype(np.int32)
    predicted, sigma = random.integers(-500, 501, (30, 2)), random.integers(4000, 60000, 30)
    logs = np.floor(64 * np.log2(sigma / 1024)).astype(np.int64)
    moves = random.integers(-20, 21, (30, 2))

    def nats(rows: np.ndarray) -> np.ndarray:
        freqs = GridMixtures(rows, predicted, sigma, logs).intervals(moves)[1].reshape(30, 2)
        return -np.log(freqs / 2**24).sum(1)

    found = GridMixtures(params, predicted, sigma, logs).gradients(moves) / 2**16
    for row in range(6):
        steps = np.zeros((6, 3), np.int32)
        steps[row, 1] = 16
        wanted = (nats(params + steps) - nats(params - steps)) / 0.5  # of 32/64
        assert np.abs(found[:, row, 1] - wanted).max() < 0.1 * np.abs(wanted).max() + 0.02


def test_columns_beside_places_run_on() -> None:
    """Speed, and where agents look, are smaller by how they move; what is told by a number stays plain."""
    random = np.random.default_rng(0)
    signal, here = smooth(300, 8)
    steps = np.diff(signal.values, axis=0, prepend=signal.values[:1])
    speed = (10 * np.hypot(*np.moveaxis(steps, 2, 0)) + random.normal(0, 2, here.shape)).round().clip(0)
    looks = (random.normal(0, 9, here.shape).round().cumsum(0) + 180) % 360
    does = random.integers(0, 3, here.shape)
    full = tracks(signal.values, here, *(one.astype(np.int64) for one in (speed, looks, does)))
    form = walking(full)
    assert not any(form.circles)  # a hundredth of 360 degrees is far from round
    degrees = replace(full, columns=tuple(replace(one, step=Decimal(1)) for one in full.columns))
    form = walking(degrees)
    assert form.circles[3] == 360 and form.circles[4] == 0
    params, passes, extra = there_and_back(form, model())
    same(extra, form.extra)
    assert [one.kind for one in codec.Plan.from_bytes(params).told] == [LINE, ROUND, PLAIN]
    without, _ = codec.encode(form.extra, form.columns, form.places, model())
    assert [one.kind for one in codec.Plan.from_bytes(without).told] == [LINE, LINE, PLAIN]
    bare = np.ascontiguousarray(form.extra.reshape(300, 8, 5, -1)[:, :, [2, 3, 4]].reshape(300, 24, -1)[..., 1:])
    alone = codec.encode(form.extra.reshape(300, 8, 5, -1)[:, :, :2].reshape(300, 16, -1), 2, (0, 1), model())[1]
    assert sum(map(len, passes)) - sum(map(len, alone)) < 0.9 * len(encode_planes(bare))


@needs_weights
def test_noise_is_not_for_the_network() -> None:
    random = np.random.default_rng(0)
    signal = Tracks(random.integers(0, 2, (400, 3, 2)), (Column("x"), Column("y")))
    data = diffcodec.encode(signal)
    assert diffcodec.decode_signal(data).equals(signal)
    assert len(data) < 400 * 6 / 8 * 1.5 + 150


@needs_weights
def test_a_photograph_is_not_for_the_network_of_tracks() -> None:
    from diffcodec.bitstream import Chunk, read, write

    data = diffcodec.encode(smooth(300, 12)[0])
    found = read(data)
    other = registry.load("photo-ardm")
    header = replace(found.header, model=other.name, fingerprint=other.fingerprint[:8]).to_bytes()
    forged = write([Chunk("H", header), *(Chunk("P", one) for one in found.passes), Chunk("E", bytes(8))], (1, 7))
    with pytest.raises(DiffcodecError, match="not for"):
        diffcodec.decode_signal(forged)
