"""Laws of codecs: what a row of `codecs.table.CODECS` promises to streams and their readers, whatever its model."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from ..codecs.codec import About, Head, Prefix, Room, Wish
from ..codecs.reconstruction import DEFAULT, MEAN, NAMED, Reconstruction
from ..models.architectures import first_line
from ..models.protocols import EXACT, PINNED
from ..runtime.errors import CorruptStream, InputError, LimitExceeded, ModelMismatch, Truncated
from ..runtime.progress import Progress
from ..runtime.threads import limited
from .coding import Case, CodecExamples, Example, Shown, framed
from .laws import LawBroken, demand, nobody_drew

REFUSED = (CorruptStream, InputError, LimitExceeded, ModelMismatch, Truncated)  #: what forged parameters may raise
WORSE = 1.05  #: times the squared error of the best picture before, that one more pass may show by chance
RECONSTRUCTIONS = (*NAMED.values(), Reconstruction.of(realism=0.5))
FEW = 48  #: samples of which a few bits may tell much more or less by chance


class CodecLaws(CodecExamples):
    """What holds of every `codecs.codec.Codec`; ``make`` gives it, a row of the table."""

    # ---- what comes back

    def test_planes_come_back(self) -> None:
        """After the last pass the planes are there; of a lossy stream the extra ones, and a picture of the others."""
        for case in self.cases:
            receiver = self.received(case)
            demand(receiver.complete, f"{case.told}: incomplete after all {len(case.passes)} passes")
            for reconstruction in RECONSTRUCTIONS:
                photo, extra = self.shown(receiver, case, reconstruction)
                demand(extra is not None, f"{case.told}: the extra planes are missing")
                demand(_equal(extra, case.planes.extra), f"{case.told}: the extra planes are others")
                demand(not case.room.exact or _equal(photo, case.planes.photo), f"{case.told}: the planes are others")

    def test_parameters_say_what_comes(self) -> None:
        """about(): a digest stands behind what is exact and nothing else, a model is asked for where one is needed."""
        for case in self.cases:
            codec, encoded = self.codec(), case.encoded
            about = codec.about(encoded.params)
            demand(about.lossy != case.room.exact, f"{case.told}: about().lossy is {about.lossy}")
            if about.lossy:
                count = len(encoded.params)
                demand(count == codec.params_bytes, f"{case.told}: {count} bytes of parameters, not params_bytes")
            else:
                numerics = self.numerics(encoded)
                demand(numerics in (EXACT, PINNED), f"{case.told}: the exact picture by numerics {numerics}")
                demand(numerics == EXACT or about.environment, f"{case.told}: pinned, and not told to what")
            if not about.needs_model:
                without = replace(case, encoded=replace(encoded, model=None))
                found = self.tried(without, case.passes, "without a model, which it says is not needed")
                demand(found is not None, f"{case.told}: nothing is shown without a model")

    def test_rooms_are_kept(self) -> None:
        """Passes to a size take no more bytes with their frames; a room of the fewest bytes is one."""
        codec = self.codec()
        coded, least = list(self.cases), Room(framed, framed(codec.fewest_bytes))
        for height, width, photo, _ in self.shapes if codec.lossy else ():
            if photo:
                told = f"{height}×{width} of {photo} planes to {codec.fewest_bytes} bytes"
                coded += self.either(partial(self.coded, self.example(height, width, photo, 0), least), (), told) or []
        for case in coded:
            spent, most = sum(map(framed, map(len, case.passes))), case.room.size
            demand(most is None or spent <= most, f"{case.told}: the passes take {spent} bytes with their frames")

    def test_ways_are_taken_again(self) -> None:
        """Parameters of one picture lead to another of its kind, which comes back."""
        for case in self.cases:
            if case.room.exact:
                for again in self.coded(case.planes, case.room, like=case.encoded.params):
                    photo, _ = self.shown(self.received(again), again)
                    demand(_equal(photo, case.planes.photo), f"{case.told}, as before: the planes are others")

    # ---- prefixes

    def test_every_prefix_shows_a_picture(self) -> None:
        """Or raises Truncated until there is one; pictures get better, extra planes stay once they are there."""
        for case in self.cases:
            receiver = self.codec().receiver(case.head, case.encoded.model)
            best, there = math.inf, 0
            for number in range(len(case.passes) + 1):
                if number:
                    receiver.take(case.passes[number - 1])
                told = f"{case.told}, after {number} of {len(case.passes)} passes"
                found = self.looked(receiver, case, f"after {number} passes")
                if found is None:
                    demand(math.isinf(best), f"{told}: there was a picture, now there is none")
                    demand(not self.given, f"{told}: no picture, though the model was given one")
                    continue
                photo, extra = found
                error, count = case.error(photo), 0 if extra is None else extra.shape[2]
                demand(error <= WORSE * best + 1, f"{told}: squared error {error:.1f} where it was {best:.1f}")
                demand(count >= there, f"{told}: {count} extra planes where there were {there}")
                best, there = min(best, error), count
            demand(math.isfinite(best), f"{case.told}: nothing is ever shown")

    def test_what_is_known_is_what_was_encoded(self) -> None:
        """Pixels that are said to be exact are; what was known stays known, and all of it in the end without loss.

        A receiver need not tell.
        """
        for case in self.cases:
            receiver = self.codec().receiver(case.head, case.encoded.model)
            if receiver.known() is None:
                continue
            before = np.zeros(case.planes.photo.shape[:2], bool)
            for number, payload in enumerate(case.passes, 1):
                receiver.take(payload)
                known, told = receiver.known(), f"{case.told}, after {number} of {len(case.passes)} passes"
                assert known is not None
                demand(known.dtype == bool and known.shape == before.shape, f"{told}: known is no bool of its size")
                demand(not (before & ~known).any(), f"{told}: pixels were known, and now are not")
                found = self.looked(receiver, case, f"after {number} passes") if known.any() else None
                if found is not None and found[0].size:
                    same = (found[0] == case.planes.photo).all(2)
                    demand(bool(same[known].all()), f"{told}: pixels that are known are others")
                before = known
            whole = self.codec().about(case.head.params)
            demand(whole.lossy or bool(before.all()), f"{case.told}: not every pixel is known in the end")

    def test_a_receiver_mirrors_the_encoder(self) -> None:
        """Pass by pass or all at once, looked at or not; the model is asked what the encoder asked, in its order."""
        for case in self.cases:
            asked: list[bytes] = []
            calls: list[bytes] = []
            whole = self.received(case, model=self.watched(case.encoded.model, calls))
            if not self.wish.tune:  # then the encoder asked other models as well
                self.coded(case.planes, case.room, model=self.watched(self.provider, asked))
                left = iter(asked)
                demand(all(call in left for call in calls), f"{case.told}: the model is asked otherwise by the encoder")
            looked = self.codec().receiver(case.head, case.encoded.model)
            for number, payload in enumerate(case.passes):
                looked.take(payload)
                told = f"after {number + 1} passes"
                first, again = (self.looked(looked, case, told) for _ in range(2))
                demand(alike(first, again), f"{case.told}, {told}: another picture when it is looked at again")
            one, other = (self.shown(receiver, case) for receiver in (whole, looked))
            demand(alike(one, other), f"{case.told}: other planes if it is looked at pass by pass")

    def test_no_pass_is_too_many(self) -> None:
        """What stands behind the last pass of an exact picture is damage, and complete says where that is."""
        for case in self.cases:
            if not case.room.exact:
                continue
            early = self.received(case, case.passes[:-1])
            demand(not early.complete, f"{case.told}: complete before the last pass")
            for more in (b"", b"\0", *case.passes[-1:]):
                found = self.tried(case, [*case.passes, more], f"with a pass {more[:8].hex()} too many")
                demand(found is None, f"{case.told}: a pass too many is taken")

    # ---- damage

    def test_cut_passes_are_found(self) -> None:
        """A pass that ends early raises CorruptStream or Truncated, or shows another picture, which a digest finds."""
        for case in self.cases:
            for number, payload in enumerate(case.passes):
                for size in self.places(len(payload)):
                    told = f"pass {number} cut to {size} of {len(payload)} bytes"
                    before, behind = case.passes[:number], case.passes[number + 1 :]
                    found = self.tried(case, [*before, payload[:size]], told)
                    if case.room.exact and found is not None:
                        whole = self.tried(case, [*before, payload[:size], *behind], told)
                        same = whole is not None and alike(whole, (case.planes.photo, case.planes.extra))
                        demand(not same, f"{case.told}, {told}: nothing is missing")

    def places(self, size: int) -> list[int]:
        """Numbers below ``size``, all or as many as are tried."""
        return sorted({*np.linspace(0, size - 1, min(size, self.trials)).astype(int).tolist()}) if size else []

    def test_damaged_passes_are_found_or_shown(self) -> None:
        """Flipped bits, strangers' bytes: CorruptStream, Truncated, or some picture, for checksums to find."""
        random = np.random.default_rng(0)
        for case in self.cases:
            for _ in range(self.trials if case.passes else 0):
                number = int(random.integers(len(case.passes)))
                passes = list(case.passes)
                flip = random.random() < 0.7
                passes[number] = _flipped(passes[number], random) if flip else random.bytes(int(random.integers(80)))
                self.tried(case, passes, f"pass {number} damaged")

    def test_parameters_of_anyone_are_refused(self) -> None:
        """With other parameters, or another header, errors are ours, or something is decoded."""
        random = np.random.default_rng(1)
        for case in self.cases:
            for head in self.forged(case, random):
                told = f"parameters {head.params[:8].hex()}… of {head.photo} and {head.extra} planes"
                self.either(partial(self.decoded_within_limits, case, head), REFUSED, f"{case.told}, {told}")

    def decoded_within_limits(self, case: Case, head: Head) -> None:
        """What a reader does that has checked the cost before. Raises what the codec does."""
        codec, size = self.codec(), sum(map(len, case.passes))
        for count in (1, len(case.passes)):
            prefix = Prefix(head, case.passes[:count], count == len(case.passes))
            found, allowed = codec.cost(prefix, MEAN)
            if allowed.exceeded(found, size):
                return
        self.received(case, head=head).show(MEAN)

    def forged(self, case: Case, random: np.random.Generator) -> Iterator[Head]:
        """Headers that nobody wrote: a few kinds of each, and as many flips and strangers' bytes as are tried."""
        head, params = case.head, case.head.params
        for wrong in (b"", params[:1], params[:-1], params + b"\0"):
            yield replace(head, params=wrong)
        for first in (*range(8), 255):
            yield replace(head, params=bytes([first]) + params[1:])
        for _ in range(self.trials):
            yield replace(head, params=_flipped(params, random))
            yield replace(head, params=random.bytes(int(random.integers(12))))
        for photo in (0, 1, 3):
            yield replace(head, photo=photo)
        for extra in (0, head.extra + 1, 9):
            yield replace(head, extra=extra)
        yield replace(head, indexed=True)
        yield replace(head, seed=2**64 - 1)
        yield replace(head, height=head.height + 1)

    def test_about_answers_any_bytes(self) -> None:
        """Whatever the parameters, the same at every time."""
        random = np.random.default_rng(2)
        every = [b"", *(bytes([k]) + random.bytes(int(random.integers(40))) for k in range(256))]
        codec = self.codec()
        for params in every + [case.encoded.params for case in self.cases]:
            told = f"about({params[:8].hex()}…)"
            try:
                about, again = codec.about(params), codec.about(params)
            except Exception as error:
                raise LawBroken(f"{told}: {type(error).__name__}: {first_line(error)}") from error
            demand(isinstance(about, About) and about == again, f"{told} is {about}, then {again}")
            demand(isinstance(about.environment, str), f"{told}: an environment that is no text: {about.environment!r}")

    # ---- work

    def test_cost_bounds_the_work(self) -> None:
        """Of any prefix, by some reconstruction: no more network calls than were told, and readers allow them."""
        for case in self.cases:
            for count in range(1, len(case.passes) + 1):
                prefix = Prefix(case.head, case.passes[:count], count == len(case.passes))
                for reconstruction in RECONSTRUCTIONS if prefix.complete else (DEFAULT,):
                    self.bounded(case, prefix, reconstruction)

    def bounded(self, case: Case, prefix: Prefix, reconstruction: Reconstruction) -> None:
        """That what is told of a prefix is as much as it takes. Raises LawBroken."""
        told = f"{case.told}, {len(prefix.passes)} passes, {reconstruction.name}"
        found, allowed = self.codec().cost(prefix, reconstruction)
        demand(found.pixels == case.head.pixels, f"{told}: {found.pixels} pixels are told")
        demand(found.own_bytes >= 0, f"{told}: less memory than for the picture alone is told")
        over = allowed.exceeded(found, sum(map(framed, map(len, prefix.passes))))
        demand(not over, f"{told}: its own stream is not allowed: {over}")
        calls: list[bytes] = []
        receiver = self.received(case, prefix.passes, model=self.watched(case.encoded.model, calls))
        with contextlib.suppress(Truncated):
            receiver.show(reconstruction)
        most = found.network_calls
        demand(len(calls) <= most, f"{told}: {len(calls)} network calls where {most} are told")

    def test_progress_rises_to_one(self) -> None:
        """Of encoding and of taking all passes: never back, from 0 to exactly 1, which comes."""
        for case in self.cases:
            for told, work in self.works(case):
                seen: list[float] = []
                work(seen.append)
                demand(seen and seen[-1] == 1, f"{told}: progress ends at {seen[-1:]}, expected 1")
                demand(seen == sorted(seen) and seen[0] >= 0, f"{told}: progress goes back, or beyond 0 to 1")

    def works(self, case: Case) -> list[tuple[str, Callable[[Progress], object]]]:
        """What tells its progress: (which it is, the call that takes a progress)."""

        def encode(progress: Progress) -> object:
            return self.coded(case.planes, case.room, progress=progress)

        def take_all(progress: Progress) -> object:
            return self.received(case, progress=progress)

        return [(f"{case.told}: encode", encode), (f"{case.told}: take_all", take_all)]

    def test_work_can_be_stopped(self) -> None:
        """By a progress that raises: that reaches the caller, nothing is told any more, the next call is as ever."""
        for case in self.cases:
            wanted = self.shown(self.received(case), case)
            for told, work in self.works(case):
                before = torch.get_num_threads(), torch.is_grad_enabled()
                self.stopped(told, work)
                demand(before == (torch.get_num_threads(), torch.is_grad_enabled()), f"{told}: leaves other settings")
            again = self.coded(case.planes, case.room)
            demand(any(map(case.is_stream_of, again)), f"{case.told}: encoded otherwise after a call that was stopped")
            found = self.shown(self.received(case), case)
            demand(alike(found, wanted), f"{case.told}: decoded otherwise after a call that was stopped")

    def stopped(self, told: str, work: Callable[[Progress], object]) -> None:
        """That some work ends where it is told to, early and later. Raises LawBroken."""
        seen: list[float] = []
        work(seen.append)
        for last in sorted({1, (len(seen) + 1) // 2}):
            stop = _Stop(last)
            try:
                work(stop.progress)
            except _Stop as error:
                demand(error is stop, f"{told}: another exception than the caller's reaches him")
            except Exception as error:
                raise LawBroken(f"{told}: stopped, it raises {type(error).__name__}: {first_line(error)}") from error
            else:
                raise LawBroken(f"{told}: goes on where it was stopped")
            demand(stop.told == last, f"{told}: progress is told after it was stopped")

    # ---- wishes

    def test_wishes_are_refused_or_met(self) -> None:
        """refuse() raises InputError or nothing; a lossless codec refuses rates, a lossy one takes each alone."""
        codec = self.codec()
        for name, wish in {"bpp": Wish(bpp=1.0), "psnr": Wish(psnr=30.0), "max_bytes": Wish(max_bytes=1000)}.items():
            refused = self.refuses(wish)
            demand(not (codec.lossy and refused), f"a lossy codec refuses {name}")
            demand(codec.lossy or refused or name == "max_bytes", f"a lossless codec takes {name}")
        for value in (math.nan, math.inf, -math.inf, -1.0, 0.0):
            demand(self.refuses(Wish(bpp=value)), f"bpp = {value} is not refused")
            demand(self.refuses(Wish(psnr=value)), f"psnr = {value} is not refused")
        for wish in (Wish(), self.wish):
            demand(not self.refuses(wish), f"the wish of the examples is refused: {wish}")
        for wish in (Wish(calls=3), Wish(calls=0), Wish(tune=True), Wish(prompt="a cat"), Wish(prompt="", tune=True)):
            if not self.refuses(wish):
                self.met(self.cases[0].planes, wish)

    def refuses(self, wish: Wish) -> bool:
        """Whether a wish is refused, in one line. Raises LawBroken."""
        try:
            self.codec().refuse(wish)
        except InputError as error:
            demand("\n" not in str(error), f"a refusal takes several lines: {first_line(error)}")
            return True
        except Exception as error:
            raise LawBroken(f"refuse({wish}): {type(error).__name__}: {first_line(error)}") from error
        return False

    def met(self, planes: Example, wish: Wish) -> None:
        """That a wish which refuse() let through is met, or refused where the model is known. Raises LawBroken."""
        cases = self.either(lambda: self.coded(planes, Room(framed), wish=wish), (InputError,), str(wish))
        for case in cases or ():
            photo, _ = self.shown(self.received(case), case)
            demand(_equal(photo, planes.photo), f"{wish}: the planes are others")

    # ---- what is the same again

    def test_the_same_again(self) -> None:
        """Encoded twice the bytes are the same, and nobody's generator was drawn from."""
        for case in self.cases:
            with nobody_drew():
                again = self.coded(case.planes, case.room)
            demand(any(map(case.is_stream_of, again)), f"{case.told}: encoded again, the bytes are others")

    def test_the_seed_of_the_header_is_the_seed(self) -> None:
        """Whatever it is, a reader who has it has all: pictures come back as with any other."""
        for case in self.cases:
            wanted = case.error(self.shown(self.received(case), case)[0])
            for seed in (1, 2**64 - 1):
                for other in self.coded(case.planes, case.room, wish=replace(self.wish, seed=seed)):
                    found = self.tried(other, other.passes, f"seed {seed}")
                    error = math.inf if found is None else case.error(found[0])
                    few = other.planes.photo.size < FEW and not case.room.exact
                    told = f"{case.told}: squared error {error:.1f} with seed {seed}, {wanted:.1f} with another"
                    demand(few or error <= 4 * wanted, told)

    def test_threads_change_nothing(self) -> None:
        """Of exact streams: encoded and decoded alike, however many threads work on them."""
        exact = [case for case in self.cases if case.room.exact and self.numerics(case.encoded) == EXACT]
        if exact and self.large is not None:
            exact += self.coded(self.example(*self.large), Room(framed))
        for case in exact:
            for threads in (1, 3):
                told = f"{case.told}, {threads} threads"
                with limited(threads):
                    again = self.coded(case.planes, case.room)
                    photo, _ = self.shown(self.received(case), case)
                demand(any(map(case.is_stream_of, again)), f"{told}: the bytes are others")
                demand(_equal(photo, case.planes.photo), f"{told}: the planes are others")


def alike(one: Shown | None, other: Shown | None) -> bool:
    """Whether two receivers show the same planes, uint8 (H, W, C) and (H, W, E), or neither any."""
    if one is None or other is None:
        return one is other
    return _equal(one[0], other[0]) and _equal(one[1], other[1])


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _flipped(data: bytes, random: np.random.Generator) -> bytes:
    """With another bit at some place."""
    out = bytearray(data or b"\0")
    out[random.integers(len(out))] ^= 1 << int(random.integers(8))
    return bytes(out)


class _Stop(Exception):
    """A caller's own, raised when progress is told for the ``last`` time."""

    def __init__(self, last: int):
        super().__init__(f"stopped at {last}")
        self.last, self.told = last, 0

    def progress(self, fraction: float) -> None:
        self.told += 1
        if self.told >= self.last:
            raise self
