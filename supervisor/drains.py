"""Who shall take no more jobs: what operators have ordered, and how far each pool's proxy has followed.

A drain belongs to a worker's id or to a pool, not to a life of either. A worker that is replaced stays drained, and a
proxy that is replaced is told everything once more; only a worker that is scaled away takes its drain along. Nothing
here moves a process: one that is drained runs, and is shown as `draining`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from primectl.config.topology import proxy_id
from primectl.wire.control import Drain, Drained, Progress, Refusal, Resume, Resumed, process_topic
from primectl.wire.stats import ProxySample
from supervisor.events import Broadcast, Kind
from supervisor.operations import ALONGSIDE, Processes, Result, Turn
from supervisor.process import Process
from supervisor.words import counted

TELL_AGAIN_S = 1.0
"""A proxy that runs and has not acknowledged for so long is told again."""
RESUME_S = 5.0
"""How long an order to resume waits for the proxy."""


class PoolDrain:
    """The drains in one pool, and what its proxy knows of them."""

    def __init__(self, pool: str, next_command: Callable[[], int]) -> None:
        self.pool = pool
        self.whole = False
        """The pool takes no more jobs."""
        self.workers: set[str] = set()
        """Those that take no more, beside what the pool does."""
        self._next_command = next_command
        self._proxy_is_there = False
        self._untold: dict[int, Drain | Resume] = {}
        """Commands that the proxy has not acknowledged, by number; in the order they were given."""
        self._tell_again_at: float | None = None
        self._sample: ProxySample | None = None
        """What the proxy has said since its last acknowledgement."""

    def covers(self, worker: str) -> bool:
        """Whether a worker of the pool gets nothing new, by its own drain or by the pool's."""
        return self.whole or worker in self.workers

    # --- orders -------------------------------------------------------------------------------------------------------

    def drain(self, worker: str, now: float) -> list[Broadcast]:
        """`worker` is "" for the pool."""
        if worker:
            self.workers.add(worker)
        else:
            self.whole = True
        return self._say(Drain(self._next_command(), [worker] if worker else []), now)

    def resume(self, worker: str, now: float) -> list[Broadcast]:
        """`worker` is "" for the pool, and then ends the drains of its workers too."""
        ended = [worker] if worker else sorted(self.workers)
        self.workers.difference_update(ended)
        said = self._say(Resume(self._next_command(), ended), now) if ended else []
        if not worker:
            self.whole = False
            said += self._say(Resume(self._next_command()), now)
        return said

    def forget(self, worker: str, now: float) -> list[Broadcast]:
        """The worker is no more; one that gets its id later shall not inherit."""
        return self.resume(worker, now) if worker in self.workers else []

    # --- the proxy ----------------------------------------------------------------------------------------------------

    def proxy_is_ready(self, now: float) -> list[Broadcast]:
        """A life of the proxy that knows nothing yet."""
        self._proxy_is_there = True
        said = self._say(Drain(self._next_command()), now) if self.whole else []
        if self.workers:
            said += self._say(Drain(self._next_command(), sorted(self.workers)), now)
        return said

    def proxy_is_adopted(self, workers: Iterable[str], now: float) -> list[Broadcast]:
        """A life of the proxy that an earlier supervisor has told what it shall do, all but its last word perhaps."""
        self._proxy_is_there = True
        said = [] if self.whole else self._say(Resume(self._next_command()), now)
        if others := sorted(set(workers) - self.workers):
            said += self._say(Resume(self._next_command(), others), now)
        return said + self.proxy_is_ready(now)

    def worker_is_ready(self, worker: str, now: float) -> list[Broadcast]:
        """Another life of a worker, that the proxy may take for one that nobody has drained."""
        return self._say(Drain(self._next_command(), [worker]), now) if worker in self.workers else []

    def proxy_is_gone(self) -> None:
        self._proxy_is_there = False
        self._untold.clear()
        self._tell_again_at = None
        self._sample = None

    def acknowledged(self, command: int) -> None:
        """What was told before has arrived too: commands keep their order."""
        if command not in self._untold:
            return
        self._untold = {number: told for number, told in self._untold.items() if number > command}
        self._sample = None
        if not self._untold:
            self._tell_again_at = None

    def heard(self, sample: ProxySample) -> None:
        if not self._untold:
            self._sample = sample

    def next_deadline(self) -> float | None:
        return self._tell_again_at

    def tell_again(self, now: float) -> list[Broadcast]:
        """What has not been acknowledged in time, once more."""
        if self._tell_again_at is None or now < self._tell_again_at:
            return []
        self._tell_again_at = now + TELL_AGAIN_S
        return [Broadcast(self._topic, command) for command in self._untold.values()]

    def _say(self, command: Drain | Resume, now: float) -> list[Broadcast]:
        """Nothing to a proxy that is not there: it is told when it is READY."""
        if not self._proxy_is_there:
            return []
        self._untold[command.command] = command
        self._tell_again_at = now + TELL_AGAIN_S
        self._sample = None
        return [Broadcast(self._topic, command)]

    @property
    def _topic(self) -> str:
        return process_topic(proxy_id(self.pool))

    # --- how far it is ------------------------------------------------------------------------------------------------

    @property
    def is_told(self) -> bool:
        """Whether the proxy, if there is one, has acknowledged everything."""
        return not self._untold

    def left(self, worker: str) -> int | None:
        """Jobs that a drained worker holds ("": that the pool holds), None while the proxy has not said."""
        sample = self._sample
        if sample is None:
            return None
        if not worker:
            return sample.queued + max(sample.in_flight, self._held(sample)) if sample.draining else None
        load = next((load for load in sample.workers if load.worker == worker), None)
        if load is None:
            return 0
        return load.holding if load.draining else None

    @staticmethod
    def _held(sample: ProxySample) -> int:
        return sum(load.holding for load in sample.workers)


class Draining:
    """Until a drained worker, or a drained pool, holds nothing."""

    kind = "drain"
    wish = ""
    occupies = ALONGSIDE

    def __init__(self, target: str, drain: PoolDrain, worker: str, now: float, timeout_s: float) -> None:
        """`worker` is "" when the target is the pool."""
        self.pool = drain.pool
        self.target = target
        self._drain = drain
        self._worker = worker
        self._began = now
        self._timeout_s = timeout_s
        self._most = 0

    def advance(self, processes: Processes, now: float) -> Turn:
        drained = _drained(self._drain, self._worker, processes)
        if self._worker and not drained:  # scaled away
            return self._done(drained, now)
        if not (self._drain.covers(self._worker) if self._worker else self._drain.whole):
            return Turn(result=Result(409, Refusal(f"{self.target} has been resumed meanwhile")))
        left = self._drain.left(self._worker)
        if left == 0:
            return self._done(drained, now)
        late = now >= self._began + self._timeout_s
        if left is None:
            waits = f"{proxy_id(self._drain.pool)} has not confirmed it"
            if late:
                what = f"after {self._timeout_s:g} s {waits}"
                return Turn(result=Result(504, Refusal(what, self.target, self._goes_on)))
            return Turn(progress=Progress(f"draining {self.target}: {waits}"))
        self._most = max(self._most, left)
        jobs = counted(left, "job")
        if late:
            what = f"after {self._timeout_s:g} s {self.target} still has {jobs}"
            return Turn(result=Result(504, Refusal(what, mend=self._goes_on)))
        return Turn(progress=Progress(f"{self.target} finishes {jobs}", self._most - left, self._most))

    def _done(self, drained: list[Process], now: float) -> Turn:
        processes = [worker.id for worker in drained]
        return Turn(result=Result(200, Drained(self.target, processes, now - self._began)))

    @property
    def _goes_on(self) -> str:
        return f"It takes no more and goes on finishing; `primectl resume {self.target}` ends that"

    def next_deadline(self) -> float:
        return self._began + self._timeout_s


class Resuming:
    """Until the proxy has heard of it; one that is down learns nothing of the drain when it comes back."""

    kind = "resume"
    wish = ""
    occupies = ALONGSIDE

    def __init__(self, target: str, drain: PoolDrain, worker: str, now: float) -> None:
        self.target = target
        self._drain = drain
        self._worker = worker
        self._began = now

    def advance(self, processes: Processes, now: float) -> Turn:
        if self._drain.is_told:
            resumed = [
                process.id
                for process in _drained(self._drain, self._worker, processes)
                if not self._drain.covers(process.id)
            ]
            return Turn(result=Result(200, Resumed(self.target, resumed)))
        if now >= self.next_deadline():
            proxy = proxy_id(self._drain.pool)
            what = f"after {RESUME_S:g} s {proxy} has not confirmed it"
            mend = f"It is told again until it does; `primectl logs {proxy}` may say why"
            return Turn(result=Result(504, Refusal(what, self.target, mend)))
        return Turn(progress=Progress(f"{proxy_id(self._drain.pool)} has not confirmed it"))

    def next_deadline(self) -> float:
        return self._began + RESUME_S


def _drained(drain: PoolDrain, worker: str, processes: Processes) -> list[Process]:
    """The workers that an order is about, by number."""
    found: Iterable[Process] = (
        process
        for process in processes.values()
        if process.kind is Kind.WORKER and process.pool == drain.pool and worker in ("", process.id)
    )
    return sorted(found, key=lambda process: process.number)
