"""Servers replaced so that nobody waits: for each a stand-in comes up first, on the same socket, and leaves at the end.

A stand-in is a further server; the listening socket that it gets is chosen by its number (`doors`), so its number is
that of the one whose place it takes, plus a multiple of the number of sockets. Ids stay.

    one at a time    stand-in READY → server.1 drains, leaves, is started again → READY → stand-in leaves → the next
    new address      stand-ins of all READY on it → the old sockets close, all servers drain … → stand-ins leave
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from msgspec import structs

from primectl.config.model import Config
from primectl.config.topology import server_id
from primectl.wire.control import Progress, Restarted
from supervisor import apply
from supervisor.books import Books
from supervisor.events import (
    Action,
    CloseFormerListeners,
    DropListeners,
    KeepListeners,
    Kind,
    ListenersBound,
    UseListeners,
)
from supervisor.lifecycle import ProcessState as S
from supervisor.operations import Processes, Result, Turn, names
from supervisor.plan import Step
from supervisor.process import Process
from supervisor.stages import OVER, Reverting, Stage, anew, failed, put_in_force


class Phase(IntEnum):
    """How far the replacement of one server is."""

    WAITING = 0
    STAND_IN_COMES = 1
    COMES_BACK = 2
    DONE = 3


class Slot:
    """One server that is replaced."""

    def __init__(self, number: int, stand_in: int) -> None:
        self.id = server_id(number)
        self.number = number
        self.stand_in = stand_in
        self.phase = Phase.WAITING
        self.incarnation = 0
        """Of the life that ends."""


def stand_in_for(number: int, servers: int, present: int) -> int:
    """A number above all that are `present` now, for the same one of `servers` sockets."""
    return number + servers * -(-max(servers, present) // servers)


class ServersRolling(Stage):
    """`numbers` are replaced one after the other; all at once where they move to another address."""

    def __init__(self, books: Books, numbers: Sequence[int], config: Config | None = None, *, moves: bool = False):
        """`config` has new settings, their number and address included; None replaces servers as they are."""
        self._books = books
        self._before = books.config
        self._config = config
        self._moves = moves
        servers = (config or books.config).server.processes
        present = max(servers, books.config.server.processes)
        self._slots = [Slot(number, stand_in_for(number, servers, present)) for number in numbers]
        self._servers = servers
        self._begun = False
        self._past_return = config is None
        self._former_listen = ""
        self.occupies = frozenset((Kind.SERVER,))
        self.text = "servers are replaced" if numbers else f"servers are now {servers}"

    def advance(self, processes: Processes, now: float) -> Turn:
        actions: list[Action] = []
        if not self._begun:
            self._begun = True
            actions = self._begin()
        broken = self._broken(processes)
        if broken is not None:
            what = f"{broken.id} does not come up: {broken.cause}"
            return failed(what, f"`primectl logs {broken.id}` tells more", lines=broken.last_lines)
        steps: list[Step] = []
        if self._moves and not self._past_return:
            self._bring_all(processes, steps, actions)
        else:
            for slot in self._slots:
                self._move(slot, processes, steps)
                if slot.phase < Phase.DONE and not self._moves:
                    break
        waiting = self._waiting(processes)
        if waiting or any(slot.phase < Phase.DONE for slot in self._slots):
            done = sum(slot.phase is Phase.DONE for slot in self._slots)
            text = f"{self.text}, now {names(waiting)}" if waiting else self.text
            return Turn(tuple(steps), tuple(actions), Progress(text, done, len(self._slots)))
        return Turn(tuple(steps), tuple(actions), result=OVER)

    def _begin(self) -> list[Action]:
        books, config = self._books, self._config
        self._before = books.config
        self._former_listen = books.listen
        if config is None:
            return []
        before = self._before.server.processes
        actions: list[Action] = []
        if isinstance(books.binding, ListenersBound):
            actions.append(UseListeners())
            books.listen = books.binding.listen
            books.binding = None
        if self._moves:
            # They have the old address until the new one is served; those of them that are one too many as well.
            books.spare_servers.update(range(self._servers + 1, before + 1))
        elif self._servers < before:
            actions.append(KeepListeners(self._servers))
        return [*actions, *put_in_force(books, apply.with_servers(books.config, config)).actions]

    def _bring_all(self, processes: Processes, steps: list[Step], actions: list[Action]) -> None:
        """To the new address: only when every stand-in serves there is the old one left."""
        for slot in self._slots:
            slot.phase = Phase.STAND_IN_COMES
            self._books.spare_servers.add(slot.stand_in)
        there = [*(slot.stand_in for slot in self._slots), *range(self._before.server.processes + 1, self._servers + 1)]
        if not all(_runs(processes, number) for number in there):
            return
        self._past_return = True
        self._books.spare_servers.difference_update(range(self._servers + 1, self._before.server.processes + 1))
        actions.append(CloseFormerListeners())
        for slot in self._slots:
            self._move(slot, processes, steps)

    def _move(self, slot: Slot, processes: Processes, steps: list[Step]) -> None:
        if slot.phase is Phase.WAITING:
            self._books.spare_servers.add(slot.stand_in)
            slot.phase = Phase.STAND_IN_COMES
        if slot.phase is Phase.STAND_IN_COMES and _runs(processes, slot.stand_in):
            slot.phase = Phase.COMES_BACK
            record = processes.get(slot.id)
            if record is not None:
                slot.incarnation = record.incarnation
                steps += anew(record)
        if slot.phase is Phase.COMES_BACK:
            record = processes.get(slot.id)
            if record is not None and record.state is S.RUNNING and record.incarnation > slot.incarnation:
                self._books.spare_servers.discard(slot.stand_in)
                slot.phase = Phase.DONE

    def _broken(self, processes: Processes) -> Process | None:
        """One that this stage has started and that does not come up."""
        fresh = {slot.stand_in for slot in self._slots}
        fresh.update(range(self._before.server.processes + 1, self._servers + 1))
        fresh.update(slot.number for slot in self._slots if slot.phase is Phase.COMES_BACK)
        return next((p for p in _servers(processes) if p.number in fresh and p.state is S.FAILED), None)

    def _waiting(self, processes: Processes) -> list[str]:
        """Who is on the way in or out."""
        found = {process.id: process for process in _servers(processes)}
        coming = [server_id(n) for n in range(1, self._servers + 1) if not _runs(processes, n)]
        leaving = [name for name, process in found.items() if process.number > self._servers]
        under_way = [slot.id for slot in self._slots if Phase.WAITING < slot.phase < Phase.DONE]
        return list(dict.fromkeys((*under_way, *coming, *leaving)))

    def undo(self) -> Stage | None:
        spare = {slot.stand_in for slot in self._slots}
        spare.update(range(self._servers + 1, self._before.server.processes + 1))
        self._books.spare_servers -= spare
        if self._past_return or not self._begun:
            return None
        self._books.listen = self._former_listen
        replaced = [slot.id for slot in self._slots if slot.phase >= Phase.COMES_BACK]
        return Reverting(self._books, self._before, replaced, [DropListeners()])


class Restarting:
    """`primectl restart` of servers."""

    kind = "restart"
    wish = ""
    occupies = frozenset((Kind.SERVER,))

    def __init__(self, target: str, servers: Sequence[Process], books: Books, now: float) -> None:
        self.target = target
        self._servers = [server.id for server in servers]
        self._rolling = ServersRolling(books, sorted(server.number for server in servers))
        self._began = now

    def advance(self, processes: Processes, now: float) -> Turn:
        turn = self._rolling.advance(processes, now)
        if turn.result is None:
            return turn
        if turn.result.status != 200:
            self._rolling.undo()
            return turn
        done = Restarted(self.target, self._servers, now - self._began)
        return structs.replace(turn, result=Result(200, done))

    def next_deadline(self) -> float | None:
        return self._rolling.next_deadline()


def _servers(processes: Processes) -> list[Process]:
    return [process for process in processes.values() if process.kind is Kind.SERVER]


def _runs(processes: Processes, number: int) -> bool:
    record = processes.get(server_id(number))
    return record is not None and record.state is S.RUNNING
