"""The first moments of a supervisor that goes on with what one that died has left running.

How to think about it: those that live are in the books from the beginning, as `starting`, and become `running` when
they answer HELLO, like anybody else. What an earlier supervisor had told them need not be told again; what has happened
while nobody told them anything, they hear with their first answer. Those that have fallen are in the books as
`exited`, so the plan starts them again. Nothing else is a rule of its own.

Who was READY before and says nothing (a handler that holds the interpreter's lock in C) is taken for running after a
moment, and greeted on. Old zygotes are not in the books: what they would fork would be nobody's child. They end when
their successor has imported.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

from msgspec import Struct

from primectl.wire.control import Hello, Lend, ProcessGone, ProcessReady, process_topic
from supervisor.books import Books
from supervisor.events import Broadcast, CameUp, Fallen, Kind, Lent, Signal, Survivor, TookOver
from supervisor.lifecycle import ProcessState as S
from supervisor.output import Output
from supervisor.picture import waiting_for
from supervisor.process import Process
from supervisor.recording import Recording
from supervisor.words import processes

SETTLE_S = 0.5
"""For those that were READY to answer; links come back within 0.2 s."""
GUESS_S = 5.0
"""How long a pool that has lost all its workers is not held against the cluster's readiness: most are back by then."""
GREET_S = 0.05
GREET_LATE_S = 1.0
"""How often HELLO is repeated to who has not answered, before and after `SETTLE_S`."""
LEND_S = 0.2
LEND_TIMES = 25
"""How often, and how many times, a server is asked for its listening socket. Then it is bound anew when needed."""
AWAIT_LOAN_S = 0.5
"""How long a server that has fallen waits for the socket that another one of the same path still has."""


class _Gone(Struct, frozen=True):
    process: str
    kind: Kind
    pool: str
    incarnation: int


class Adoption:
    """Of a fresh cluster, all of it is empty."""

    def __init__(self, books: Books, out: Output, recording: Recording) -> None:
        self._books = books
        self._out = out
        self._recording = recording
        self._adopted = 0
        self.is_under_way = False
        """Until everybody runs, or has settled in not running."""
        self._settle_at: float | None = None
        """When those that were READY are taken for it again without an answer; None once that is done."""
        self._guess_until = 0.0
        self._unheard: dict[str, int] = {}
        """Adopted processes that have not answered, with their incarnations."""
        self._greet_at = 0.0
        self._gone: list[_Gone] = []
        """Who has ended since the last supervisor told anybody of an end."""
        self._spent: list[Survivor] = []
        """Zygotes whose successors have not imported yet."""
        self._unlent: dict[str, int] = {}
        """Adopted servers whose listening socket we do not have, and how often they were asked."""
        self._lend_at = 0.0

    # --- the beginning ------------------------------------------------------------------------------------------------

    def begin(self, event: TookOver, now: float) -> list[tuple[Process, S]]:
        """Take all of them into the books; each is returned with the state that it was in."""
        self.is_under_way = True
        self._settle_at = now + SETTLE_S
        self._guess_until = now + GUESS_S
        self._books.restore(event.memory)
        taken: list[tuple[Process, S]] = []
        for survivor in event.survivors:
            if survivor.kind is Kind.ZYGOTE or (survivor.pool and survivor.pool not in self._books.pools):
                self._spent.append(survivor)
                continue
            taken.append((self._enter(survivor, now), survivor.state))
        self._adopted = len(self._unheard)
        for fallen in event.fallen:
            self._note_fallen(fallen, now)
        self._end_spent(pool for pool in {z.pool for z in self._spent} if pool not in self._books.zygotes)
        self._greet_at = now + GREET_S
        self._tell(event.fallen)
        return taken

    def _enter(self, survivor: Survivor, now: float) -> Process:
        number = _number(survivor.process, survivor.kind)
        process = self._books.enrol(survivor.process, survivor.kind, survivor.pool, number)
        process.adopt(survivor, now)
        if process.kind is Kind.WORKER:
            process.generation = self._books.generations[process.pool].current.number
        self._unheard[process.id] = process.incarnation
        if process.kind is Kind.SERVER:
            self._unlent[process.id] = 0
        return process

    def _note_fallen(self, fallen: Fallen, now: float) -> None:
        if fallen.kind is Kind.ZYGOTE or (fallen.pool and fallen.pool not in self._books.pools):
            return
        self._gone.append(_Gone(fallen.process, fallen.kind, fallen.pool, fallen.incarnation))
        if fallen.process in self._books.processes:
            return
        number = _number(fallen.process, fallen.kind)
        process = self._books.enrol(fallen.process, fallen.kind, fallen.pool, number)
        process.incarnation, process.restarts = fallen.incarnation, fallen.restarts
        process.cause = "ended while no supervisor ran"
        if process.kind is Kind.SERVER and self._unlent and self._books.listen.startswith("unix:"):
            process.deadline = now + AWAIT_LOAN_S

    def _tell(self, fallen: Iterable[Fallen]) -> None:
        names = [each.process for each in fallen if each.kind is not Kind.ZYGOTE]
        ended = f"; meanwhile ended: {', '.join(names)}" if names else ""
        text = f"took over from a supervisor that died: adopted {processes(self._adopted)}{ended}"
        self._out.tell("adopted", self._books.config.cluster.name, text)

    # --- those that answer --------------------------------------------------------------------------------------------

    def heard_from(self, process: Process, now: float) -> None:
        """An adopted process has said READY: it hears now what happened while nobody told it anything."""
        if self._unheard.pop(process.id, None) != process.incarnation:
            return
        topic = process_topic(process.id)
        for gone in self._gone:
            if _concerns(gone, process):
                self._out.add(Broadcast(topic, ProcessGone(gone.process, gone.incarnation)))
        for other in self._books.processes.values():
            concerned = other.kind is Kind.PROXY or (other.kind is Kind.RECORDER and process.kind is Kind.SERVER)
            if concerned and other.state is S.RUNNING and not other.is_known:
                self._out.add(Broadcast(topic, ProcessReady(other.id, other.incarnation)))
        if process.kind is Kind.PROXY and process.is_known:
            workers = [worker.id for worker in self._books.workers(process.pool)]
            self._out.extend(self._books.drains[process.pool].proxy_is_adopted(workers, now))
        if process.id in self._unlent:
            self._ask_for_socket(process.id, now)
        self._out.moved = True

    def gone(self, process: Process) -> None:
        """Somebody has ended; who does not hear us yet hears of it later."""
        self._unheard.pop(process.id, None)
        self._unlent.pop(process.id, None)
        if self._unheard:
            self._gone.append(_Gone(process.id, process.kind, process.pool, process.incarnation))

    # --- zygotes and sockets ------------------------------------------------------------------------------------------

    def zygote_is_ready(self, pool: str) -> None:
        """The pool has one that can fork: the old one has nothing left to do."""
        self._end_spent((pool,))

    def _end_spent(self, pools: Iterable[str]) -> None:
        chosen = set(pools)
        ending = [old for old in self._spent if old.pool in chosen]
        self._spent = [old for old in self._spent if old.pool not in chosen]
        self._out.extend([Signal(old.process, old.incarnation, signal.SIGTERM) for old in ending])

    def lent(self, event: Lent) -> None:
        """A server has handed over its socket."""
        self._unlent.pop(event.process, None)
        for process in self._books.processes.values():
            if process.kind is Kind.SERVER and process.state is S.EXITED:
                process.deadline = None
        self._out.moved = True

    def _ask_for_socket(self, server: str, now: float) -> None:
        self._unlent[server] += 1
        self._lend_at = now + LEND_S
        self._out.add(Broadcast(process_topic(server), Lend(self._out.next_command())))
        if self._unlent[server] >= LEND_TIMES:
            del self._unlent[server]

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Process]:
        """Greet and ask again; those are returned that must be taken for READY now, since they were before."""
        if self._unheard and now >= self._greet_at:
            self._greet_at = now + (GREET_LATE_S if self._settle_at is None else GREET_S)
            self._out.extend([Broadcast(process_topic(process), Hello()) for process in self._unheard])
        if now >= self._lend_at:
            for server in [server for server in self._unlent if server not in self._unheard]:
                self._ask_for_socket(server, now)
        if self._settle_at is None or now < self._settle_at:
            return []
        self._settle_at = None
        silent = [self._books.processes[process] for process in self._unheard]
        return [process for process in silent if process.is_known and process.state is S.STARTING]

    def next_deadline(self) -> float | None:
        waiting = []
        if self._settle_at is not None:
            waiting.append(self._settle_at)
        if self._unheard:
            waiting.append(self._greet_at)
        if any(server not in self._unheard for server in self._unlent):
            waiting.append(self._lend_at)
        return min(waiting, default=None)

    @property
    def spares_zygotes(self) -> bool:
        """Nobody has to be forked, as far as is known: importing handlers would only hold up those who answer."""
        if not self.is_under_way or self._settle_at is None:
            return False
        alive = [process for process in self._books.processes.values() if process.alive]
        return all(process.asked_for and process.kind is not Kind.ZYGOTE for process in alive)

    def may_be_ready(self, now: float) -> bool:
        """Whether what seems to be missing says nothing yet: clients have been coming all the time."""
        return self.is_under_way and now < self._guess_until

    # --- the end ------------------------------------------------------------------------------------------------------

    def judge(self, now: float) -> CameUp | str:
        """What came of it once it is over; until then, what it waits for."""
        shown = [process for process in self._books.processes.values() if process.kind is not Kind.ZYGOTE]
        waiting = [
            process
            for process in shown
            if process.state in (S.STARTING, S.EXITED)
            and (process.kind is not Kind.RECORDER or self._recording.holds_up(process, now))
        ]
        if waiting:
            return waiting_for(waiting, self._books)
        self.is_under_way = False
        self._out.moved = True
        running = [process for process in shown if process.state is S.RUNNING]
        return CameUp(
            adopted=self._adopted,
            started=sum(not process.adopted for process in running),
            failing=tuple(
                f"{p.id} is not up: {p.cause}"
                for p in shown
                if p.state in (S.BACKOFF, S.FAILED) and p.kind is not Kind.RECORDER
            ),
            unrecorded=self._recording.unrecorded(now),
        )


def _number(process: str, kind: Kind) -> int:
    """Of a server or a worker; as the plan numbers them."""
    number = process.rpartition(".")[2]
    return int(number) if kind in (Kind.SERVER, Kind.WORKER) and number.isdecimal() else 0


def _concerns(gone: _Gone, process: Process) -> bool:
    """Whether a process is told of that end; the same that `lives` tells at once where all are there."""
    match gone.kind:
        case Kind.WORKER:
            return process.kind is Kind.SERVER or process.pool == gone.pool
        case Kind.PROXY:
            return process.kind not in (Kind.PROXY, Kind.RECORDER)
        case Kind.RECORDER:
            return False
        case _:
            return process.kind not in (Kind.SERVER, Kind.RECORDER)
