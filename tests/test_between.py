"""Frames of a clip given up to two others: exact whatever the weights, on any threads, and told where it is damaged."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from dfc_decoder import Refused, clips
from hypothesis import given, settings
from hypothesis import strategies as st
from test_temporal import SIZES, model, moving, receiver, tensors
from test_temporal import encoded as encoded_by

import diffcodec
from diffcodec import Clip, CorruptStream
from diffcodec.codecs.ardm import between, codec
from diffcodec.codecs.ardm.cost import BETWEEN
from diffcodec.codecs.ardm.fields import BOTH, Field, Fields
from diffcodec.codecs.ardm.motion import FARTHEST, FILTERS, SIX_TAPS, displaced, grid
from diffcodec.codecs.ardm.partition import parted
from diffcodec.codecs.ardm.row import ARDM
from diffcodec.codecs.ardm.sampling import SAMPLINGS
from diffcodec.codecs.codec import Encoded, Head, Prefix
from diffcodec.entropy.logistic import coding_order, intervals
from diffcodec.entropy.misses import Misses, contexts
from diffcodec.entropy.stack import AnsStack
from diffcodec.stream.written import stream_of


def encoded(clip: Clip, net: Any, **options: Any) -> tuple[bytes, list[bytes], Any]:
    return encoded_by(clip, net, method=BETWEEN, **options)


def of_gap(clip: Clip, net: Any, gap: int) -> tuple[bytes, list[bytes], Any]:
    form = clip.forms()[1]
    made = between.encode(form.photo, form.frames, net, SAMPLINGS[form.sampling], gap=gap)
    return *made, form


# ---- order


@pytest.mark.parametrize(("frames", "gap"), list(product((1, 2, 3, 9, 16, 17), range(5))))
def test_every_frame_is_coded_once(frames, gap):
    """Each behind those that it stands between; without a gap from the first to the last."""
    found = between.order(frames, gap)
    assert sorted(found) == list(range(frames)) and found[0] == 0
    assert gap or found == list(range(frames))
    anchors = [number for number in found if number % (1 << gap) == 0]
    assert anchors == sorted(anchors)
    for place, number in enumerate(found):
        behind = [one for one in found[:place] if one > number]
        assert bool(behind) == (number % (1 << gap) != 0 and number < anchors[-1])


def test_near_frames_have_small_numbers():
    assert between.nearest(5, [0, 8, 4, 6]) == [4, 6, 8, 0]
    assert len(between.nearest(50, list(range(40)))) == 16


# ---- streams


@pytest.mark.parametrize(("sampling", "past"), list(product(SAMPLINGS, (1, 2))))
def test_frames_come_back_one_by_one(sampling, past):
    """In all samplings, odd sizes and orders; after a pass that frame is there, and stands for those near it."""
    for size, gap in zip(SIZES, (0, 1, 1, 2, 1), strict=True):
        params, passes, form = of_gap(moving(*size, sampling), model(past), gap)
        assert params == bytes([BETWEEN, SAMPLINGS[sampling].number, gap]) and len(passes) == size[0]
        taking, frames = receiver(params, form, model(past)), form.photo.reshape(size[0], -1, *form.photo.shape[1:])
        done = []
        for number, payload in zip(between.order(size[0], gap), passes, strict=True):
            assert not taking.complete
            taking.take(payload)
            done.append(number)
            shown = taking.show()[0].reshape(frames.shape)
            for t in range(size[0]):
                assert (shown[t] == frames[between.nearest(t, done)[0]]).all()
            assert np.flatnonzero(taking.known().reshape(frames.shape[:3]).all((1, 2))).tolist() == sorted(done)
        assert taking.complete and taking.stride == 1
        with pytest.raises(CorruptStream, match="more passes"):
            taking.take(passes[0])


def test_threads_strips_and_kernels_change_nothing():
    clip = moving(3, 70, 66, "YUV420")
    params, passes, form = encoded(clip, model())
    assert encoded(clip, model(), threads=1, strip_positions=300)[1] == passes
    for runtime, threads, positions in (("torch64", 3, 500), ("float32", 0, 2**16)):
        taking = receiver(params, form, model(2, runtime), threads=threads, strip_positions=positions)
        for payload in passes:
            taking.take(payload)
        assert (taking.show()[0] == form.photo).all()


def test_another_scene_is_coded_without_others():
    clip = moving(1, 32, 32)
    flat = Clip((np.concatenate([clip.planes[0], np.full_like(clip.planes[0], 77)]),))
    for payload in encoded(flat, model())[1]:
        assert int(AnsStack.from_bytes(payload).pop_bits(np.array([2]))[0]) == 0


def test_a_clip_in_a_stream():
    """It is what a network of frames makes of a clip if nothing else is asked for; the header says 1.7."""
    clip = moving(4, 21, 19, "YUV420")
    form = clip.forms()[1]
    params, passes = codec.encode(form.photo, form.extra, model(), frames=4, sampling=form.sampling)
    assert params[0] == BETWEEN
    data = stream_of(clip, form, ARDM(), Encoded(params, passes, model()), digest=clip.digest())
    assert diffcodec.decode_signal(data, model=model()).equals(clip)
    about = diffcodec.inspect(data)
    assert about["format"] == "1.7" and about["model"] == "frames" and len(about["passes"]) == 4


@pytest.mark.parametrize("past", [1, 2])
def test_the_second_reader_decodes_the_same(past):
    weights = {name: value.numpy() for name, value in tensors(past).items()}
    for sampling, size, gap in (("RGB", (3, 9, 13), 1), ("YUV444", (2, 6, 5), 0), ("YUV420", (5, 13, 11), 1)):
        params, passes, form = of_gap(moving(*size, sampling), model(past), gap)
        H, W, C = form.photo.shape
        found = clips.decode_between(params[1:], passes, (H, W, C), size[0], weights, past)
        assert (found == form.photo).all()
        if len(passes) > 2 and int(AnsStack.from_bytes(passes[1]).pop_bits(np.array([2]))[0]):
            with pytest.raises(Refused, match="there"):
                clips.decode_between(params[1:], [passes[1], *passes[1:]], (H, W, C), size[0], weights, past)


# ---- damage


def test_parameters_that_fit_no_clip():
    form = moving(3, 9, 8, "YUV420").forms()[1]
    H, W, _ = form.photo.shape
    for told, C in ((b"", 1), (b"\2", 1), (b"\2\5", 1), (b"\2\1\0", 1), (b"\0\1", 1), (b"\2\1", 3)):
        params = bytes([BETWEEN]) + told
        head = Head("ardm", H, W, C, 0, params, frames=3)
        with pytest.raises(CorruptStream, match="damaged"):
            codec.Receiver(head, model())
        with pytest.raises(CorruptStream):
            ARDM().cost(Prefix(head, [], False))


def test_frames_that_are_not_there_are_refused():
    params, passes, form = of_gap(moving(3, 16, 20), model(), 1)
    with pytest.raises(CorruptStream, match="not there"):
        receiver(params, form, model()).take(passes[1])
    for count, places in ((1, [1]), (3, [0, 0, 0])):
        taking, stack = receiver(params, form, model()), AnsStack()
        taking.take(passes[0])
        stack.push_bits(np.array([count, *places]), np.array([2] + [4] * count))
        with pytest.raises(CorruptStream, match="not there"):
            taking.take(stack.to_bytes())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2), st.integers(0, 2**31), st.sampled_from(["flip", "cut", "noise"]))
def test_damage_is_told_or_gives_other_samples(frame, seed, kind):
    """Whatever the bytes, nothing but CorruptStream escapes, and no byte is read outside what is there."""
    params, passes, form = damaged_clip()
    rng, data = np.random.default_rng(seed), bytearray(passes[frame])
    if kind == "flip":
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    elif kind == "cut":
        del data[rng.integers(len(data)) :]
    else:
        data[:] = rng.integers(0, 256, rng.integers(1, 200)).astype(np.uint8).tobytes()
    taking = receiver(params, form, model())
    try:
        for payload in [*passes[:frame], bytes(data), *passes[frame + 1 :]]:
            taking.take(payload)
    except CorruptStream:
        return
    assert taking.complete


@cache
def damaged_clip() -> tuple[bytes, list[bytes], Any]:
    return of_gap(moving(3, 19, 26, "YUV420"), model(), 1)


# ---- motion


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 21), st.integers(1, 21)),
    st.integers(1, 2),
    st.integers(0, 2**31),
    st.sampled_from([0, 40, FARTHEST]),
)
def test_fields_come_back(size, frames, seed, far):
    """Whatever their blocks; frequencies of both sides stay alike, and what is not told is taken alike."""
    rng, sender, taker = np.random.default_rng(seed), Fields(), Fields()
    for _ in range(2):
        field = Field.blank(*size, frames, 0)
        for top, left in product(range(0, field.sizes.shape[0], 4), range(0, field.sizes.shape[1], 4)):
            part = field.sizes[top : top + 4, left : left + 4]
            quarters = rng.choice([1, 2], (2, 2)).repeat(2, 0).repeat(2, 1)
            part[...] = 4 if rng.random() < 0.4 else quarters[: part.shape[0], : part.shape[1]]
        field.sources[...] = rng.integers(0, 3 if frames == 2 else 1, field.sources.shape)
        field.vectors[...] = rng.integers(-far, far + 1, field.vectors.shape)
        stack, back = AnsStack(), Field.blank(*size, frames, 0)
        stack.push_intervals(*sender.intervals(field))
        stack = AnsStack.from_bytes(stack.to_bytes())
        try:
            taker.pop(stack, back)
        except CorruptStream:  # a part that is not told may be farther than one that is
            assert far == FARTHEST
            return
        stack.finish()
        for name in ("sizes", "sources", "vectors"):
            assert (getattr(field, name) == getattr(back, name)).all()
        assert all((a == b).all() for a, b in zip(sender.counts, taker.counts, strict=True))


def test_halves_are_those_of_six_taps():
    """Of a ramp every part of a pixel is told; the middle between a step's sides overshoots."""
    ramp = np.tile(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], (6, 1, 1))
    for quarters in range(4):
        vectors = np.broadcast_to(np.array([0, quarters], np.int16), (*grid(6, 30, 4), 2))
        moved = displaced(ramp, vectors, 4, filter=SIX_TAPS)
        assert (moved[:, 2:-4, 0] == ramp[:, 2:-4, 0] + 2 * quarters).all()
    step = np.repeat(np.array([0, 100], np.uint8), 8)[None, :, None].repeat(4, 0)
    moved = displaced(step, np.broadcast_to(np.array([0, 2], np.int16), (1, 4, 2)), 4, filter=SIX_TAPS)
    assert moved[0, 4:11, 0].tolist() == [0, 3, 0, 50, 113, 97, 100]
    moved = displaced(step[:, :, :], np.broadcast_to(np.array([2, 0], np.int16), (1, 4, 2)), 4, filter=SIX_TAPS)
    assert (moved == step).all()


def test_motion_is_found_in_both():
    """A block that only the frame behind shows is taken from there, the mean where both are as good."""
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 256, (48, 80), dtype=np.uint8)
    now, before, behind = scene[:, 8:72], scene[:, 6:70].copy(), scene[:, 11:75].copy()
    before[16:32, 16:34] = 0
    for filter in FILTERS:
        field, cost = parted(now, [before, behind], filter)
        Fields().intervals(field)
        expected = field.expected(field.moved([before[..., None], behind[..., None]], False), False)[..., 0]
        assert (expected[4:-4, 8:-8] == now[4:-4, 8:-8]).mean() > 0.97
        assert field.sources[5, 5] == 1 and cost < parted(now, [before], filter)[1]


def test_two_blocks_are_averaged():
    field = Field.blank(8, 8, 2, 0)
    field.sources[...] = BOTH
    field.sources[1, 1] = 1
    one, two = np.full((8, 8, 1), 10, np.uint8), np.full((8, 8, 1), 13, np.uint8)
    moved = field.moved([one, two], False)
    expected = field.expected(moved, False)
    assert expected[0, 0, 0] == 12 and expected[7, 7, 0] == 13 and (moved[1] == two).all()
    still = Field.blank(8, 8, 1, 0)
    assert (still.expected(still.moved([one], False), False) == one).all()


# ---- what is missed


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 3]), st.booleans())
def test_misses_come_back(seed, channels, told):
    """Whatever parameters say, in parts of any length; tables of both sides stay alike."""
    told = told and channels == 3
    rng, sender, taker = np.random.default_rng(seed), Misses(channels), Misses(channels)
    for n in (1, 700, 300):
        params = rng.integers(-600, 600, (n, 10, 2)).astype(np.int32)
        guess = rng.integers(0, 256, (n, channels), dtype=np.uint8)
        base, context = 4 * guess.astype(np.int32), rng.integers(0, 16, (n, channels), dtype=np.uint8)
        pixels = np.where(rng.random((n, channels)) < 0.7, guess, rng.integers(0, 256, (n, channels))).astype(np.uint8)
        starts, freqs = sender.intervals(params, base, pixels, context, guess, told)
        assert len(starts) == n * (channels - told) and freqs.min() >= 1
        stack = AnsStack()
        stack.push_intervals(starts, freqs)
        stack, back = AnsStack.from_bytes(stack.to_bytes()), pixels.copy()
        for row, channel in enumerate(coding_order(channels)):
            if row >= told:
                back[:, channel] = 0
        taker.pop(stack, params, base, back, context, guess, told)
        stack.finish()
        assert (back == pixels).all()


def test_what_is_met_exactly_takes_fewer_bits():
    """Once the table has seen that pixels are what is expected of them; in another context nothing changes."""
    rng = np.random.default_rng(3)
    n, flat = 4000, np.zeros((4000, 10, 1), np.int32)
    flat[:, 4:7] = 128
    guess = rng.integers(20, 230, (n, 1), dtype=np.uint8)
    context, base = np.zeros((n, 1), np.uint8), 4 * guess.astype(np.int32)
    table = Misses(1)
    _, freqs = table.intervals(flat, base, guess, context, guess, False)
    plain = intervals(flat, base, guess)[1].ravel()
    assert freqs[-100:].min() > 2 * plain[-100:].max()
    other = table.intervals(flat[:1], base[:1], guess[:1], context[:1] + 9, guess[:1], False)[1]
    assert abs(int(other[0]) - int(plain[0])) < 0.01 * plain[0]


def test_contexts_are_half_octaves():
    assert contexts(np.array([0, 1, 2, 3, 4, 5, 6, 191, 192, 1020])).tolist() == [0, 1, 2, 3, 4, 4, 5, 14, 15, 15]
