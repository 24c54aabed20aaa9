"""§ Steps 1 and 8: one client's connection, between its transport and its `HttpConnection`."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from primectl.clock import Clock
from primectl.http.connection import Exchange, HttpConnection, HttpLimits, Refusal
from primectl.wire.job import RequestId

LINGER_S = 1.0
"""How long a client may take to close after our last answer to it."""
PROBE_S = 0.5
"""A client that has shut its side is asked each sweep from then on whether it is still there."""
IDLE_GRACE_S = 0.1
"""In a drain, how long a keep-alive connection with nothing open may still send a request."""
WRITE_BOUND = 256 << 10
"""Bytes that a client may leave unread before its connection is paused."""


class Host(Protocol):
    """What a connection needs of the server that it belongs to."""

    clock: Clock
    limits: HttpLimits
    scheme: str
    clients: set[Client]
    draining: bool

    def take(self, client: Client, items: list[Exchange | Refusal], now: float) -> None:
        """What a connection's bytes amounted to."""

    def left(self, client: Client) -> None:
        """The connection is gone."""

    def next_name(self) -> str:
        """A request id for an answer that a connection makes by itself."""

    def date(self) -> bytes:
        """The value of the Date field."""


class Client(asyncio.Protocol):
    """One connection: moves bytes between the transport and its `HttpConnection`."""

    __slots__ = ("connection", "ended_at", "front", "linger_until", "open", "paused", "peer", "transport", "writable")

    def __init__(self, front: Host, peer: str) -> None:
        self.front = front
        self.peer = peer
        self.connection = HttpConnection(
            front.limits,
            peer,
            scheme=front.scheme,
            request_id=front.next_name,
            date=front.date,
            now=front.clock.monotonic(),
        )
        self.open: dict[RequestId, Exchange] = {}
        self.paused = False
        self.writable = True
        self.ended_at = 0.0
        """When not 0: the client has shut its side then; it may have gone, or wait for answers."""
        self.linger_until = 0.0
        """When not 0: our side is shut, and the client has until then to shut its own."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(WRITE_BOUND)
        self.front.clients.add(self)
        if self.front.draining:
            self.connection.drain()

    def data_received(self, data: bytes) -> None:
        if self.linger_until:
            return
        now = self.front.clock.monotonic()
        self.front.take(self, self.connection.receive(data, now), now)
        self.settle()

    def eof_received(self) -> bool:
        if self.linger_until:
            self.transport.close()
            return True
        now = self.ended_at = self.front.clock.monotonic()
        self.front.take(self, self.connection.receive_eof(now), now)
        self.settle()
        return True

    def pause_writing(self) -> None:
        self.writable = False
        self._throttle()

    def resume_writing(self) -> None:
        self.writable = True
        self.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.front.left(self)

    def settle(self) -> None:
        """Write what is due, then close, pause or go on reading."""
        connection = self.connection
        again = True
        while again:
            again = False
            if self.writable and (output := connection.take_output()):
                self.transport.write(output)
            if connection.wants_input and not (connection.finished or connection.waiting or self.paused):
                return  # as nearly always: go on reading
            if connection.finished and self.writable and not self.linger_until:
                self._finish()
            else:
                again = self._throttle()

    def _finish(self) -> None:
        """Shut our side; the client may still be sending, and a close now could destroy the answer on its way."""
        if self.ended_at or not self.transport.can_write_eof() or self.transport.is_closing():
            self.transport.close()
            return
        self.transport.write_eof()
        self.linger_until = self.front.clock.monotonic() + (IDLE_GRACE_S if self.front.draining else LINGER_S)
        self._throttle()

    def _throttle(self) -> bool:
        """Pause or resume reading; True when requests that had to wait were taken, and may have been answered."""
        pause = not (self.linger_until or (self.writable and self.connection.wants_input))
        if self.transport.is_closing():
            return False
        if pause != self.paused:
            self.paused = pause
            if pause:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
        if not (self.writable and self.connection.waiting):
            return False
        now = self.front.clock.monotonic()
        self.front.take(self, self.connection.receive(b"", now), now)
        return True

    def sweep(self, now: float) -> None:
        """What the clock has to say to this connection; to be called a few times a second."""
        if self.linger_until:
            if self.linger_until <= now:
                self.transport.abort()
            return
        if self.ended_at and now - self.ended_at >= PROBE_S:
            self.connection.probe()
            self.settle()
        deadline = self.connection.next_deadline
        if deadline is not None and deadline <= now:
            self.front.take(self, [*self.connection.tick(now)], now)
            self.settle()

    def close_if_idle(self) -> None:
        """In a drain: nothing is owed to an idle client, nothing of it is unread."""
        if self.connection.close_if_idle() and not self.linger_until:
            self.transport.close()
