"""The parts of an apply, each carried out on its own: what it changes, when it is over, how it is taken back.

A stage that begins puts its part of the new config in force (`put_in_force`): from then on processes that start read
it. If it fails it names the stage that takes it back, so that config and processes agree again. Stages write in the
books what the plan reads: the config, sizes, which servers stand in, which pools close.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from msgspec import structs

from primectl.config.model import Config
from primectl.config.topology import proxy_id
from primectl.wire.control import ALL, Applied, Progress, Refusal, Reread, process_topic
from supervisor import apply
from supervisor.books import Books, Closing
from supervisor.events import (
    Action,
    BindListeners,
    Broadcast,
    Kind,
    ListenersBound,
    ListenersRefused,
    RemovePool,
    WriteConfig,
)
from supervisor.lifecycle import LEAVING
from supervisor.lifecycle import ProcessState as S
from supervisor.operations import ALONGSIDE, Processes, Result, Scaling, Turn, names
from supervisor.plan import Force, Recycle, Revive, Step
from supervisor.process import Process
from supervisor.reload import Reloading
from supervisor.words import counted

TELL_AGAIN_S = 0.5
"""A process that runs and has not acknowledged `Reread` for so long is told again."""
CONFIRM_S = 10.0
"""For servers and proxies to acknowledge."""
SOON_S = 1.0
"""For workers and the recorder: one that is deep in a job, or waits for a disk, hears of it after that, and nobody
shall wait for it."""
LEAVE_S = 5.0
"""For the processes of a pool that could not be started, before SIGKILL."""
GO_ON = "Mend it and apply the file again: it goes on with what is left"
OVER = Result(200, Applied([], True, 0.0))


class Stage:
    """`advance` is an operation's: a result of 200 says that it is over, any other that it has failed."""

    text = ""
    """What it does, for the progress."""
    occupies = ALONGSIDE
    """As an operation's."""

    def advance(self, processes: Processes, now: float) -> Turn:
        raise NotImplementedError

    def next_deadline(self) -> float | None:
        """When it wants to look again although nothing has happened."""
        return None

    def undo(self) -> Stage | None:
        """What takes back a stage that has begun and is not over; None where what it has done stands."""
        return None


class InForce(NamedTuple):
    """What makes a config count; `command` is what processes acknowledge."""

    actions: tuple[Action, ...]
    command: int


def put_in_force(books: Books, config: Config) -> InForce:
    """This config counts from now on; processes that run are told to look at it."""
    books.adopt(config)
    command = books.next_command()
    written = WriteConfig(config, books.config_path, books.import_path)
    return InForce((written, Broadcast(ALL, Reread(command))), command)


def failed(what: str, mend: str = "", status: int = 500, lines: Sequence[str] = ()) -> Turn:
    return Turn(result=Result(status, Refusal(what, mend=mend, lines=list(lines))))


def anew(process: Process) -> list[Step]:
    """Whatever it is doing, another life of it, which has the config of now."""
    if process.state in (S.BACKOFF, S.FAILED):
        return [Revive(process.id)]
    return [Recycle(process.id)] if process.alive and process.state not in LEAVING else []


class Reverting(Stage):
    """Back to an earlier config, at once, and those `processes` anew that have been started by the later one."""

    text = "taking back what did not work"

    def __init__(
        self, books: Books, config: Config, processes: Sequence[str] = (), actions: Sequence[Action] = ()
    ) -> None:
        self._books = books
        self._config = config
        self._processes = tuple(processes)
        self._actions = tuple(actions)

    def advance(self, processes: Processes, now: float) -> Turn:
        steps = [step for name in self._processes if name in processes for step in anew(processes[name])]
        return Turn(tuple(steps), (*self._actions, *put_in_force(self._books, self._config).actions), result=OVER)


class Binding(Stage):
    """The sockets of the new servers, before anything else: an address in use refuses the whole."""

    text = "binding the address"

    def __init__(self, books: Books, config: Config) -> None:
        self._books = books
        self._order = BindListeners(config.server.listen, config.server.processes)
        self._asked = False

    def advance(self, processes: Processes, now: float) -> Turn:
        if not self._asked:
            self._asked = True
            self._books.binding = None
            return Turn(actions=(self._order,))
        match self._books.binding:
            case ListenersBound():
                return Turn(result=OVER)
            case ListenersRefused(refusal):
                return Turn(result=Result(409, refusal))
        return Turn()


class Telling(Stage):
    """What takes effect while everything runs: written, told, acknowledged."""

    def __init__(self, books: Books, text: str, change: Callable[[Config], Config]) -> None:
        self.text = text
        self._books = books
        self._change = change
        self._command = 0
        self._addressed: dict[str, int] = {}
        self._began = self._told = 0.0

    def advance(self, processes: Processes, now: float) -> Turn:
        if not self._command:
            self._began = self._told = now
            recorded = self._books.config.journal.enabled
            actions, self._command = put_in_force(self._books, self._change(self._books.config))
            self._books.recorder_stays = recorded
            told = [p for p in processes.values() if p.state is S.RUNNING and p.kind is not Kind.ZYGOTE]
            self._addressed = {process.id: process.incarnation for process in told}
            return Turn(actions=actions)
        left = self._left(processes, now)
        if not left:
            self._books.recorder_stays = False
            return Turn(result=OVER)
        if now >= self._began + CONFIRM_S:
            self._books.recorder_stays = False
            what = f"{names(process.id for process in left)} has not confirmed the new settings"
            return failed(what, f"`primectl logs {left[0].id}` may say why; they count for all others", 504)
        if now >= self._told + TELL_AGAIN_S:
            self._told = now
            again = Reread(self._command)
            return Turn(actions=tuple(Broadcast(process_topic(process.id), again) for process in left))
        return Turn(progress=Progress(f"{self.text}: {names(process.id for process in left)}"))

    def _left(self, processes: Processes, now: float) -> list[Process]:
        """Those who have not acknowledged; who was replaced meanwhile has read it when it started."""
        for process, incarnation in list(self._addressed.items()):
            found = processes.get(process)
            patient = found is not None and found.kind not in (Kind.WORKER, Kind.RECORDER)
            late = not patient and now >= self._began + SOON_S
            if (
                found is None
                or found.incarnation != incarnation
                or found.state is not S.RUNNING
                or found.heeded >= self._command
                or late
            ):
                del self._addressed[process]
        return [processes[process] for process in self._addressed]

    def next_deadline(self) -> float:
        return self._told + TELL_AGAIN_S


class Starting(Stage):
    """New pools, until each of their processes is READY."""

    def __init__(self, books: Books, config: Config, pools: Sequence[str]) -> None:
        self.text = f"pool {names(pools)} starts"
        self.occupies = frozenset(pools)
        self._books = books
        self._config = config
        self._pools = pools
        self._begun = False

    def advance(self, processes: Processes, now: float) -> Turn:
        if not self._begun:
            self._begun = True
            config = self._books.config
            for pool in self._pools:
                config = apply.with_pool(config, self._config, pool)
            return Turn(actions=put_in_force(self._books, config).actions)
        waiting = []
        for pool in self._pools:
            members = [process for process in processes.values() if process.pool == pool]
            for process in members:
                broken = process.state is S.FAILED or (process.kind is Kind.ZYGOTE and process.crashed)
                if broken:
                    what = f"pool {pool} does not start: {process.id}: {process.cause}"
                    return failed(what, f"`primectl logs {process.id}` tells more", lines=process.last_lines)
            waiting += [process.id for process in members if process.state is not S.RUNNING]
            if len([p for p in members if p.kind is Kind.WORKER]) < self._books.targets[pool] or not members:
                waiting.append(pool)
        if waiting:
            return Turn(progress=Progress(f"{self.text}, waiting for {names(waiting)}"))
        return Turn(result=OVER)

    def undo(self) -> Stage | None:
        return Ending(self._books, self._pools, at_once=True)


class Ending(Stage):
    """Pools that are no more: they finish what they hold, then their workers leave, then their proxies."""

    def __init__(self, books: Books, pools: Sequence[str], *, at_once: bool = False) -> None:
        """`at_once`: nobody has used them yet."""
        self.text = f"pool {names(pools)} ends"
        self.occupies = frozenset(pools)
        self._books = books
        self._pools = pools
        self._at_once = at_once
        self._began: float | None = None
        self._forced = False

    def advance(self, processes: Processes, now: float) -> Turn:
        if self._began is None:
            self._began = now
        if self._at_once and not self._books.closing.keys() >= set(self._pools):
            self._books.closing.update(dict.fromkeys(self._pools, Closing.WHOLE))
        held = {pool: self._held(pool, processes) for pool in self._pools if pool not in self._books.closing}
        for pool, jobs in held.items():
            if jobs == 0:
                self._books.closing[pool] = Closing.WORKERS
        for pool in self._pools:
            if self._books.closing.get(pool) is Closing.WORKERS and not _working(processes, pool):
                self._books.closing[pool] = Closing.WHOLE
        left = [process for process in processes.values() if process.pool in self._pools]
        if not left and all(self._books.closing.get(pool) is Closing.WHOLE for pool in self._pools):
            config = self._books.config
            for pool in self._pools:
                config = apply.without_pool(config, pool)
            actions = (*put_in_force(self._books, config).actions, *map(RemovePool, self._pools))
            return Turn(actions=actions, result=OVER)
        if self._at_once and now >= self._began + LEAVE_S and not self._forced:
            self._forced = True
            return Turn(tuple(Force(process.id) for process in left if process.alive))
        busy = [pool for pool in held if pool not in self._books.closing]
        what = f"{names(busy)} finish what they have" if busy else f"{names(p.id for p in left)} leave"
        return Turn(progress=Progress(f"{self.text}: {what}"))

    def _held(self, pool: str, processes: Processes) -> int | None:
        """Jobs that it has, None while its proxy has not said since we look."""
        assert self._began is not None
        proxy = processes.get(proxy_id(pool))
        if proxy is None or proxy.state in (S.FAILED, S.EXITED):
            return 0
        return self._books.pools[pool].held_after(self._began)

    def next_deadline(self) -> float | None:
        return None if self._began is None or self._forced or not self._at_once else self._began + LEAVE_S


class Sizing(Stage):
    """Pools that get another number of workers, all at once."""

    def __init__(self, books: Books, config: Config, sizes: Mapping[str, int]) -> None:
        self.text = ", ".join(f"{pool} gets {counted(size, 'worker')}" for pool, size in sizes.items())
        self._books = books
        self._config = config
        self._sizes = sizes
        self._scalings: dict[str, Scaling] | None = None

    def advance(self, processes: Processes, now: float) -> Turn:
        if self._scalings is None:
            return self._begin(processes, now)
        progress = None
        for pool, scaling in list(self._scalings.items()):
            if self._books.targets[pool] != self._sizes[pool]:  # an operator has asked for another size meanwhile
                del self._scalings[pool]
                continue
            turn = scaling.advance(processes, now)
            if turn.result is None:
                progress = progress or turn.progress
            elif turn.result.status == 200:
                del self._scalings[pool]
            else:
                return turn
        return Turn(progress=progress) if self._scalings else Turn(result=OVER)

    def _begin(self, processes: Processes, now: float) -> Turn:
        books = self._books
        before = books.targets.copy()
        config = books.config
        for pool in self._sizes:
            config = apply.with_pool(config, self._config, pool)
        books.targets.update(self._sizes)
        for pool in self._sizes:
            books.sized.pop(pool, None)
        self._scalings = {pool: Scaling(pool, before[pool], size, now, inf) for pool, size in self._sizes.items()}
        steps = [
            Revive(process.id)
            for process in processes.values()
            if process.kind is Kind.WORKER and process.pool in self._sizes and process.state is S.FAILED
        ]
        return Turn(tuple(steps), put_in_force(books, config).actions)


class Renewing(Stage):
    """A pool whose workers are replaced by such with the new settings; its old ones count again once that fails."""

    def __init__(self, books: Books, config: Config, pool: str) -> None:
        self.text = f"pool {pool} is reloaded"
        self.occupies = frozenset((pool,))
        self._books = books
        self._config = config
        self._pool = pool
        self._before: Config | None = None
        self._reloading: Reloading | None = None
        self._abandoned = False

    def advance(self, processes: Processes, now: float) -> Turn:
        actions: tuple[Action, ...] = ()
        if self._reloading is None:
            self._before = self._books.config
            workers = self._before.pools[self._pool].workers
            config = apply.with_pool(self._before, self._config, self._pool, workers=workers)
            actions = put_in_force(self._books, config).actions
            self._reloading = Reloading(self._pool, self._books, now, changed=True)
        turn = self._reloading.advance(processes, now)
        if self._abandoned:
            self._reloading.abandon("the new settings could not be put in force", processes)
        if self._reloading.failure is not None and self._before is not None:
            actions = (*actions, *put_in_force(self._books, self._before).actions)
            self._before = None
        result = turn.result
        if result is not None and isinstance(result.body, Refusal):
            result = structs.replace(result, body=structs.replace(result.body, mend=GO_ON))
        return structs.replace(turn, actions=(*actions, *turn.actions), result=result)

    def next_deadline(self) -> float | None:
        return None if self._reloading is None else self._reloading.next_deadline()

    def undo(self) -> Stage | None:
        if self._before is None:  # it has gone back by itself
            return None
        self._abandoned = True
        return Returning(self)


class Returning(Stage):
    """A stage that goes back by itself, once it is told to."""

    def __init__(self, stage: Stage) -> None:
        self.text = stage.text
        self.occupies = stage.occupies
        self._stage = stage

    def advance(self, processes: Processes, now: float) -> Turn:
        turn = self._stage.advance(processes, now)
        return turn if turn.result is None else structs.replace(turn, result=OVER)

    def next_deadline(self) -> float | None:
        return self._stage.next_deadline()


def _working(processes: Processes, pool: str) -> bool:
    """Whether somebody of the pool is there beside its proxy."""
    return any(process.pool == pool and process.kind is not Kind.PROXY for process in processes.values())
