"""Frames of a clip given the one before: exact whatever the weights, on any threads, and told where it is damaged."""

from __future__ import annotations

import copy
import hashlib
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dfc_decoder import Refused, clips
from hypothesis import given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec import Clip, CorruptStream, ModelMismatch, testing
from diffcodec.codecs.ardm import codec, temporal
from diffcodec.codecs.ardm.cost import CONTEXT, TEMPORAL
from diffcodec.codecs.ardm.motion import BLOCKS, FARTHEST, displaced, grid
from diffcodec.codecs.ardm.row import ARDM
from diffcodec.codecs.ardm.sampling import SAMPLINGS
from diffcodec.codecs.ardm.search import found
from diffcodec.codecs.ardm.vectors import Vectors
from diffcodec.codecs.codec import Encoded, Head, Prefix, Room, Wish
from diffcodec.entropy.stack import AnsStack
from diffcodec.models import registry
from diffcodec.models.lattice import net as lattice_net
from diffcodec.models.lattice.frames import LatticeFrames
from diffcodec.models.lattice.quant import quantise
from diffcodec.stream.encode import Sender
from diffcodec.stream.written import stream_of


def network(past: int = 2, channels: int = 8, blocks: int = 1) -> lattice_net.LatticeNet:
    """Untrained, with some side information."""
    torch.manual_seed(past)
    net = lattice_net.LatticeNet(lattice_net.LatticeConfig(channels, blocks, 2, past=past))
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("_bias"):
                p.normal_(0, 0.3)
    for m in net.modules():
        if isinstance(m, lattice_net.QuantConv):
            m.step.fill_(0.02)
            m.low.fill_(-19)
    return net


@cache
def tensors(past: int = 2) -> dict[str, Any]:
    return quantise(network(past))


@cache
def model(past: int = 2, runtime: str = "auto") -> LatticeFrames:
    return LatticeFrames(tensors(past), past, "frames", hashlib.sha256(bytes([past])).digest(), runtime=runtime)


def moving(T: int, H: int, W: int, sampling: str = "RGB") -> Clip:
    """A field that moves by two pixels and one down, in noise; every fourth frame another scene."""
    rng = np.random.default_rng(T + 10 * H + 100 * W)
    field = rng.integers(0, 256, (H + T + 1, W + 2 * T + 1, 3)).astype(int)
    field = (field[1:, 1:] + field[:-1, 1:] + field[1:, :-1] + field[:-1, :-1]) // 4
    frames = np.stack([(255 - field if t % 4 == 3 else field)[t : t + H, 2 * t : 2 * t + W] for t in range(T)])
    frames = np.clip(frames + rng.integers(-1, 2, frames.shape), 0, 255).astype(np.uint8)
    if sampling == "RGB":
        return Clip((frames,))
    chroma = frames[:, ::2, ::2] if sampling == "YUV420" else frames
    return Clip((frames[..., 1], chroma[..., 0].copy(), chroma[..., 2].copy()), sampling)


def encoded(clip: Clip, net: Any, **options: Any) -> tuple[bytes, list[bytes], Any]:
    form = clip.forms()[1]
    told = {"method": TEMPORAL, "frames": form.frames, "sampling": form.sampling, **options}
    params, passes = codec.encode(form.photo, form.extra, net, **told)
    return params, passes, form


def receiver(params: bytes, form: Any, net: Any, **options: Any) -> codec.Receiver:
    H, W, C = form.photo.shape
    return codec.Receiver(Head("ardm", H, W, C, 0, params, frames=form.frames), net, **options)


SIZES = [(1, 1, 1), (2, 1, 5), (3, 2, 1), (4, 17, 23), (5, 40, 34)]


@pytest.mark.parametrize(("sampling", "past"), list(product(SAMPLINGS, (1, 2))))
def test_frames_come_back_one_by_one(sampling, past):
    """In all samplings and odd sizes; after a pass that frame is there, and stands for those behind it."""
    for size in SIZES:
        params, passes, form = encoded(moving(*size, sampling), model(past))
        assert params == bytes([TEMPORAL, SAMPLINGS[sampling].number]) and len(passes) == size[0]
        taking, frames = receiver(params, form, model(past)), form.photo.reshape(size[0], -1, *form.photo.shape[1:])
        for t, payload in enumerate(passes):
            assert not taking.complete
            taking.take(payload)
            shown = taking.show()[0].reshape(frames.shape)
            assert (shown[: t + 1] == frames[: t + 1]).all() and (shown[t + 1 :] == frames[t]).all()
            assert taking.known().reshape(frames.shape[:3]).all((1, 2)).sum() == t + 1
        assert taking.complete and taking.stride == 1
        with pytest.raises(CorruptStream, match="more passes"):
            taking.take(passes[0])


@pytest.mark.parametrize("sampling", ["RGB", "YUV420"])
def test_threads_strips_and_kernels_change_nothing(sampling):
    clip = moving(3, 70, 66, sampling)
    params, passes, form = encoded(clip, model())
    assert encoded(clip, model(), threads=1, strip_positions=300)[1] == passes
    for runtime, threads, positions in (("torch64", 3, 500), ("float32", 0, 2**16)):
        taking = receiver(params, form, model(2, runtime), threads=threads, strip_positions=positions)
        for payload in passes:
            taking.take(payload)
        assert (taking.show()[0] == form.photo).all()


def ways(passes: list[bytes]) -> list[int]:
    """What each frame's pass begins with: 0 without a past."""
    return [int(AnsStack.from_bytes(payload).pop_bits(np.array([2]))[0]) for payload in passes]


def test_another_scene_is_coded_without_the_past():
    """Where both were tried the smaller is taken; vectors of a way that was not taken leave no trace."""
    told = ways(encoded(moving(6, 48, 64), model())[1])
    assert told[0] == 0 and told[1] and told[2]
    clip = moving(1, 32, 32)
    flat = Clip((np.concatenate([clip.planes[0], np.full_like(clip.planes[0], 77)]),))
    assert ways(encoded(flat, model())[1]) == [0, 0]


def test_a_clip_in_a_stream():
    """The header says 1.7; samples, previews of the first frames, and what is told of it."""
    for sampling in SAMPLINGS:
        clip = moving(4, 21, 19, sampling)
        params, passes, form = encoded(clip, model())
        data = stream_of(clip, form, ARDM(), Encoded(params, passes, model()), digest=clip.digest())
        back = diffcodec.decode_signal(data, model=model())
        assert back.equals(clip)
        about = diffcodec.inspect(data)
        assert about["format"] == "1.7" and about["model"] == "frames" and len(about["passes"]) == 4
        shown = diffcodec.decode(data, model=model(), upto_bytes=about["passes"][1]["end"])
        assert (shown[:2] == clip.array[:2]).all() and (shown[2:] == clip.array[1]).all()
        with pytest.raises(ModelMismatch):
            diffcodec.decode(data, model="photo-ardm")


def test_encode_takes_the_smaller_form():
    """With a network of clips, of photographs, or none: the same samples, as few bytes as any form takes."""
    clip = moving(3, 24, 20)
    data = diffcodec.encode(clip, model=model())
    assert diffcodec.decode_signal(data, model=model()).equals(clip)
    assert len(data) <= len(diffcodec.encode(clip, model="photo-ardm"))
    with pytest.raises(ModelMismatch, match="for clips"):
        diffcodec.encode(clip.planes[0][0], model=model())


def test_clips_have_a_default_model_of_their_own(monkeypatch):
    """Where there is one of the name; pictures keep theirs."""
    monkeypatch.setattr(registry, "FOLDER", Path("nowhere"))
    monkeypatch.setattr(registry, "_registered", {})
    assert registry.default("ardm", "clip") == registry.default("ardm") == "photo-ardm"
    registry.register("clip-ardm", model())
    assert registry.default("ardm", "clip") == "clip-ardm" and registry.default("ardm", "picture") == "photo-ardm"
    assert Sender.of("ardm").provider("clip") is model()


def test_a_codec_has_no_way_for_a_clip_and_a_network_of_pictures():
    form = moving(2, 16, 16).forms()[1]
    assert ARDM().encode(form, None, Wish(), Room(len)) == []


def test_what_costs_too_much_goes_to_the_context_coder():
    blank = Clip((np.zeros((64, 200, 200, 3), np.uint8),))
    form = blank.forms()[1]
    head = Head("ardm", *form.photo.shape[:2], 3, 0, bytes([TEMPORAL, 0]), frames=64)
    found, allowed = ARDM().cost(Prefix(head, [b""] * 64, True))
    assert allowed.exceeded(found, 0) and found.network_pixels > 64 * 200 * 199
    one = ARDM().cost(Prefix(head, [b""], False))[0]
    assert one.network_pixels * 64 == found.network_pixels and one.network_calls * 64 == found.network_calls


# ---- damage


def test_parameters_that_fit_no_clip():
    form = moving(3, 9, 8, "YUV420").forms()[1]
    H, W, _ = form.photo.shape
    for params, frames, C in (
        (b"\6", 3, 1), (b"\6\2\0", 3, 1), (b"\6\3", 3, 1), (b"\6\0", 3, 1), (b"\6\1", 3, 1), (b"\6\2", 3, 3),
        (b"\6\2", 4, 1), (b"\6\2", 42, 1),
    ):  # fmt: skip
        head = Head("ardm", H, W, C, 0, params, frames=frames)
        with pytest.raises(CorruptStream, match="damaged"):
            codec.Receiver(head, model())
        with pytest.raises(CorruptStream):
            ARDM().cost(Prefix(head, [], False))
    with pytest.raises(ModelMismatch, match="frame by frame"):
        codec.Receiver(Head("ardm", H, W, 1, 0, b"\6\2", frames=3), registry.load("photo-ardm"))
    with pytest.raises(CorruptStream, match="2 of its 3 frames"):
        ARDM().cost(Prefix(Head("ardm", H, W, 1, 0, b"\6\2", frames=3), [b"", b""], True))


def test_a_first_frame_with_a_past_is_refused():
    params, passes, form = encoded(moving(2, 16, 20), model())
    assert ways(passes)[1]
    with pytest.raises(CorruptStream, match="first frame"):
        receiver(params, form, model()).take(passes[1])


def test_a_vector_that_is_too_long_is_refused():
    stack, vectors = AnsStack(), np.full((2, 2, 2), FARTHEST + 1, np.int16)
    stack.push_intervals(*Vectors().intervals(vectors))
    with pytest.raises(CorruptStream, match="longer"):
        Vectors().pop(AnsStack.from_bytes(stack.to_bytes()), (2, 2))


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
    return encoded(moving(3, 19, 26, "YUV420"), model())


# ---- motion


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31), st.sampled_from([0, 1, 40, FARTHEST]))
def test_vectors_come_back(rows, columns, seed, far):
    """Frame after frame, whatever they are; frequencies of both sides stay alike."""
    rng, sender, taker = np.random.default_rng(seed), Vectors(), Vectors()
    for _ in range(3):
        vectors = rng.integers(-far, far + 1, (rows, columns, 2)).astype(np.int16)
        stack = AnsStack()
        stack.push_intervals(*sender.intervals(vectors))
        stack = AnsStack.from_bytes(stack.to_bytes())
        assert (taker.pop(stack, (rows, columns)) == vectors).all()
        stack.finish()
        assert (sender.counts == taker.counts).all() and sender.counts.min() >= 1


def test_still_blocks_take_next_to_nothing():
    coder, still = Vectors(), np.zeros((20, 20, 2), np.int16)
    bits = [float((24 - np.log2(coder.intervals(still)[1])).sum()) for _ in range(3)]
    assert bits[2] < bits[0] < 400 and bits[2] < 60


def test_whole_pixels_are_moved_and_edges_go_on():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (13, 22, 3), dtype=np.uint8)
    y, x = np.mgrid[0:13, 0:22]
    for down, right, block in ((0, 0, 4), (3, -2, 8), (-40, 100, 16), (FARTHEST // 4, -FARTHEST // 4, 4)):
        vectors = np.broadcast_to(np.array([4 * down, 4 * right], np.int16), (*grid(13, 22, block), 2))
        wanted = picture[np.clip(y + down, 0, 12), np.clip(x + right, 0, 21)]
        assert (displaced(picture, vectors, block) == wanted).all()
        half = displaced(picture, 2 * vectors.astype(np.int16), 2 * block, halved=True) if abs(down) < 99 else wanted
        assert (half == wanted).all()


def test_parts_of_a_pixel_are_interpolated():
    ramp = np.tile(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], (6, 1, 1))
    for quarters in (1, 2, 3):
        moved = displaced(ramp, np.broadcast_to(np.array([0, quarters], np.int16), (*grid(6, 30, 8), 2)), 8)
        assert (moved[:, 2:-3, 0] == ramp[:, 2:-3, 0] + 2 * quarters).all()


def test_motion_is_found():
    rng = np.random.default_rng(1)
    field = rng.integers(0, 256, (90, 130), dtype=np.uint8)
    for down, right in ((0, 0), (2, -3), (-21, 18)):
        before, now = field[24:66, 24:96], field[24 + down : 66 + down, 24 + right : 96 + right]
        vectors, block = found(now, before)
        assert block in BLOCKS
        middle = vectors[len(vectors) // 2, vectors.shape[1] // 2]
        assert (down, right) == (-21, 18) or tuple(middle) == (4 * down, 4 * right)
        assert np.abs(displaced(before[..., None], vectors, block)[..., 0].astype(int) - now).mean() < 60


# ---- the network


class TestLaws(testing.FrameLaws):
    def make(self) -> LatticeFrames:
        return LatticeFrames(tensors(), 2, "frames", bytes(range(32)))


class TestLawsOfOne(testing.FrameLaws):
    def make(self) -> LatticeFrames:
        return LatticeFrames(tensors(1), 1, "frames", bytes(range(32)), runtime="torch32")


def test_integers_follow_the_floats():
    """A quantised random network against its float parent, on a frame with a past and one without."""
    from diffcodec.models.lattice.geometry import NO_PAST, RGB
    from diffcodec.models.lattice.phases import past_codes, side_codes

    net = network(2, 16, 2).eval()
    frames = moving(2, 64, 64).planes[0]
    image, past = (torch.from_numpy(one).permute(2, 0, 1)[None] for one in (frames[1], frames[0]))
    codes = [[*side_codes(frames[1]), *past_codes(frames[1], frames[0]), RGB], [*side_codes(frames[1]), *NO_PAST, RGB]]
    convs = [m for m in net.modules() if isinstance(m, lattice_net.QuantConv)]
    for m in convs:
        m.observe = []
    given_ = image.expand(2, -1, -1, -1), 0, torch.tensor(codes), past.repeat(2, 2, 1, 1)
    with torch.no_grad():
        net.nats(*given_)
        for m in convs:
            m.calibrate(1.0)
        expected = float(net.nats(*given_)) / np.log(2)
    integers = LatticeFrames(quantise(net), 2, "frames", bytes(32))
    bits = 0.0
    for told, seen in zip(codes, (frames[0], None), strict=True):
        walk = temporal.Lattice(
            frames[1].copy(),
            temporal.Phases(integers.halo, temporal.plainly(integers.frame_strip), 2**16, 0),
            lambda phase, level, told=told: integers.frame_bias(phase, level, tuple(told)),
            [seen, seen],
        )
        part = temporal.PARTS[SAMPLINGS["RGB"]][0]
        units = [(0, phase) for phase in range(3)]
        for _, freqs in temporal.pixels_of(walk, part, units):
            bits += float((24 - np.log2(freqs.astype(float))).sum())
    assert bits == pytest.approx(expected, rel=0.02)


def test_the_copy_of_frequencies_is_deep():
    one = Vectors()
    other = copy.deepcopy(one)
    other.intervals(np.ones((4, 4, 2), np.int16))
    assert (one.counts == Vectors().counts).all() and (other.counts != one.counts).any()


def test_the_context_coder_keeps_frames_too():
    """Photo planes of a clip may be coded without a network: what is affordable for a blank clip."""
    form = moving(2, 12, 10, "YUV420").forms()[1]
    params, passes = codec.encode(form.photo, form.extra, None, method=CONTEXT, frames=2, sampling="YUV420")
    taking = receiver(params, form, None)
    taking.take(passes[0])
    assert taking.complete and (taking.show()[0] == form.photo).all()


@pytest.mark.parametrize("past", [1, 2])
def test_the_second_reader_decodes_the_same(past):
    """Of every sampling and odd sides, with a scene that changes; and refuses the same streams."""
    weights = {name: value.numpy() for name, value in tensors(past).items()}
    for sampling, size in (("RGB", (3, 9, 13)), ("YUV444", (2, 6, 5)), ("YUV420", (5, 13, 11))):
        params, passes, form = encoded(moving(*size, sampling), model(past))
        H, W, C = form.photo.shape
        assert past == 1 or len(set(ways(passes))) > 1
        found_ = clips.decode(params[1:], passes, (H, W, C), size[0], weights, past)
        assert (found_ == form.photo).all()
        with pytest.raises(Refused, match="past"):
            clips.decode(params[1:], [passes[1], *passes[1:]], (H, W, C), size[0], weights, past)
