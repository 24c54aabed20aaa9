"""§ Lets clients in: from the listening socket, which is inherited, to a `Client` with its transport.

Connections wait in the socket's backlog while a server is replaced, and while it has as many as it takes.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from primectl.control.log import ProcessLog
from primectl.server.client import Client

BACKLOG = 4096
"""Connections that may wait to be accepted."""
ACCEPTS_A_TURN = 128
BACK_OFF_S = 0.1
"""Before accepting again when the process is out of file descriptors."""
LAST_ACCEPTS = 8192
"""The same at the end, however many connections there are: twice what a backlog holds."""
LAST_CALL_S = 0.05
"""How long we go on accepting once we are to close: a client is connected for its own kernel a round trip before it is
for ours, and has perhaps sent its request by then."""


class Acceptor:
    """`welcome` makes a client of a peer's name; `room` tells how many more connections may come."""

    def __init__(
        self,
        listener: socket.socket,
        loop: asyncio.AbstractEventLoop,
        log: ProcessLog,
        *,
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
        welcome: Callable[[str], Client],
        room: Callable[[], int],
    ) -> None:
        self._listener: socket.socket | None = listener
        self._loop = loop
        self._log = log
        self._tls = tls
        self._handshake_timeout = handshake_timeout if tls else None
        self._welcome = welcome
        self._room = room
        self._accepting = False
        self._closing = False
        self._adopting: set[asyncio.Task[None]] = set()
        self.refused = 0
        """Connections that could not be accepted, or whose handshake failed."""

    @property
    def listener(self) -> socket.socket | None:
        """The listening socket, None once closed."""
        return self._listener

    @property
    def busy(self) -> bool:
        """Somebody is on the way in, or may come yet."""
        return bool(self._adopting) or self._listener is not None

    def go_on(self) -> None:
        """Accept, if there is room."""
        if self._listener is not None and not self._accepting and (self._closing or self._room() > 0):
            self._accepting = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self, closed: Callable[[], None]) -> None:
        """Let in whoever the kernel has told that it is connected, however many these are; after a last call nobody.

        For a listening socket that nobody else has, what comes between the last look and the close would be reset. So
        the supervisor has the kernel let no further connection begin (`supervisor.lastcall`) before it orders the end.
        """
        if not self._closing:
            self._closing = True
            self.go_on()
            self._accept()
            self._loop.call_later(LAST_CALL_S, self._end, closed)

    def _end(self, closed: Callable[[], None]) -> None:
        assert self._listener is not None
        if not self._accept():
            self._loop.call_later(BACK_OFF_S, self._end, closed)
            return
        self._pause()
        self._listener.close()
        self._listener = None
        closed()

    def _pause(self) -> None:
        if self._listener is not None and self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> bool:
        """Let in those who wait; True when nobody does any more."""
        assert self._listener is not None
        for _ in range(LAST_ACCEPTS if self._closing else ACCEPTS_A_TURN):
            if not self._closing and self._room() <= 0:
                self._pause()  # further clients wait in the backlog
                return False
            try:
                accepted, address = self._listener.accept()
            except BlockingIOError:
                return True
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self.refused += 1
                self._log.warn(f"cannot accept a connection: {error.strerror}")
                self._pause()
                self._loop.call_later(BACK_OFF_S, self.go_on)
                return False
            accepted.setblocking(False)
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else ""
            task = self._loop.create_task(self._adopt(self._welcome(peer), accepted))
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)
        return False

    async def _adopt(self, client: Client, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: client, accepted, ssl=self._tls, ssl_handshake_timeout=self._handshake_timeout
            )
        except (OSError, ssl.SSLError):
            self.refused += 1
            accepted.close()


def tls_context(certificate: str, private_key: str) -> ssl.SSLContext:
    """For https; TLS 1.2 and up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, private_key)
    return context
