"""§ The pools' zygotes: what was imported once is forked on demand, many workers a packet."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

import msgspec

from primectl.control.log import ProcessLog
from primectl.wire.zygote import (
    FORKS_A_PACKET,
    PACKET_LIMIT,
    Forked,
    ForkWorkers,
    Imported,
    ImportFailed,
    Leave,
    Reopen,
    ToZygote,
    Wish,
    encode,
    from_zygote,
)
from supervisor.events import (
    CloseZygote,
    Event,
    Exec,
    Exited,
    Fork,
    HandlerFailed,
    HandlerImported,
    Kind,
    ReopenLog,
)
from supervisor.logread import size
from supervisor.spawn import INHERITED_FD, Spawner


class _Line:
    """Our end of the channel to one life of a zygote."""

    def __init__(self, order: Exec, channel: socket.socket) -> None:
        self.process = order.process
        self.incarnation = order.incarnation
        self.pool = order.pool
        self.channel = channel
        self.unsent: deque[ToZygote] = deque()
        self.unanswered: deque[dict[Wish, int]] = deque()
        """A packet each: its wishes, and where their logs stood."""


class Zygotes:
    """Starts zygotes, hands them wishes, takes their births to the spawner."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        spawner: Spawner,
        log_file: Callable[[str], str],
        emit: Callable[[Event], None],
        log: ProcessLog,
    ) -> None:
        self._loop = loop
        self._spawner = spawner
        self._log_file = log_file
        self._emit = emit
        self._log = log
        self._lines: dict[str, _Line] = {}
        self.malformed = 0

    def exec(self, order: Exec) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._drop(order.process)
        line = self._lines[order.process] = _Line(order, ours)
        self._loop.add_reader(ours.fileno(), self._receive, line)
        options = ["--id", order.process, "--pool", order.pool, "--fd", str(INHERITED_FD)]
        with theirs:
            self._spawner.launch(order, options, theirs.fileno())

    def fork(self, order: Fork) -> None:
        line = self._lines.get(order.zygote)
        if line is None:
            return  # its end is on its way; the workers are asked of the next one
        wishes = [Wish(worker.process, worker.incarnation) for worker in order.workers]
        for worker in order.workers:
            self._spawner.hand_over(worker.process, Kind.WORKER, line.pool)
        for first in range(0, len(wishes), FORKS_A_PACKET):
            line.unsent.append(ForkWorkers(wishes[first : first + FORKS_A_PACKET]))
        self._send(line)

    def close(self, order: CloseZygote) -> None:
        line = self._lines.get(order.process)
        if line is not None and line.incarnation == order.incarnation:
            line.unsent.append(Leave())
            self._send(line)

    def reopen(self, order: ReopenLog) -> None:
        line = self._lines.get(order.process)
        if line is not None and line.incarnation == order.incarnation:
            line.unsent.append(Reopen(order.rotate))
            self._send(line)

    def hear_out(self, process: str, incarnation: int) -> None:
        """Read what a zygote that has ended said before."""
        line = self._lines.get(process)
        if line is not None and line.incarnation == incarnation:
            self._receive(line)

    @property
    def are_forking(self) -> bool:
        """Whether a child may exist that we have not been told of."""
        return any(line.unanswered for line in self._lines.values())

    def close_all(self) -> None:
        for process in list(self._lines):
            self._drop(process)

    def _drop(self, process: str) -> None:
        line = self._lines.pop(process, None)
        if line is not None:
            self._loop.remove_reader(line.channel.fileno())
            self._loop.remove_writer(line.channel.fileno())
            line.channel.close()

    def _send(self, line: _Line) -> None:
        while line.unsent:
            packet = line.unsent[0]
            try:
                line.channel.send(encode(packet))
            except BlockingIOError:
                self._loop.add_writer(line.channel.fileno(), self._send, line)
                return
            except OSError:
                self._drop(line.process)  # it has ended: its exit says so, and the wishes are asked again
                return
            line.unsent.popleft()
            if isinstance(packet, ForkWorkers):
                line.unanswered.append({wish: size(self._log_file(wish.worker)) for wish in packet.wishes})
        self._loop.remove_writer(line.channel.fileno())

    def _receive(self, line: _Line) -> None:
        while True:
            try:
                packet = line.channel.recv(PACKET_LIMIT)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                if self._lines.get(line.process) is line:
                    self._drop(line.process)
                return
            try:
                said = from_zygote(packet)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                self.malformed += 1
                self._log.warn(f"{line.process} said what is no message: {error}")
                continue
            if isinstance(said, Imported):
                self._emit(HandlerImported(line.process, line.incarnation))
            elif isinstance(said, ImportFailed):
                self._emit(HandlerFailed(line.process, line.incarnation, said.traceback))
            else:
                self._forked(line, said)

    def _forked(self, line: _Line, forked: Forked) -> None:
        wishes = line.unanswered.popleft() if line.unanswered else {}
        for birth in forked.births:
            if not self._spawner.can_be(line.pool, birth.pid):
                self.malformed += 1
                self._log.warn(f"{line.process} names process {birth.pid} as {birth.worker}, which it cannot be")
                continue
            log_from = wishes.pop(Wish(birth.worker, birth.incarnation), 0)
            self._spawner.watch(birth.worker, birth.incarnation, Kind.WORKER, line.pool, birth.pid, log_from)
        for wish in wishes:
            self._emit(Exited(wish.worker, wish.incarnation, None, (forked.error or "it was not forked",)))
