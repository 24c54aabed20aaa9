"""A pool gets the next generation of its code while it goes on serving; or, if that fails, keeps the one it has.

    forth     the new zygote imports -> extra workers of the new code are READY -> the pool's own are replaced,
              `reload_surge` at a time -> the extra ones retire, the old zygote is dismissed
    back      what was replaced already is replaced again, by the old code; the extra ones retire

An import that fails, a new worker that is not READY in time or ends by its own fault turns it round. A worker is only
asked to leave while more run than the pool shall have, so capacity never falls below the target, on the way back
neither. Who starts with which code is asked of `generations` at that moment: a worker that is killed meanwhile, a pool
that is scaled, a zygote that dies need no rule here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from primectl.wire.control import ALL, Progress, Refusal, Reloaded
from supervisor.books import Books
from supervisor.causes import in_words
from supervisor.events import Kind, Tell
from supervisor.lifecycle import ProcessState as S
from supervisor.operations import Processes, Result, Turn, names
from supervisor.plan import Recycle, Revive, Step
from supervisor.process import Process

RELOAD_FAILED = "reload_failed"
"""The event of a reload that kept the old code."""
_ENDED = (S.BACKOFF, S.FAILED)


class Phase(Enum):
    """How far it is."""

    BEFORE = auto()
    FORTH = auto()
    BACK = auto()
    CLEARING = auto()
    """Who is no longer needed leaves; nothing can fail any more."""


class Reloading:
    """One pool on its way."""

    kind = "reload"
    wish = ""

    def __init__(self, pool: str, books: Books, now: float, *, changed: bool = False) -> None:
        """`changed`: the pool's settings are others than those its workers were started with. Whoever has changed them
        puts the old ones back as soon as `failure` is there, before the steps of that turn are taken."""
        self.pool = self.target = pool
        self.occupies = frozenset((pool,))
        self.failure: Refusal | None = None
        """Why it has turned round."""
        self._books = books
        self._generations = books.generations[pool]
        self._changed = changed
        self._began = now
        self._phase = Phase.BEFORE
        self._stepping = False
        self._rests_until: float | None = None
        self._progress = Progress("")

    def advance(self, processes: Processes, now: float) -> Turn:
        if self._phase is Phase.BEFORE:
            self._generations.prepare(forks=self._books.config.pools[self.pool].spawn == "fork")
            self._phase = Phase.FORTH
        if self._rests_until is not None and now >= self._rests_until:
            self._rests_until = None
        steps: list[Step] = []
        if self._phase is Phase.FORTH:
            fault = self._fault(processes)
            if fault is None:
                steps = self._forth(processes, now)
            else:
                self._turn_round(fault, processes)
        if self._phase is Phase.BACK:
            steps = self._back(processes, now)
        if self._phase is Phase.CLEARING:
            self._rests_until = None
            left = self._left_over(processes)
            if not left:
                return Turn(tuple(steps), result=self._result(processes, now))
            self._say(f"waits for {names(left)} to leave", self._target)
        return Turn(tuple(steps), progress=self._progress)

    def next_deadline(self) -> float | None:
        return self._rests_until

    # --- forth --------------------------------------------------------------------------------------------------------

    def _forth(self, processes: Processes, now: float) -> list[Step]:
        generations, coming = self._generations, self._generations.coming
        assert coming is not None
        if not generations.proven:
            zygote = processes.get(coming.zygote)
            if coming.zygote and not generations.surge and (zygote is None or zygote.state is not S.RUNNING):
                self._say(f"imports {self._books.config.pools[self.pool].handler}")
                return []
        generations.surge = self._surge
        workers = self._workers(processes)
        if not generations.proven:
            ready = sum(worker.extra and worker.state is S.RUNNING for worker in workers)
            if ready < generations.surge:
                self._say(f"{ready} of {generations.surge} extra workers ready")
                return []
            generations.prove()
        steps = self._roll(workers, coming.number, now)
        own = [worker for worker in workers if not worker.extra]
        if len(own) == self._target and all(_runs(worker, coming.number) for worker in own):
            generations.commit()
            generations.surge = 0
            self._phase = Phase.CLEARING
        return steps

    def _roll(self, workers: Sequence[Process], goal: int, now: float) -> list[Step]:
        """The next workers to be replaced by ones of the generation `goal`."""
        own = sorted((worker for worker in workers if not worker.extra), key=lambda worker: worker.number)
        done = sum(_runs(worker, goal) for worker in own)
        self._say(f"{done} of {self._target} workers run the {self._aim} code", done)
        behind = [worker for worker in own if worker.generation != goal]
        steps: list[Step] = [Revive(worker.id) for worker in behind if worker.state in _ENDED]
        under_way = sum(worker.state is not S.RUNNING for worker in own)
        running = sum(worker.state is S.RUNNING for worker in workers)
        room = min(self._surge - under_way, running - self._target)
        if not self._may_step(under_way, now):
            return steps
        chosen = [Recycle(worker.id) for worker in behind if worker.state is S.RUNNING][: max(0, room)]
        self._stepping = self._stepping or bool(chosen)
        return [*steps, *chosen]

    def _may_step(self, under_way: int, now: float) -> bool:
        """Without a pace whenever there is room; with one when a step is whole, and the pause after it is over."""
        pace_s = self._books.config.pools[self.pool].reload_pace
        if not pace_s:
            return True
        if under_way:
            return False
        if self._stepping:
            self._stepping = False
            self._rests_until = now + pace_s
        return self._rests_until is None

    def abandon(self, why: str, processes: Processes) -> None:
        """Turn round for a reason from outside, if that can still be."""
        if self._phase is Phase.FORTH:
            self._turn_round(_Fault(why, self.pool, ()), processes)

    # --- back ---------------------------------------------------------------------------------------------------------

    def _fault(self, processes: Processes) -> _Fault | None:
        """What is wrong with the new code, if anything is."""
        coming = self._generations.coming
        assert coming is not None
        for process in processes.values():
            if process.pool != self.pool or process.generation != coming.number:
                continue
            if process.state in _ENDED and process.blamed:
                if process.kind is Kind.ZYGOTE and process.ready_at is None:
                    return _Fault(f"the new code cannot be imported: {process.cause}", "", process.last_lines)
                logs = f"`primectl logs {process.id}` tells more; "
                return _Fault(f"{process.id} with the new code: {process.cause}", logs, process.last_lines)
        return None

    def _turn_round(self, fault: _Fault, processes: Processes) -> None:
        coming = self._generations.coming
        assert coming is not None
        workers = self._workers(processes)
        replaced = [worker for worker in workers if not worker.extra and worker.generation == coming.number]
        outcome = "the old code stays"
        if replaced and self._can_go_back(processes):
            self._phase = Phase.BACK
            self._generations.give_up()
        else:
            self._phase = Phase.CLEARING
            if replaced:
                outcome = f"{names(worker.id for worker in replaced)} run the new code and cannot go back"
            zygote = processes.get(coming.zygote)
            if replaced and zygote is not None and zygote.state is S.RUNNING:
                self._generations.commit()  # the only one that can still fork
            self._generations.give_up()
            self._generations.surge = 0
        mend = f"{fault.logs}{'m' if fault.logs else 'M'}end the code and reload again"
        what = f"reload of {self.pool}: {fault.what}; {outcome}"
        self.failure = Refusal(what, mend=mend, lines=list(fault.lines))

    def _can_go_back(self, processes: Processes) -> bool:
        """Whether somebody still has the old code. Interpreters of their own read what is on disk, which is the new."""
        current = self._generations.current
        if not current.zygote:
            return self._changed
        zygote = processes.get(current.zygote)
        return zygote is not None and zygote.state is not S.FAILED

    def _back(self, processes: Processes, now: float) -> list[Step]:
        number = self._generations.current.number
        workers = self._workers(processes)
        steps = self._roll(workers, number, now)
        own = [worker for worker in workers if not worker.extra]
        hopeless = any(worker.generation == number and worker.state is S.FAILED for worker in own)
        if hopeless or (len(own) == self._target and all(_runs(worker, number) for worker in own)):
            self._generations.surge = 0
            self._phase = Phase.CLEARING
        return steps

    # --- the end ------------------------------------------------------------------------------------------------------

    def _left_over(self, processes: Processes) -> list[str]:
        """Who is not needed any more and has not left yet."""
        wanted = self._generations.zygotes
        return [
            process.id
            for process in processes.values()
            if process.pool == self.pool
            and (process.extra or (process.kind is Kind.ZYGOTE and process.id not in wanted))
        ]

    def _result(self, processes: Processes, now: float) -> Result:
        if self.failure is not None:
            return Result(500, self.failure, RELOAD_FAILED)
        reloaded = sorted(self._workers(processes), key=lambda worker: worker.number)
        return Result(200, Reloaded(self.pool, [worker.id for worker in reloaded], now - self._began))

    # --- what both ways ask -------------------------------------------------------------------------------------------

    @property
    def _target(self) -> int:
        return self._books.targets[self.pool]

    @property
    def _surge(self) -> int:
        return min(self._books.config.pools[self.pool].reload_surge, self._target)

    @property
    def _aim(self) -> str:
        return "new" if self.failure is None else "old"

    def _workers(self, processes: Processes) -> list[Process]:
        """Those that are to stay, the extra ones included."""
        return [
            process
            for process in processes.values()
            if process.kind is Kind.WORKER and process.pool == self.pool and not process.leaving
        ]

    def _say(self, text: str, done: int = 0) -> None:
        whose = self.pool if self.failure is None else self.failure.what
        self._progress = Progress(f"{whose}: {text}", done, self._target)


class _Fault(NamedTuple):
    what: str
    logs: str
    """Where more is told, as the beginning of a sentence; "" for nowhere."""
    lines: tuple[str, ...]


def _runs(worker: Process, generation: int) -> bool:
    return worker.generation == generation and worker.state is S.RUNNING


class ReloadingAll:
    """All pools, each on its own; done when all are, and failed when one has."""

    kind = "reload"
    target = ALL
    wish = ""

    def __init__(self, parts: Sequence[Reloading], now: float, operator: str) -> None:
        """`operator` is named in the events of each pool."""
        self._parts = list(parts)
        self._began = now
        self._operator = operator
        self._done: list[Reloaded] = []
        self._failed: list[Refusal] = []

    @property
    def occupies(self) -> frozenset[str]:
        """Those that are not done yet."""
        return frozenset(part.pool for part in self._parts)

    def advance(self, processes: Processes, now: float) -> Turn:
        steps: list[Step] = []
        tells: list[Tell] = []
        texts: list[str] = []
        for part in list(self._parts):
            turn = part.advance(processes, now)
            steps += turn.steps
            if turn.result is not None:
                self._parts.remove(part)
                tells.append(self._ended(part, turn.result))
            elif turn.progress is not None:
                texts.append(turn.progress.text)
        if not self._parts:
            return Turn(tuple(steps), tuple(tells), result=self._result(now))
        done = len(self._done) + len(self._failed)
        return Turn(tuple(steps), tuple(tells), Progress("; ".join(texts), done, done + len(self._parts)))

    def _ended(self, part: Reloading, result: Result) -> Tell:
        if isinstance(result.body, Reloaded):
            self._done.append(result.body)
            return Tell(*in_words(result.body), self._operator)
        assert isinstance(result.body, Refusal)
        self._failed.append(result.body)
        return Tell(RELOAD_FAILED, part.pool, result.body.what, self._operator, lines=tuple(result.body.lines))

    def _result(self, now: float) -> Result:
        if not self._failed:
            processes = [process for each in self._done for process in each.processes]
            return Result(200, Reloaded(ALL, processes, now - self._began))
        what = "; ".join(refusal.what for refusal in self._failed)
        if self._done:
            what = f"{what}. Reloaded are {names(each.target for each in self._done)}"
        first = self._failed[0]
        return Result(500, Refusal(what, "", first.mend, lines=first.lines), RELOAD_FAILED)

    def next_deadline(self) -> float | None:
        return min((time for part in self._parts if (time := part.next_deadline()) is not None), default=None)
