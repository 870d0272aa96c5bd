"""What the command says: its standard streams, closed or not, lines that a terminal does not obey, and every bar."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..runtime import compiling, stages
from ..runtime.errors import DiffcodecError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..runtime.progress import Progress

_REMEMBERED = 64  # reports that a rate is read from
_SETTLED = 4  # of them tell a rate without the beginning
_BAR = 32  # columns


_hushed = False  # whether only warnings and errors are said


class Interrupted(Exception):
    """The user stopped a command; the message says what is kept and how to go on."""


@contextlib.contextmanager
def interruptible(kept: Callable[[], str]) -> Iterator[None]:
    """Within, an interrupt becomes `Interrupted` with what ``kept`` says then."""
    try:
        yield
    except KeyboardInterrupt:
        told = "nothing is known of what is kept"
        with contextlib.suppress(DiffcodecError, OSError):
            told = kept()
        raise Interrupted(told) from None


class _Closed(io.RawIOBase):
    """Stands for a standard stream that was closed before the command began: says so to who needs it."""

    def __init__(self, name: str):
        self._name = name

    @property
    def buffer(self) -> _Closed:
        return self

    def _refuse(self, *_: Any) -> Any:
        raise OSError(errno.EBADF, "it is closed", f"standard {self._name}")

    read = readall = readinto = readline = write = _refuse  # type: ignore[assignment]


def prepare() -> None:
    """To be called before anything is opened."""
    hush(False)
    if None in (sys.stdin, sys.stdout, sys.stderr):
        # so that no file opened later gets the number of a standard stream, and with it what libraries print
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
    if sys.stdin is None:
        sys.stdin = _Closed("input")  # type: ignore[assignment]
    if sys.stdout is None:
        sys.stdout = _Closed("output")  # type: ignore[assignment]
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def hush(quiet: bool) -> None:
    """From now on neither `tell` nor draw bars, if ``quiet``."""
    global _hushed
    _hushed = quiet


def tell(text: object) -> None:
    """What went well, as one line on standard error, unless that is not wanted."""
    if not _hushed:
        say(line(text))


def say(text: str) -> None:
    """A line on standard error, if somebody is there to read it."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _abandon(sys.stderr)


def flush(code: int) -> int:
    """The status to leave with: ``code``, or 1 if what was printed reaches nobody."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = abandon_stdout()
    except OSError as error:
        abandon_stdout()
        say(f"error: standard output: {error.strerror or error}")
        code = 1
    return code


def abandon_stdout() -> int:
    """The reader went away: say nothing, and keep the interpreter's own flush at exit quiet."""
    _abandon(sys.stdout)
    return 1


def _abandon(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def line(message: object) -> str:
    """A message as one line that a terminal shows and does not obey.

    Control characters, marks that turn the direction of writing, and bytes of names that are no text are escaped.
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in re.sub(r"\s*[\r\n]\s*", " ", str(message).strip()))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python keeps it in names of files
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode() if not 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


# ---- bars


class Meter:
    """How far something has come, which never falls, and when it will be done.

    clock: seconds, as from `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._start = clock()
        self._reports: deque[tuple[float, float]] = deque([(self._start, 0.0)], _REMEMBERED)
        self.fraction = 0.0

    def report(self, fraction: float) -> None:
        """Take the fraction done, 0 to 1; less than before changes nothing."""
        if fraction > self.fraction:
            self.fraction = min(fraction, 1.0)
            self._reports.append((self._clock(), self.fraction))
            if len(self._reports) == _SETTLED and self._reports[0][1] == 0:
                self._reports.popleft()  # what came before the first report was loading and compiling

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._start

    def left(self) -> float | None:
        """Seconds that are left, by the rate of late; None before there is one, and when all is reported done.

        It falls with the clock until a report is due, after the mean time between two, and grows with it from then on:
        what has been late for some time may well be as long again.
        """
        (first, before), (last, now) = self._reports[0], self._reports[-1]
        if now <= before or last <= first or now >= 1:
            return None
        expected = (1 - now) * (last - first) / (now - before)
        due = min(expected, (last - first) / (len(self._reports) - 1))
        silent = self._clock() - last
        return expected - min(silent, due) + max(0.0, silent - due)


@contextlib.contextmanager
def bar(what: str | Callable[[], str]) -> Iterator[Progress | None]:
    """A bar on standard error while something is done, gone when it is; None where no terminal shows it.

    what: is done, asked each time where it changes.

    It is drawn ten times a second by a thread of its own, with a wheel and the seconds that have passed: the work may
    say nothing for long. While kernels are compiled, it says so.
    """
    if _hushed or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    meter, shown = Meter(), Console(stderr=True)
    wheel = Spinner("dots" if shown.encoding.startswith("utf") else "line")

    def drawn() -> RenderableType:
        return _drawn(wheel, what if isinstance(what, str) else what(), meter)

    with Live(get_renderable=drawn, console=shown, transient=True, refresh_per_second=10):
        yield meter.report


def _drawn(wheel: RenderableType, what: str, meter: Meter) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 1))
    begun = meter.fraction > 0
    left = meter.left()
    told = _clock(meter.elapsed()) + (f", {_clock(left)} left" if left is not None else "")
    if meter.fraction >= 1:
        told += ", finishing"
    if compiling.now():
        told += "  compiling kernels, which a first run does"
    elif stages.now():
        told += f"  {line(stages.now())}"
    row.add_row(
        wheel,
        Text(what, no_wrap=True),
        ProgressBar(total=1.0, completed=meter.fraction, width=_BAR, pulse=not begun),
        Text(f"{int(100 * meter.fraction):3} %" if begun else "", no_wrap=True),
        Text(told, no_wrap=True, overflow="ellipsis"),
    )
    return row


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
