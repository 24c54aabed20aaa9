"""§ The listening sockets come back from servers that an earlier supervisor has started: a datagram each."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

from primectl.config.topology import LISTENERS, Place, server_number
from primectl.control.log import ProcessLog
from primectl.errors import WireError
from primectl.wire import frames
from supervisor.doors import Doors
from supervisor.events import Event, Lent

LOAN_BYTES = 4096


class Lending:
    """Takes what servers lend into the listeners."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        place: Place,
        doors: Doors,
        emit: Callable[[Event], None],
        log: ProcessLog,
    ) -> None:
        self._loop = loop
        self._doors = doors
        self._emit = emit
        self._log = log
        path = Path(f"{place.sockets}/{LISTENERS}")
        path.unlink(missing_ok=True)
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._link.setblocking(False)
        self._link.bind(str(path))
        loop.add_reader(self._link.fileno(), self.receive)

    def receive(self) -> None:
        """Take in what has been lent by now."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._link, LOAN_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            try:
                loan = frames.loan(data)
                number = server_number(loan.server)
                lent = socket.socket(fileno=descriptors[0])
            except (WireError, ValueError, IndexError, OSError) as error:
                for descriptor in descriptors:
                    os.close(descriptor)
                self._log.warn(f"ignored on {LISTENERS}, {len(data)} bytes that are no loan: {error}")
                continue
            if self._doors.take(number, lent):
                self._log.info(f"{loan.server} has lent its listening socket")
            if self._doors.has(number):
                self._emit(Lent(loan.server, loan.incarnation))

    def close(self) -> None:
        self._loop.remove_reader(self._link.fileno())
        self._link.close()
