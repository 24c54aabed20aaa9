"""Orders that take time: each looks at the processes after everything that happens, and says what next.

An operation never waits and never moves a process itself: it returns a `Turn` of steps, what to tell its operator,
and, once, its result. Several run side by side; what they leave half done, `plan.reconcile` brings to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from primectl.wire.control import (
    Applied,
    Drained,
    Dumps,
    Killed,
    Progress,
    Refusal,
    Reloaded,
    Reopened,
    Restarted,
    Resumed,
    Scaled,
    Stopped,
)
from supervisor.events import Action, Kind
from supervisor.lifecycle import LEAVING
from supervisor.lifecycle import ProcessState as S
from supervisor.plan import Force, Recycle, Revive, Step
from supervisor.process import Process

Processes = Mapping[str, Process]

CHANGED = "It goes on by itself; `primectl ps` shows how far it is"


class Result(Struct, frozen=True):
    """How an operation ended: a status as in HTTP, and the body of the last reply; `kind` is how the event log calls
    it, where that does not follow from the body."""

    status: int
    body: Scaled | Killed | Restarted | Reloaded | Drained | Resumed | Dumps | Stopped | Refusal | Applied | Reopened
    kind: str = ""


class Turn(Struct, frozen=True):
    """What an operation wants now. `result` ends it."""

    steps: tuple[Step, ...] = ()
    actions: tuple[Action, ...] = ()
    progress: Progress | None = None
    result: Result | None = None


ALONGSIDE: frozenset[str] = frozenset()
"""What an operation occupies that runs beside all others."""


class Operation(Protocol):
    """An order under way: a verb and its target."""

    @property
    def kind(self) -> str:
        """The verb, as on the command line."""
        ...

    @property
    def target(self) -> str: ...

    @property
    def wish(self) -> str:
        """What the target shall be, where the verb needs it; else empty."""
        ...

    @property
    def occupies(self) -> frozenset[str]:
        """The pools (and `server`, for the servers) that it rolls through: nobody else does meanwhile."""
        ...

    def advance(self, processes: Processes, now: float) -> Turn: ...

    def next_deadline(self) -> float | None:
        """When it wants to look again although nothing has happened."""
        ...


class Scaling:
    """A pool on its way to a new size."""

    kind = "scale"
    occupies = ALONGSIDE

    def __init__(self, pool: str, before: int, size: int, now: float, timeout_s: float) -> None:
        self.pool = self.target = pool
        self.size = size
        self.wish = str(size)
        self._before = before
        self._began = now
        self._until = now + timeout_s

    def wait_until(self, until: float) -> None:
        """Somebody else waits for it too, and longer."""
        self._until = max(self._until, until)

    def advance(self, processes: Processes, now: float) -> Turn:
        workers = [p for p in processes.values() if p.kind is Kind.WORKER and p.pool == self.pool and not p.extra]
        staying = [worker for worker in workers if not worker.leaving]
        ready = sum(worker.state is S.RUNNING for worker in staying)
        leaving = len(workers) - len(staying)
        if ready == self.size == len(workers):
            return Turn(result=Result(200, Scaled(self.pool, self._before, self.size, now - self._began)))
        failed = [worker for worker in staying if worker.state is S.FAILED]
        if failed and ready + len(failed) == self.size == len(workers):
            # Not before: a bad one keeps nobody from hearing how the others do.
            first = failed[0]
            who = first.id if len(failed) == 1 else f"{first.id} and {len(failed) - 1} more"
            what = f"{self.pool} has {ready} of {self.size} workers: {who} failed: {first.cause}"
            return Turn(result=Result(500, Refusal(what, mend=f"`primectl logs {first.id}` tells more")))
        if now >= self._until:
            late = f"after {self._until - self._began:g} s {self.pool} has {ready} of {self.size} workers"
            what = f"{late} and {leaving} still to leave" if leaving else late
            return Turn(result=Result(504, Refusal(what, mend=CHANGED)))
        if leaving:
            gone = max(0, self._before - self.size - leaving)
            text = f"{self.pool}: {names(p.id for p in workers if p.leaving)} finish what they have"
            return Turn(progress=Progress(text, gone, gone + leaving))
        return Turn(progress=Progress(f"{self.pool}: {ready} of {self.size} workers ready", ready, self.size))

    def next_deadline(self) -> float:
        return self._until


class Killing:
    """Processes that were told to leave at once, until all are gone."""

    kind = "kill"
    wish = ""
    occupies = ALONGSIDE

    def __init__(
        self,
        target: str,
        victims: Mapping[str, int],
        forced: Iterable[str],
        lost_jobs: int,
        now: float,
        grace_s: float,
        timeout_s: float,
    ) -> None:
        """`victims` are incarnations by process id; `forced` those of them that have been sent SIGKILL already."""
        self.target = target
        self._victims = dict(victims)
        self._forced = set(forced)
        self._lost_jobs = lost_jobs
        self._began = now
        self._force_at: float | None = now + grace_s
        self._timeout_s = timeout_s

    def advance(self, processes: Processes, now: float) -> Turn:
        remaining = [
            process
            for process, incarnation in self._victims.items()
            if process in processes and processes[process].incarnation == incarnation and processes[process].alive
        ]
        gone = [process for process in self._victims if process not in remaining]
        if not remaining:
            killed = Killed(
                self.target, list(self._victims), gone, sorted(self._forced), self._lost_jobs, now - self._began
            )
            return Turn(result=Result(200, killed))
        if now >= self._began + self._timeout_s:
            what = f"KILL acknowledged by {len(gone)} of {len(self._victims)}: {names(remaining)} have not left"
            return Turn(result=Result(504, Refusal(what, mend="They may hang in the kernel: look at their STAT in ps")))
        steps: tuple[Step, ...] = ()
        if self._force_at is not None and now >= self._force_at:
            self._force_at = None
            disobedient = [process for process in remaining if process not in self._forced]
            self._forced.update(disobedient)
            steps = tuple(Force(process) for process in disobedient)
        text = f"KILL acknowledged by {len(gone)} of {len(self._victims)}"
        return Turn(steps, progress=Progress(text, len(gone), len(self._victims)))

    def next_deadline(self) -> float:
        end = self._began + self._timeout_s
        return end if self._force_at is None else min(end, self._force_at)


class Rolling:
    """Processes replaced one after the other, so that the cluster goes on serving.

    Each pool's workers are a lane of their own, and so are the servers and the proxies; in a lane of workers a quarter
    is under way at once, elsewhere one. Those that do not run anyway cost nobody anything and are tried again first,
    all at once; should they fail once more, the others are restarted all the same. A pool whose zygote does not run
    waits until it does: who leaves before could not come back.
    """

    kind = "restart"
    wish = ""

    def __init__(self, target: str, processes: Iterable[Process], now: float, timeout_s: float) -> None:
        self.target = target
        self._began = now
        self._timeout_s = timeout_s
        self._down: list[str] = []
        self._lanes: dict[str, list[str]] = {}
        pools: set[str] = set()
        for process in processes:
            pools.add(process.pool or process.kind.value)
            if process.state in (S.STARTING, S.BACKOFF, S.FAILED):
                self._down.append(process.id)
                continue
            lane = process.pool if process.kind is Kind.WORKER else process.kind.value
            self._lanes.setdefault(lane, []).append(process.id)
        self.occupies = frozenset(pools)
        self._width = {
            lane: max(1, len(members) // 4) if lane not in (Kind.SERVER, Kind.PROXY) else 1
            for lane, members in self._lanes.items()
        }
        self._total = len(self._down) + sum(len(members) for members in self._lanes.values())
        self._active: dict[str, dict[str, int]] = {lane: {} for lane in self._lanes}
        self._revived: dict[str, int] = {}
        self._zygotes: dict[str, int] = {}
        """Those that were tried again, if they did not run, with their incarnation before."""
        self._done: list[str] = []
        self._lost: list[Process] = []
        """Of those that did not run: they have failed again."""

    def advance(self, processes: Processes, now: float) -> Turn:
        steps: list[Step] = []
        self._revive(processes, steps)
        for lane, queue in self._lanes.items():
            active = self._active[lane]
            for process, incarnation in list(active.items()):
                record = processes.get(process)
                if record is None or record.leaving:
                    del active[process]
                elif record.state is S.FAILED and record.incarnation > incarnation:
                    return Turn(tuple(steps), result=_does_not_come_back(record))
                elif record.state is S.RUNNING and record.incarnation > incarnation:
                    del active[process]
                    self._done.append(process)
            if not queue:
                continue
            zygote = _zygote(processes, lane)
            if zygote is not None and zygote.state is not S.RUNNING:
                tried = self._zygotes.get(zygote.id)
                if zygote.state is S.FAILED and tried is not None and zygote.incarnation > tried:
                    what = f"the handler of {lane} cannot be imported: {zygote.cause}"
                    mend = f"Its workers are left as they are; `primectl logs {zygote.id}` tells more"
                    return Turn(tuple(steps), result=Result(500, Refusal(what, mend=mend)))
                if tried is None and zygote.state in (S.BACKOFF, S.FAILED):
                    self._zygotes[zygote.id] = zygote.incarnation
                    steps.append(Revive(zygote.id))
                continue
            while queue and len(active) < self._width[lane]:
                record = processes.get(queue.pop(0))
                if record is None or record.leaving:
                    continue
                active[record.id] = record.incarnation
                if record.state in (S.BACKOFF, S.FAILED):
                    steps.append(Revive(record.id))
                elif record.alive and record.state not in LEAVING:
                    steps.append(Recycle(record.id))
        waiting = [*self._revived, *(process for active in self._active.values() for process in active)]
        if not waiting and not any(self._lanes.values()):
            return Turn(tuple(steps), result=self._result(now))
        if now >= self._began + self._timeout_s:
            what = f"after {self._timeout_s:g} s {len(self._done)} of {self._total} are restarted, not {names(waiting)}"
            return Turn(tuple(steps), result=Result(504, Refusal(what, mend="The rest keep running as they were")))
        left = names(waiting) if waiting else f"its handler is imported ({names(self._zygotes)})"
        text = f"restarted {len(self._done)} of {self._total}, now {left}"
        return Turn(tuple(steps), progress=Progress(text, len(self._done), self._total))

    def _revive(self, processes: Processes, steps: list[Step]) -> None:
        while self._down:
            record = processes.get(self._down.pop())
            if record is not None and not record.leaving:
                self._revived[record.id] = record.incarnation
                zygote = _zygote(processes, record.pool)
                if zygote is not None and zygote.state in (S.BACKOFF, S.FAILED):
                    self._zygotes[zygote.id] = zygote.incarnation
                steps.append(Recycle(record.id) if record.alive else Revive(record.id))
        for process, incarnation in list(self._revived.items()):
            record = processes.get(process)
            if record is not None and not record.leaving and record.incarnation == incarnation:
                continue
            if record is None or record.leaving:
                del self._revived[process]
            elif record.state is S.FAILED:
                del self._revived[process]
                self._lost.append(record)
            elif record.state is S.RUNNING:
                del self._revived[process]
                self._done.append(process)

    def _result(self, now: float) -> Result:
        if self._lost:
            return _does_not_come_back(self._lost[0], f"; {len(self._done)} of {self._total} are restarted")
        return Result(200, Restarted(self.target, self._done, now - self._began))

    def next_deadline(self) -> float:
        return self._began + self._timeout_s


def _zygote(processes: Processes, pool: str) -> Process | None:
    """The one that forks a pool's workers; None where they have an interpreter each."""
    return next((p for p in processes.values() if p.kind is Kind.ZYGOTE and p.pool == pool and not p.leaving), None)


def _does_not_come_back(process: Process, others: str = "") -> Result:
    what = f"{process.id} does not come back: {process.cause}{others}"
    return Result(500, Refusal(what, mend=f"`primectl logs {process.id}` tells more"))


def names(processes: Iterable[str]) -> str:
    """A few names and the number of the others."""
    names = list(processes)
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
