"""Fuzz every decoder with inputs whose checksums are mended, so that what was changed reaches them.

    python -m tools.fuzz --inputs 1000000 --out benchmarks/results/fuzz/rows.txt
    python -m tools.fuzz --kernels --boundscheck --inputs 100000
    python -m tools.fuzz --replay tests/fuzz/crashers/*

An input is a golden file, one of tests/fuzz/corpus or a stream that was given something, changed in its header,
parameters, passes, metadata, what it was given, its list of chunks, or an archive's directories, groups and index. What
is counted as foreign is every exception that is not ours, and every one that only the last net
(`diffcodec.runtime.hostile`) made ours. Those inputs, the ones that take more than 10 s of the processor (or a minute)
and the ones after which the process has grown by more than MEMORY bytes go to tests/fuzz/crashers.
--kernels feeds the compiled kernels themselves, with --boundscheck under NUMBA_BOUNDSCHECK=1. --engine atheris lets
that library choose the bytes that the changes are drawn from.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffcodec
from diffcodec import DiffcodecError, Unforeseen
from tools.fuzz_given import SUPPLIED, Taking
from tools.fuzz_inputs import FOLDER, Draw, seeds

SAME: dict[str, Any] = {"device": "cpu", "given": SUPPLIED}  #: in all calls for streams
SECONDS, MEMORY = 10, 400 * 2**20  #: of the processor for one decoder's call; by which the process may grow


class Hang(BaseException):
    """A decoder took longer than SECONDS."""


# ---- decoders


def _pillow(data: bytes, draw: random.Random) -> None:
    from PIL import Image, UnidentifiedImageError

    import diffcodec.pillow  # noqa: F401

    Image.MAX_IMAGE_PIXELS = None  # Pillow's own guard comes before ours, and is not ours
    try:
        with Image.open(io.BytesIO(data), formats=["DFC"]) as image:
            image.load()
    except UnidentifiedImageError:
        pass


def _unpack(data: bytes, draw: random.Random) -> None:
    from diffcodec.archive.folder import unpack

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.dfca")
        Path(path).write_bytes(data)
        unpack(path, os.path.join(folder, "out"), device="cpu", max_pixels=pixels(draw))


def _picture(data: bytes, draw: random.Random) -> None:
    with diffcodec.open_picture(data, draw.randrange(4), max_pixels=pixels(draw)) as file:
        diffcodec.decode(file, max_pixels=pixels(draw), **SAME)


def pixels(draw: random.Random) -> int | None:
    """Mostly few, so that many inputs are tried; the default now and then."""
    return None if draw.random() < 0.05 else 4096


def decoders(name: str) -> dict[str, tuple[float, Callable[[bytes, random.Random], object]]]:
    """(share of inputs, call) by name."""
    if name.endswith(".dfca"):
        return {
            "inspect_archive": (0.5, lambda d, r: diffcodec.inspect_archive(d, max_pixels=pixels(r))),
            "decode_archive": (1.0, lambda d, r: diffcodec.decode_archive(d, device="cpu", max_pixels=pixels(r))),
            "decode_archive skip": (
                0.3,
                lambda d, r: diffcodec.decode_archive(d, device="cpu", max_pixels=pixels(r), damaged="skip"),
            ),
            "unpack": (0.1, _unpack),
            "open_picture": (0.2, _picture),
        }
    return {
        "inspect": (0.3, lambda d, r: diffcodec.inspect(d, partial=r.random() < 0.5, max_pixels=pixels(r))),
        "decode": (1.0, lambda d, r: diffcodec.api.decode_signal(d, frames=True, max_pixels=pixels(r), **SAME)),
        "decode upto_bytes": (
            0.4,
            lambda d, r: diffcodec.api.decode_signal(
                d, upto_bytes=r.randrange(1, len(d) + 2), reconstruction="mean", max_pixels=pixels(r), **SAME
            ),
        ),
        "decode_progressive": (
            0.2,
            lambda d, r: list(
                diffcodec.decode_progressive([d[: len(d) // 2], d[len(d) // 2 :]], max_pixels=pixels(r), **SAME)
            ),
        ),
        "decode size": (
            0.1,
            lambda d, r: diffcodec.api.decode_signal(d, size=r.randrange(1, 64), max_pixels=pixels(r), **SAME),
        ),
        "Pillow": (0.1, _pillow),
    }


def within(limit: float, call: Callable[[], object]) -> None:
    """Calls it. Raises Hang after ``limit`` seconds of the processor, or six times that by the clock; 0 is none."""
    signal.setitimer(signal.ITIMER_PROF, limit)
    signal.setitimer(signal.ITIMER_REAL, 6 * limit)
    try:
        call()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


class Session:
    """Counts of a run. reached: calls that came past the container, by decoder."""

    def __init__(self, crashers: Path | None):
        self.crashers = crashers
        self.inputs = 0
        self.calls: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.slowest = 0.0
        self.peak = 0

    def attempt(
        self, decoder: str, call: Callable[[], object], data: bytes, suffix: str, limit: float = SECONDS
    ) -> None:
        """One call of a decoder, of ``limit`` seconds of the processor; 0 is without a limit."""
        self.calls[decoder] += 1
        start, fault = time.process_time(), None
        try:
            try:
                within(limit, call)
            except Hang:  # a kernel may have been compiled in that time: then not again
                with contextlib.suppress(Exception):
                    within(6 * limit, call)
                start = time.process_time()
                within(limit, call)
            outcome = "decoded"
        except Unforeseen as error:
            fault = outcome = f"foreign {type(error.__cause__).__name__}: {str(error.__cause__)[:100]}"
        except DiffcodecError as error:
            outcome = type(error).__name__
        except Hang:
            fault = outcome = f"hang of {SECONDS} s"
        except Exception as error:
            fault = outcome = f"foreign {type(error).__name__}: {str(error)[:100]}"
        self.slowest = max(self.slowest, time.process_time() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if self.peak and peak > self.peak + MEMORY and self.inputs > 2000:
            fault = f"memory {(peak - self.peak) >> 20} MiB more"
        self.peak = peak
        self.outcomes[f"{decoder}: {outcome.split(':')[0]}"] += 1
        if fault:
            self.fault(f"{decoder}: {fault}", data, suffix)

    def fault(self, what: str, data: bytes, suffix: str) -> None:
        self.faults[what] += 1
        if self.crashers is not None and self.faults[what] <= 3:
            name = hashlib.sha256(data).hexdigest()[:16] + suffix
            (self.crashers / name).write_bytes(data)
            print(f"{what}\n    {self.crashers / name}", flush=True)

    def text(self, seconds: float) -> str:
        foreign = sum(n for what, n in self.faults.items() if ": foreign" in what)
        lines = [
            f"inputs                 {self.inputs}",
            f"calls of decoders      {sum(self.calls.values())}",
            f"foreign exceptions     {foreign}",
            f"hangs over {SECONDS} s        {sum(n for what, n in self.faults.items() if ': hang' in what)}",
            f"memory over {MEMORY >> 20} MiB    {sum(n for what, n in self.faults.items() if ': memory' in what)}",
            f"slowest call           {self.slowest:.2f} s",
            f"largest process        {self.peak >> 20} MiB",
            f"seconds                {seconds:.0f}",
            "",
            *(f"{n:9} {what}" for what, n in sorted(self.outcomes.items())),
            "",
            *(f"{n:9} FAULT {what}" for what, n in sorted(self.faults.items())),
        ]
        return "\n".join(lines) + "\n"


def one_input(session: Session, files: list[tuple[str, bytes]], weights: list[float], number: int) -> None:
    draw = Draw(number)
    (_name, data), (_, other) = draw.r.choices(files, weights, k=2)
    try:
        made = draw.changed(data, other)
    except (IndexError, ValueError):  # what lent a piece is no container
        made = draw.havoc(data)
    session.inputs += 1
    suffix = ".dfca" if made[3:4] == b"A" else ".dfc"
    for decoder, (share, call) in decoders(suffix).items():
        if draw.r.random() < share:
            session.attempt(decoder, lambda call=call: call(made, random.Random(number)), made, suffix)


def replay(session: Session, path: Path) -> None:
    """Every decoder on one file."""
    data, suffix = path.read_bytes(), path.suffix
    session.inputs += 1
    for decoder, (_, call) in decoders(suffix).items():
        for seed in range(3):
            session.attempt(decoder, lambda call=call, seed=seed: call(data, random.Random(seed)), data, suffix)


def warm() -> None:
    """Every seed once, so that imports, compiling and loading of models count for no input; the test model is known."""
    diffcodec.register_model("white", Taking())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = Session(None)
        for name, data in seeds()[0]:
            suffix = os.path.splitext(name)[1]
            decoder = "decode_archive" if suffix == ".dfca" else "decode"
            call = decoders(suffix)[decoder][1]
            session.attempt(decoder, lambda call=call, data=data: call(data, random.Random(1)), data, suffix, 0)


def _alarm(*_: Any) -> None:
    raise Hang


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings, and an alarm that stops what hangs."""
    before = [(kind, signal.signal(kind, _alarm)) for kind in (signal.SIGALRM, signal.SIGPROF)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for kind, handler in before:
            signal.signal(kind, handler)


def run(inputs: int, first: int, crashers: Path | None, out: Path | None = None, seconds: float = 1e9) -> Session:
    """Inputs numbered from ``first`` on, each by its number alone."""
    warm()
    session, (files, weights) = Session(crashers), seeds()
    start = time.monotonic()
    with quiet():
        for number in range(first, first + inputs):
            one_input(session, files, weights, number)
            if out is not None and session.inputs % 5000 == 0:
                out.write_text(session.text(time.monotonic() - start))
            if time.monotonic() - start > seconds:
                break
    if out is not None:
        out.write_text(session.text(time.monotonic() - start))
    return session


def with_atheris(inputs: int, crashers: Path | None) -> None:
    import atheris

    session, (files, weights) = Session(crashers), seeds()

    def test(data: bytes) -> None:
        one_input(session, files, weights, int.from_bytes(data[:8].ljust(8, b"\0"), "little"))
        if session.faults:
            print(session.text(0))

    warm()
    with quiet():
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], f"-runs={inputs}", "-max_len=8"], test)
        atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input: others give other inputs")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--boundscheck", action="store_true")
    parser.add_argument("--engine", choices=["own", "atheris"], default="own")
    parser.add_argument("--replay", type=Path, nargs="*")
    options = parser.parse_args()
    if options.boundscheck and os.environ.get("NUMBA_BOUNDSCHECK") != "1":
        cache = tempfile.mkdtemp(prefix="boundscheck-")
        os.environ |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": cache}
        os.execv(sys.executable, [sys.executable, "-m", "tools.fuzz", *sys.argv[1:]])
    crashers = FOLDER / "crashers"
    if options.kernels:
        from tools.fuzz_kernels import run as run_kernels

        found = run_kernels(options.inputs, options.first)
        print(json.dumps(found, indent=1))
        if options.out:
            options.out.write_text(json.dumps(found, indent=1) + "\n")
        sys.exit(bool(found["faults"]))
    if options.replay is not None:
        diffcodec.register_model("white", Taking())
        session = Session(None)
        with quiet():
            for path in options.replay:
                replay(session, path)
    elif options.engine == "atheris":
        return with_atheris(options.inputs, crashers)
    elif options.jobs > 1:
        from concurrent.futures import ProcessPoolExecutor

        each = -(-options.inputs // options.jobs)
        starts = [options.first + i * each for i in range(options.jobs)]
        with ProcessPoolExecutor(options.jobs) as pool:
            done = list(pool.map(run, [each] * options.jobs, starts, [crashers] * options.jobs))
        session = done[0]
        for other in done[1:]:
            session.inputs += other.inputs
            for name in ("calls", "outcomes", "faults"):
                getattr(session, name).update(getattr(other, name))
            session.slowest, session.peak = max(session.slowest, other.slowest), max(session.peak, other.peak)
    else:
        session = run(options.inputs, options.first, crashers, options.out, options.seconds)
    print(session.text(0))
    sys.exit(bool(session.faults))


if __name__ == "__main__":
    main()
