"""Orders that take time: each looks at the processes after everything that happens, and says what next.

An operation never waits and never moves a process itself: it returns a `Turn` of steps, what to tell its operator,
and, once, its result. Several run side by side; what they leave half done, `plan.reconcile` brings to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from primectl.wire.control import Drained, Dumps, Killed, Progress, Refusal, Restarted, Resumed, Scaled, Stopped
from supervisor.events import Action, Asker, Kind
from supervisor.lifecycle import LEAVING
from supervisor.lifecycle import ProcessState as S
from supervisor.plan import Force, Recycle, Revive, Step
from supervisor.process import Process

Processes = Mapping[str, Process]

CHANGED = "It goes on by itself; `primectl ps` shows how far it is"


class Result(Struct, frozen=True):
    """How an operation ended: a status as in HTTP, and the body of the last reply."""

    status: int
    body: Scaled | Killed | Restarted | Drained | Resumed | Dumps | Stopped | Refusal


class Turn(Struct, frozen=True):
    """What an operation wants now. `result` ends it."""

    steps: tuple[Step, ...] = ()
    actions: tuple[Action, ...] = ()
    progress: Progress | None = None
    result: Result | None = None


class Operation(Protocol):
    """An order under way."""

    operator: str
    askers: list[Asker]

    def advance(self, processes: Processes, now: float) -> Turn: ...

    def next_deadline(self) -> float | None:
        """When it wants to look again although nothing has happened."""
        ...


class Scaling:
    """A pool on its way to a new size."""

    def __init__(
        self, pool: str, before: int, target: int, now: float, timeout_s: float, operator: str, asker: Asker | None
    ) -> None:
        self.pool = pool
        self.target = target
        self.operator = operator
        self.askers = [asker] if asker else []
        self._before = before
        self._began = now
        self._timeout_s = timeout_s

    def advance(self, processes: Processes, now: float) -> Turn:
        workers = [p for p in processes.values() if p.kind is Kind.WORKER and p.pool == self.pool]
        staying = [worker for worker in workers if not worker.leaving]
        ready = sum(worker.state is S.RUNNING for worker in staying)
        leaving = len(workers) - len(staying)
        if ready == self.target == len(workers):
            return Turn(result=Result(200, Scaled(self.pool, self._before, self.target, now - self._began)))
        failed = next((worker for worker in staying if worker.state is S.FAILED), None)
        if failed is not None:
            what = f"{self.pool} has {ready} of {self.target} workers: {failed.id} failed: {failed.cause}"
            return Turn(result=Result(500, Refusal(what, mend=f"`primectl logs {failed.id}` tells more")))
        if now >= self._began + self._timeout_s:
            late = f"after {self._timeout_s:g} s {self.pool} has {ready} of {self.target} workers"
            what = f"{late} and {leaving} still to leave" if leaving else late
            return Turn(result=Result(504, Refusal(what, mend=CHANGED)))
        if leaving:
            gone = max(0, self._before - self.target - leaving)
            text = f"{self.pool}: {names(p.id for p in workers if p.leaving)} finish what they have"
            return Turn(progress=Progress(text, gone, gone + leaving))
        return Turn(progress=Progress(f"{self.pool}: {ready} of {self.target} workers ready", ready, self.target))

    def overtaken(self, target: int) -> Result:
        """What its operator hears when somebody has asked for another size meanwhile."""
        return Result(409, Refusal(f"a newer scale of {self.pool} to {target} took the place of this one"))

    def next_deadline(self) -> float:
        return self._began + self._timeout_s


class Killing:
    """Processes that were told to leave at once, until all are gone."""

    def __init__(
        self,
        target: str,
        victims: Mapping[str, int],
        forced: Iterable[str],
        lost_jobs: int,
        now: float,
        grace_s: float,
        timeout_s: float,
        operator: str,
        asker: Asker | None,
    ) -> None:
        """`victims` are incarnations by process id; `forced` those of them that have been sent SIGKILL already."""
        self.operator = operator
        self.askers = [asker] if asker else []
        self._target = target
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
                self._target, list(self._victims), gone, sorted(self._forced), self._lost_jobs, now - self._began
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
    is under way at once, elsewhere one.
    """

    def __init__(
        self,
        target: str,
        processes: Iterable[Process],
        now: float,
        timeout_s: float,
        operator: str,
        asker: Asker | None,
    ) -> None:
        self.operator = operator
        self.askers = [asker] if asker else []
        self._target = target
        self._began = now
        self._timeout_s = timeout_s
        self._lanes: dict[str, list[str]] = {}
        for process in processes:
            lane = process.pool if process.kind is Kind.WORKER else process.kind.value
            self._lanes.setdefault(lane, []).append(process.id)
        self._width = {
            lane: max(1, len(members) // 4) if lane not in (Kind.SERVER, Kind.PROXY) else 1
            for lane, members in self._lanes.items()
        }
        self._total = sum(len(members) for members in self._lanes.values())
        self._active: dict[str, dict[str, int]] = {lane: {} for lane in self._lanes}
        self._done: list[str] = []

    def advance(self, processes: Processes, now: float) -> Turn:
        steps: list[Step] = []
        for lane, queue in self._lanes.items():
            active = self._active[lane]
            for process, incarnation in list(active.items()):
                record = processes.get(process)
                if record is None or record.leaving:
                    del active[process]
                elif record.state is S.FAILED and record.incarnation > incarnation:
                    what = f"{process} does not come back: {record.cause}"
                    return Turn(result=Result(500, Refusal(what, mend=f"`primectl logs {process}` tells more")))
                elif record.state is S.RUNNING and record.incarnation > incarnation:
                    del active[process]
                    self._done.append(process)
            while queue and len(active) < self._width[lane]:
                record = processes.get(queue.pop(0))
                if record is None or record.leaving:
                    continue
                active[record.id] = record.incarnation
                if record.state in (S.BACKOFF, S.FAILED):
                    steps.append(Revive(record.id))
                elif record.alive and record.state not in LEAVING:
                    steps.append(Recycle(record.id))
        waiting = [process for active in self._active.values() for process in active]
        if not waiting and not any(self._lanes.values()):
            return Turn(tuple(steps), result=Result(200, Restarted(self._target, self._done, now - self._began)))
        if now >= self._began + self._timeout_s:
            what = f"after {self._timeout_s:g} s {len(self._done)} of {self._total} are restarted, not {names(waiting)}"
            return Turn(tuple(steps), result=Result(504, Refusal(what, mend="The rest keep running as they were")))
        text = f"restarted {len(self._done)} of {self._total}, now {names(waiting)}"
        return Turn(tuple(steps), progress=Progress(text, len(self._done), self._total))

    def next_deadline(self) -> float:
        return self._began + self._timeout_s


def names(processes: Iterable[str]) -> str:
    """A few names and the number of the others."""
    names = list(processes)
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
