"""Tracks in layers: a beginning of the stream shows all frames, and more of it no less; the whole is exact."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import needs_weights
from dfc_decoder import tracks as reader
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tracks import model, paced, receiver_of, same, smooth, tracks, walking, walks
from test_view import picture_of, viewed

import diffcodec
from diffcodec import Column, Tracks
from diffcodec.codecs.ardm import track_layers as layers
from diffcodec.codecs.ardm import tracks as codec
from diffcodec.codecs.ardm.track_plan import MOST_EVERY, Further, Layers, Plan
from diffcodec.codecs.codec import Head
from diffcodec.media.medium import Walking
from diffcodec.models.tracks.bridge import AHEAD, PLAIN, SHARE, bridge_shares
from diffcodec.models.tracks.model import TracksModel
from diffcodec.models.tracks.net import TracksConfig, TracksNet
from diffcodec.models.tracks.past import COEFFICIENT, LAGS
from diffcodec.models.tracks.prediction import KNOWN
from diffcodec.models.tracks.quant import quantise
from diffcodec.runtime.errors import CorruptStream, InputError, Truncated


def numbers_of(planes: np.ndarray, form: Walking) -> tuple[np.ndarray, np.ndarray]:
    """(places (T, A, 2), gaps (T, A, F)) of planes."""
    gaps, numbers = codec.parted(planes, form.columns)
    return codec.joined(numbers[:, :, list(form.places)]), gaps


def layered(form: Walking, every: int = 4, **further: Any) -> tuple[bytes, list[bytes]]:
    positions, gaps = numbers_of(form.extra, form)
    told = layers.layers_of(positions, gaps[..., form.places[0]] == 0, every)
    wish = Further(layers=told, **further)
    return codec.encode(form.extra, form.columns, form.places, model(), None, form.circles, wish)


def prefixes(form: Walking, params: bytes, passes: list[bytes]) -> list[np.ndarray]:
    """What is shown behind each pass."""
    receiver, out = receiver_of(form, params, model()), []
    with pytest.raises(Truncated):
        receiver.show()
    for payload in passes:
        receiver.take(payload)
        extra = receiver.show()[1]
        assert extra is not None
        out.append(extra.copy())
    assert receiver.complete
    return out


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 4), st.integers(0, 10**6), st.integers(0, 59), st.integers(2, MOST_EVERY),
    st.sampled_from([0.3, 0.9, 1.0]), st.booleans(), st.sampled_from([0, 9]),
)  # fmt: skip
def test_whatever_numbers_come_back(
    frames: int, agents: int, seed: int, size: int, every: int, share: float, walked: bool, longest: int
) -> None:
    random = np.random.default_rng(seed)
    places = random.integers(0, 2**size + 1, (frames, agents, 2))
    here = random.random((frames, agents)) < share
    form = tracks(places, here).forms()[-1]
    if isinstance(form, Walking):  # two columns vary
        params, passes = layered(form, every, walked=walked, longest=longest, rate=48)
        same(prefixes(form, params, passes)[-1], form.extra)
    else:
        assert len(np.unique(places[here], axis=0)) < 3


@pytest.mark.parametrize("every", [2, 5, 8])
def test_each_pass_shows_no_less(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of passes that are there are exact, of others all who are there are shown, and other columns are gaps."""
    monkeypatch.setattr(codec, "FRAMES", 40)
    monkeypatch.setattr(codec, "STATES", 0)
    signal, here = smooth(100, 6)
    count = np.arange(100)[:, None].repeat(6, 1) ** 2
    form = walking(tracks(signal.values, here, count))
    params, passes = layered(form, every, longest=4)
    height = Plan.from_bytes(params).frames
    assert height == 40 - 40 % every and len(passes) == 2 * -(-100 // height)
    blocks, missed = len(passes) // 2, []
    wanted, gaps = numbers_of(form.extra, form)
    for taken, planes in enumerate(prefixes(form, params, passes), 1):
        found, missing = numbers_of(planes, form)
        began, exact = height * min(taken, blocks), height * max(0, taken - blocks)
        assert (planes[:exact] == form.extra[:exact])[form.extra[:exact, :, 0] == 0].all()
        assert (missing[:exact] == gaps[:exact]).all()
        assert missing[began:].all() and missing[exact:, :, 2].all()
        seen = missing[:began, :, 0] == 0
        assert not (seen & ~here[:began]).any()
        assert (found[:began:every] == wanted[:began:every])[seen[::every]].all()
        if taken >= blocks:
            assert seen.sum() > 0.95 * here.sum()
            missed.append(np.abs(found - wanted)[seen].mean())
    assert missed == sorted(missed, reverse=True) and missed[-1] == 0 and missed[0] < 0.3 * np.abs(wanted).std()


def test_frames_are_decoded_by_their_passes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "FRAMES", 16)
    monkeypatch.setattr(codec, "STATES", 0)
    form = walking(tracks(*walks(70, 4)))
    params, passes = layered(form)
    whole = prefixes(form, params, passes)[-1]
    for first, last in ((0, 1), (15, 17), (32, 48), (65, 70)):
        hidden = [one if n % 5 in (first // 16, (last - 1) // 16) else b"" for n, one in enumerate(passes)]
        assert (receiver_of(form, params, model()).rows(hidden, first, last) == whole[first:last]).all()
    with pytest.raises(CorruptStream, match="9 passes where there are 10"):
        receiver_of(form, params, model()).rows(passes[:-1], 0, 1)


@pytest.mark.parametrize(("every", "further"), [(3, {"rate": 48}), (4, {"walked": True, "longest": 6}), (8, {})])
def test_the_independent_reader_reads_them(
    every: int, further: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "FRAMES", 32)
    monkeypatch.setattr(codec, "STATES", 0)
    places, here = walks(70, 4)
    here[20:23, 1] = False
    form = walking(tracks(places, here, np.arange(70)[:, None].repeat(4, 1) ** 2))
    params, passes = layered(form, every, **further)
    config = TracksConfig(16, 6, 2, 2)
    torch.manual_seed(0)
    tensors = {name: one.numpy() for name, one in quantise(TracksNet(config)).items()}
    own = {"others": config.others, "heads": config.heads, "mixtures": config.mixtures}, tensors
    found = reader.decode(params[1:], passes, *form.extra.shape, own)
    assert (found == prefixes(form, params, passes)[-1]).all()


def test_the_independent_reader_reads_who_jumps_the_farthest() -> None:
    """64 times a displacement does not fit 64 bits."""
    places = np.random.default_rng(0).choice([0, 2**57, 2**58 + 1, 2**60 - 1], (20, 3, 2)) >> [0, 50]
    form = walking(tracks(places, np.ones((20, 3), bool)))
    config = TracksConfig(16, 6, 2, 2)
    torch.manual_seed(0)
    net = TracksNet(config)
    net.head.bias.data[-config.mixtures :] = 5  # y is told by what x missed
    tensors, sizes = quantise(net), (config.others, config.heads)
    params, passes = codec.encode(form.extra, form.columns, form.places, TracksModel(tensors, "", bytes(32), *sizes))
    own = {"others": sizes[0], "heads": sizes[1], "mixtures": config.mixtures}
    found = reader.decode(params[1:], passes, *form.extra.shape, (own, {n: one.numpy() for n, one in tensors.items()}))
    assert (found == form.extra).all()


def test_the_frames_between_take_few_bits() -> None:
    """Less than half of what they take where no frame ahead is known, and in all hardly more."""
    signal, here = smooth(300, 8)
    form = walking(tracks(signal.values, here))
    plain = codec.encode(form.extra, form.columns, form.places, model(), further=Further(rate=48))[1]
    params, (coarse, fine) = layered(form, 2, rate=48)
    assert len(fine) < 0.4 * len(plain[0])
    assert len(coarse) + len(fine) < 1.1 * len(plain[0])
    assert Plan.from_bytes(params).further.layers is not None


def test_gaps_and_other_columns_come_back() -> None:
    places, here = paced(60, 4)
    signal = tracks(places, here, places[..., 0] * 3 + 1, np.arange(60)[:, None].repeat(4, 1) % 7)
    missing = signal.gaps.copy()
    missing[::2, :, 2] = True
    form = walking(Tracks(signal.values, signal.columns, missing))
    for walked in (False, True):
        params, passes = layered(form, 3, walked=walked, longest=5)
        same(prefixes(form, params, passes)[-1], form.extra)


# ---- curves between frames that are known


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 16), st.integers(0, 3), st.integers(0, 10**6))
def test_cubics_are_shown_as_they_are(every: int, degree: int, seed: int) -> None:
    frames, random = 4 * every + 1, np.random.default_rng(seed)
    t = np.arange(frames) * 6
    places = sum(c * t**n for n, c in enumerate(random.integers(-20, 20, degree + 1).tolist()))
    positions = np.broadcast_to(np.asarray(places, np.int64) + np.zeros(frames, np.int64), (2, 1, frames)).T.copy()
    known = positions * (np.arange(frames) % every == 0)[:, None, None]
    found, seen = layers.curves(known, np.ones((frames, 1), bool), every)
    inner = slice(every, 3 * every + 1)
    assert seen.all() and (found[inner] == positions[inner]).all()
    if degree < 2:
        assert (found == positions).all()


def test_who_is_between_two_frames_only_is_not_shown() -> None:
    here = np.ones((12, 3), bool)
    here[[0, 4, 8], 0] = False  # never where it is known
    here[:3, 1] = False  # comes, and leaves behind the first that is known
    here[7:, 1] = False
    positions = np.full((12, 3, 2), 7)
    _, seen = layers.curves(positions, here, 4)
    assert not seen[:, 0].any()
    assert (seen[:, 1] == here[:, 1]).all() and seen[:, 2].all()


# ---- what leads from one known frame to the next


@pytest.mark.parametrize("coefficients", KNOWN)
@pytest.mark.parametrize("every", [2, 4, 8, 16])
def test_shares_are_those_of_a_gaussian(coefficients: np.ndarray, every: int) -> None:
    """By the covariances of errors that are independent and equal."""
    found = bridge_shares(coefficients, every)
    c, steps = coefficients / COEFFICIENT, [1.0]
    for _ in range(AHEAD * every):
        steps.append(sum(a * b for a, b in zip(c, reversed(steps), strict=False)))
    reached = np.cumsum(steps)
    for h in range(1, every):
        leads = np.zeros((2, h + every + 1))
        leads[0, : h + 1], leads[1] = reached[h::-1], reached[h + every :: -1]
        for count, (at, ratio) in enumerate(((slice(0, 1), 1), (slice(2, 4), 4)), 1):
            covariance, own = leads[:count] @ leads[:count].T, leads[:count, 0]
            share = np.linalg.solve(covariance, own)
            assert np.abs(found[h, at] / SHARE - share).max() < 2e-3
            assert abs(found[h, ratio] / PLAIN - max(1 / 16, np.sqrt(1 - own @ share))) < 4e-3


def test_shares_of_whatever_coefficients() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        found = bridge_shares(random.integers(-(2**15), 2**15, LAGS), MOST_EVERY)
        assert (np.abs(found[:, [0, 2, 3]]) <= 2 * SHARE).all() and (found[1:, [1, 4]] <= PLAIN).all()
        assert (found[1:, [1, 4]] >= PLAIN // 16).all()


# ---- what nobody encodes


@pytest.mark.parametrize(
    "params",
    [
        b"\7\2\0\1\x10\x08\0\0\2", b"\7\2\0\1\x10\x08\0\0\2\0\0", b"\7\2\0\1\x10\x08\0\0\2\1\0",
        b"\7\2\0\1\x10\x08\0\0\2\x11\0", b"\7\2\0\1\x10\x08\0\0\2\3\0", b"\7\2\0\1\x10\x08\0\0\2\2\4",
        b"\7\2\0\1\x10\x08\0\0\2\2\3\0\0", b"\7\2\0\1\x10\x08\0\0\4", b"\7\2\0\1\x10\x08\0\0\2\2\0\0",
    ],
)  # fmt: skip
def test_parameters_that_fit_no_layers(params: bytes) -> None:
    with pytest.raises(CorruptStream):
        codec.Receiver(Head("ardm", 4, 4, 0, 3, params), model())


def test_parameters_come_back() -> None:
    for one in (Layers(2, 1, tuple(KNOWN[1].tolist())), Layers(16, 3, tuple(range(-6, 6)))):
        for further in (Further(layers=one), Further(3, 4, True, one)):
            plan = Plan(2, (0, 1), 32, 0, KNOWN[0], (), further)
            assert Plan.from_bytes(plan.to_bytes()).further == further


def test_damaged_passes_are_refused_or_decode() -> None:
    """Nothing but our own errors, whatever the bytes; a pass in the place of another, too."""
    form = walking(tracks(*walks(20, 4)))
    params, passes = layered(form)
    random, outcomes = np.random.default_rng(0), set()
    for n in range(60):
        payloads = [bytearray(one) for one in (passes if n % 9 else passes[::-1])]
        damaged = payloads[n % 2]
        damaged[random.integers(len(damaged))] ^= 1 << random.integers(8)
        receiver = receiver_of(form, params, model())
        try:
            for payload in payloads:
                receiver.take(bytes(payload[: random.integers(1, 2 * len(payload))]))
                receiver.show()
            outcomes.add("decoded")
        except CorruptStream:
            outcomes.add("refused")
    assert "refused" in outcomes
    receiver = receiver_of(form, params, model())
    receiver.take_all(passes)
    with pytest.raises(CorruptStream, match="more passes than the 2 expected"):
        receiver.take(passes[1])


# ---- streams


def walk() -> Tracks:
    signal, here = smooth(200, 8)
    return tracks(signal.values, here, np.arange(200)[:, None].repeat(8, 1) ** 2)


@needs_weights
def test_streams_begin_with_a_preview() -> None:
    signal = walk()
    data = diffcodec.encode(signal, progressive=True)
    told = diffcodec.inspect(data)
    assert told["format"] == "1.7" and told["model"] == "tracks-ardm" and len(told["passes"]) == 2
    assert diffcodec.decode_signal(data).equals(signal)
    end = told["passes"][0]["end"]
    first = diffcodec.decode_signal(data, upto_bytes=end)
    assert isinstance(first, Tracks) and first.gaps[..., 2].all()
    seen = ~first.gaps[..., 0]
    assert (seen <= ~signal.gaps[..., 0]).all() and seen.sum() > 0.95 * (~signal.gaps[..., 0]).sum()
    assert (first.values[::8, :, :2] == signal.values[::8, :, :2])[seen[::8]].all()
    with pytest.raises(Truncated):
        diffcodec.decode(data, upto_bytes=end - 1)
    previews = list(diffcodec.decode_progressive(data))
    assert [one.complete for one in previews] == [False, False, True] and previews[0].bytes_read == end
    for preview, wanted in zip(previews, (first, signal, signal), strict=True):
        assert (np.ma.getmaskarray(preview.image) == wanted.gaps).all() and np.ma.allequal(preview.image, wanted.array)
    for frames in (slice(3, 5), slice(100, 200)):
        assert diffcodec.decode_signal(data, frames=frames).equals(signal.between(frames.start, frames.stop))
    part = diffcodec.decode_signal(data, frames=slice(10, 20), upto_bytes=end)
    assert part.equals(first.between(10, 20))


@needs_weights
def test_groups_have_layers_each_but_for_those_of_nobody() -> None:
    signal = walk()
    missing = signal.gaps.copy()
    missing[100:150] = True
    signal = Tracks(signal.values, signal.columns, missing, rate=Fraction(10))
    data = diffcodec.encode(signal, progressive=True, group=50)
    assert diffcodec.decode_signal(data).equals(signal)
    pieces = b"".join(diffcodec.encode_groups([signal.between(k, k + 50) for k in range(0, 200, 50)], progressive=True))
    assert pieces == data
    end = diffcodec.inspect(data)["passes"][0]["end"]
    (first,) = diffcodec.decode_groups(data, upto_bytes=end)
    assert isinstance(first, Tracks) and first.length == 50 and not first.gaps[..., 0].all()


def test_what_has_no_layers_is_refused() -> None:
    message = "progressive is for tracks of which a network codes where up to 256 agents"
    for signal in (np.zeros((9, 9, 3), np.uint8), Tracks(np.zeros((3, 2, 1), np.int64), (Column("x"),))):
        with pytest.raises(InputError, match=message):
            diffcodec.encode(signal, progressive=True)
    with pytest.raises(InputError, match="progressive as they are"):
        diffcodec.encode(np.zeros((9, 9, 3), np.uint8), "diffc", bpp=1.0, progressive=True)


@needs_weights
def test_few_frames_are_told_in_turn() -> None:
    places = np.arange(8)[:, None, None] * np.array([3, 5]) + np.zeros((8, 2, 2), np.int64)
    signal = tracks(places, np.ones((8, 2), bool))
    data = diffcodec.encode(signal, progressive=True)
    assert len(diffcodec.inspect(data)["passes"]) == 1 and diffcodec.decode_signal(data).equals(signal)


@needs_weights
def test_the_command_has_it_too(tmp_path: Path) -> None:
    table = tmp_path / "walk.csv"
    places, _ = smooth(60, 3)[0].values, None
    rows = [f"{t},{a},{x / 10:.1f},{y / 10:.1f}" for t in range(60) for a, (x, y) in enumerate(places[t])]
    table.write_text("\n".join(["frame,id,x,y", *rows, ""]))

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "diffcodec", *words]
        done = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
        return done.stdout + done.stderr

    assert "bits per value" in run("encode", "walk.csv", "walk.dfc", "--progressive")
    assert "bits/value" in run("info", "walk.dfc")
    run("decode", "walk.dfc", "back.csv")
    assert (tmp_path / "back.csv").read_bytes() == table.read_bytes()
    end = diffcodec.inspect((tmp_path / "walk.dfc").read_bytes())["passes"][0]["end"]
    run("decode", "walk.dfc", "early.csv", "--upto-bytes", str(end))
    early = (tmp_path / "early.csv").read_text().splitlines()
    assert len(early) == len(rows) + 1 and early[1:4] == rows[:3] and early[1:] != rows


@needs_weights
def test_tracks_are_drawn_as_far_as_they_are_there(run: Any, tmp_path: Path) -> None:
    """Their ways, in one picture for each pass that shows more; of a cut file those that there are."""
    t = np.arange(90)
    places = np.stack([np.stack([20 * t, 3 * t + t * t // 9], 1), np.stack([1500 - 9 * t, 900 - t], 1)], 1)
    count = (t[:, None] * np.array([1, 2])) % 7
    columns = (Column("x"), Column("y"), Column("count"))
    tracks = Tracks(np.concatenate([places, count[..., None]], 2), columns, names=("<b>one", "two"))
    for name, signal, shown in (("walk", tracks, 2), ("bare", tracks.between(0, 5), 1)):
        path = tmp_path / f"{name}.dfc"
        path.write_bytes(diffcodec.encode(signal, progressive=True))
        code, found, err = viewed(run, path)
        layers = found.all("img", "layer")
        assert code == 0 and f"tracks of 2 agents over {signal.length} frames" in found.text, err
        assert len(layers) == shown and "exact" in layers[-1]["alt"]
        images = [np.asarray(picture_of(layer["src"]).convert("RGB")).astype(int) for layer in layers]
        assert max(images[0].shape) == 960 and len({image.shape for image in images}) == 1
        assert (images[-1] < 200).any() and np.abs(images[0] - images[-1]).mean() < 1
    data = (tmp_path / "walk.dfc").read_bytes()
    (tmp_path / "cut.dfc").write_bytes(data[:-20])
    code, found, err = viewed(run, tmp_path / "cut.dfc")
    assert code == 1 and len(found.all("img", "layer")) == 1
    still = Tracks(np.ones((4, 1, 2), np.int64), (Column("x"), Column("y")))
    (tmp_path / "still.dfc").write_bytes(diffcodec.encode(still))
    code, found, err = viewed(run, tmp_path / "still.dfc")
    assert code == 0 and len(found.all("img", "layer")) == 1, err
