"""Tasks on a Ray cluster (extra `ray`): an actor for each core or GPU, which loads its models once.

The cluster is the one that RAY_ADDRESS names ("auto": the one that `ray start` began here), or that this process is in
already; else one of this machine, at 127.0.0.1, gone afterwards.
An actor has one task at a time. Where it is lost, with its node or for want of memory, another does the task again.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

from ..runtime import threads
from ..runtime.errors import InputError
from ..runtime.progress import Progress
from ..runtime.stages import stage
from .workers import Done, Work, settled

TRIES = 3  #: of a task whose actors are lost
_POLL = 0.5  # seconds between two looks at how far tasks are


class Cluster:
    """At most ``jobs`` actors; each has a GPU where the device is "cuda", or "auto" and the cluster has some."""

    def __init__(self, jobs: int, device: str = "auto"):
        self.jobs, self.device = jobs, device
        self._started = False
        self._actors: set[Any] = set()

    def __enter__(self) -> Cluster:
        """Raises InputError where Ray is missing or not to be reached."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        address = os.environ.get("RAY_ADDRESS") or "local"
        if address == "local":
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # which means: at 127.0.0.1
        try:
            import ray
        except ImportError:
            raise InputError("the engine ray needs Ray: pip install 'diffcodec[ray]'") from None
        if not ray.is_initialized():
            with stage("reaching the cluster"):
                try:
                    ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
                except (ConnectionError, RuntimeError, ValueError) as error:
                    raise InputError(f"no Ray cluster is reached: {str(error).strip().splitlines()[0]}") from None
            self._started = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        self._release()
        if self._started:
            ray.shutdown()

    def map(
        self,
        function: Work,
        tasks: Iterable[tuple[float, Any]],
        total: float,
        progress: Progress | None = None,
        *,
        errors: bool = False,
    ) -> Iterator[Any]:
        """As `engines.Engine.map`. Raises InputError where a task lost its actor TRIES times."""
        done = Done(total, progress)
        run = _Run(self, function, iter(tasks), done)
        try:
            with stage("starting actors on the cluster"):
                run.start(self._room())
            for outcome in run.outcomes():
                yield settled(outcome, errors)
                done.finish()
        finally:
            self._release()
        done.end()

    def _release(self) -> None:
        """Give back what actors hold of the cluster."""
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors.clear()

    def _gpus(self) -> int:
        there = int(_resources().get("GPU", 0))
        if self.device == "cuda" and not there:
            raise InputError("device cuda was asked for, and the cluster tells of no GPU")
        return there if self.device in ("cuda", "auto") else 0

    def _room(self) -> int:
        """Actors that there is room for."""
        return max(1, min(self.jobs, self._gpus() or int(_resources().get("CPU", 1))))

    def actor(self) -> Any:
        """A new actor, which may wait for room."""
        import ray

        # a thread for the task, one that tells how far it is
        options = {"num_cpus": 1, "num_gpus": 1 if self._gpus() else 0, "max_concurrency": 2}
        made = ray.remote(_Actor).options(**options).remote()
        self._actors.add(made)
        return made

    def lost(self, actor: Any) -> None:
        """An actor is no more."""
        self._actors.discard(actor)


def _resources() -> Mapping[str, float]:
    """What all nodes have together, by its name."""
    import ray

    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


class _Actor:
    """In a process of the cluster, of as many threads as Ray tells it by OMP_NUM_THREADS: one of its core."""

    def __init__(self) -> None:
        self._under_way = 0, 0.0

    def ready(self) -> None:
        """Answers when it can work."""

    def under_way(self) -> tuple[int, float]:
        """Number of the last task, and how far it is."""
        return self._under_way

    def work(self, function: Work, task: Any, number: int) -> tuple[bool, Any]:
        """(True, result), or (False, the exception)."""

        def report(fraction: float) -> None:
            self._under_way = number, fraction

        told = os.environ.get("OMP_NUM_THREADS", "")
        try:
            with threads.limited(int(told) if told.isdecimal() and int(told) else None):
                return True, function(task, report)
        except Exception as error:
            return False, error


class _Outcome:
    """What came of a task: its result, or its exception, raised when it is called."""

    def __init__(self, good: bool, value: Any):
        self._good, self._value = good, value

    def __call__(self) -> Any:
        if not self._good:
            raise self._value
        return self._value


class _Run:
    """Tasks under way: which actor has which, which are to be done again, which are done before their turn."""

    def __init__(self, cluster: Cluster, function: Work, tasks: Iterator[tuple[float, Any]], done: Done):
        self._cluster, self._function, self._tasks, self._done = cluster, function, tasks, done
        self._idle: deque[Any] = deque()
        self._starting: dict[Any, Any] = {}  # answer to come -> actor
        self._busy: dict[Any, tuple[Any, int]] = {}  # result to come -> (actor, number)
        self._asked: dict[Any, int] = {}  # fraction to come -> number
        self._again: deque[int] = deque()
        self._held: dict[int, Any] = {}  # tasks that are not done, by number
        self._tries: dict[int, int] = {}
        self._outcomes: dict[int, _Outcome] = {}
        self._next, self._ended = 0, False

    def start(self, count: int) -> None:
        """Begin ``count`` actors, and wait for the first. Raises InputError where none starts."""
        import ray

        for _ in range(count):
            self._begin()
        while not self._idle:
            ready, _ = ray.wait(list(self._starting), timeout=_POLL)
            for answer in ready:
                self._take_start(answer)

    def _begin(self) -> None:
        actor = self._cluster.actor()
        self._starting[actor.ready.remote()] = actor

    def _take_start(self, answer: Any) -> None:
        import ray

        actor = self._starting.pop(answer)
        try:
            ray.get(answer)
        except ray.exceptions.RayError as error:
            self._cluster.lost(actor)
            if not (self._starting or self._idle or self._busy):
                raise InputError(f"no actor starts on the cluster: {str(error).strip().splitlines()[-1]}") from None
        else:
            self._idle.append(actor)

    def outcomes(self) -> Iterator[_Outcome]:
        """Of every task, in order. Raises InputError."""
        import ray

        while True:
            self._give_out()
            while self._next in self._outcomes:
                outcome = self._outcomes.pop(self._next)
                self._next += 1
                yield outcome
                self._give_out()
            if not self._held:
                return
            if not self._busy and not self._starting:
                self._begin()  # all are lost: wait until there is room again
            ready, _ = ray.wait([*self._busy, *self._starting], timeout=_POLL)
            for answer in ready:
                take = self._take_start if answer in self._starting else self._take_result
                take(answer)
            self._take_fractions()

    def _give_out(self) -> None:
        """A task to every idle actor, as long as there are some, and few are done before their turn."""
        while self._idle and (number := self._drawn()) is not None:
            actor = self._idle.popleft()
            self._busy[actor.work.remote(self._function, self._held[number], number)] = actor, number

    def _drawn(self) -> int | None:
        """The number of a task to be done now; None where there is none."""
        if self._again:
            return self._again.popleft()
        if self._ended or len(self._held) + len(self._outcomes) > 2 * (len(self._idle) + len(self._busy)):
            return None
        try:
            weight, task = next(self._tasks)
        except StopIteration:
            self._ended = True
            return None
        number = self._done.begin(weight)
        self._held[number] = task
        return number

    def _take_result(self, answer: Any) -> None:
        import ray

        actor, number = self._busy.pop(answer)
        try:
            self._outcomes[number] = _Outcome(*ray.get(answer))
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError):
            self._cluster.lost(actor)
            self._tries[number] = self._tries.get(number, 0) + 1
            if self._tries[number] == TRIES:
                raise InputError(
                    f"a worker of the cluster was lost {TRIES} times with the same task, as it is where memory runs "
                    "out: take fewer pictures in a group; what is done stays"
                ) from None
            self._again.append(number)
            self._begin()
            while self._idle:  # which may be lost as well, with their node
                other = self._idle.pop()
                self._starting[other.ready.remote()] = other
        except ray.exceptions.RayError as error:  # what the function raises is a result
            told = str(error).strip().splitlines()[-1]
            raise InputError(f"a node of the cluster does not work, has it diffcodec as it is here? {told}") from None
        else:
            del self._held[number]
            self._idle.append(actor)
            self._done.take([(number, 1.0)])

    def _take_fractions(self) -> None:
        """Take what actors have answered of how far they are, and ask those that were not asked."""
        import ray

        ready, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0) if self._asked else ([], [])
        for answer in ready:
            del self._asked[answer]
            try:
                number, fraction = ray.get(answer)
            except ray.exceptions.RayError:
                continue  # its task says so as well
            if number in self._held and number not in self._tries:  # what is done again would begin anew
                self._done.take([(number, fraction)])
        there = {*self._asked.values()}
        for actor, number in self._busy.values():
            if number not in there:
                self._asked[actor.under_way.remote()] = number
