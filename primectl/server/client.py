"""§ Steps 1 and 8: one client's connection, between its transport and its `HttpConnection`."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import socket
import struct
import sys
import termios
from contextlib import suppress
from typing import Protocol, cast

from primectl.clock import Clock
from primectl.http.connection import Exchange, HttpConnection, HttpLimits, Refusal
from primectl.server.ledger import Open

LINGER_S = 1.0
"""How long a client may take to close after our last answer to it."""
PROBE_S = 0.5
"""A client that has shut its side is asked this often from then on whether it is still there."""
IDLE_GRACE_S = 0.1
"""In a drain, how long a keep-alive connection with nothing open may still send a request."""
WRITE_BOUND = 64 << 10
"""Bytes that its transport holds for a client that does not read before no more is given to it."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset."""

Slot = tuple["Client", Exchange]


class Host(Protocol):
    """What a connection needs of the server that it belongs to."""

    clock: Clock
    limits: HttpLimits
    scheme: str
    draining: bool
    write_timeout: float

    def came(self, client: Client) -> None:
        """The connection is there."""

    def take(self, client: Client, items: list[Exchange | Refusal], now: float) -> None:
        """What a connection's bytes amounted to."""

    def left(self, client: Client) -> None:
        """The connection is gone."""

    def look_at(self, client: Client, at: float) -> None:
        """Call the client's `look` at that time, in place of what was said before."""

    def account(self, client: Client) -> None:
        """The client has not read all that there is for it, or had not when this was last called."""

    def arrived(self, client: Client) -> None:
        """More, or no more, of a body is on its way in."""

    def allow(self, client: Client) -> None:
        """The client, to whom an answer is streamed, may have made room for more of it."""

    def cut_off(self, client: Client) -> None:
        """The client has read nothing for `write_timeout`."""

    def next_name(self) -> str:
        """A request id for an answer that a connection makes by itself."""

    def date(self) -> bytes:
        """The value of the Date field."""


class Client(asyncio.Protocol):
    """One connection: moves bytes between the transport and its `HttpConnection`."""

    __slots__ = (
        "arriving",
        "connection",
        "counted",
        "drained",
        "due",
        "ended_at",
        "front",
        "linger_until",
        "moved_at",
        "paused",
        "peer",
        "sent",
        "streams",
        "transport",
        "writable",
    )

    def __init__(self, front: Host, peer: str) -> None:
        self.front = front
        self.peer = peer
        now = front.clock.monotonic()
        self.connection = HttpConnection(
            front.limits, peer, scheme=front.scheme, request_id=front.next_name, date=front.date, now=now
        )
        self.streams: dict[Exchange, Open[Slot]] = {}
        """Answers to it that have begun and go on."""
        self.arriving = 0
        """What the server has booked as bytes of a body on its way in; `counted` likewise of what it has not read."""
        self.counted = 0
        self.paused = False
        """We do not read."""
        self.writable = True
        """The transport takes more."""
        self.sent = 0
        """Bytes given to the transport."""
        self.drained = 0
        """Of these, what the client had taken at `moved_at`."""
        self.moved_at = now
        self.due = now
        """When `look` will be called."""
        self.ended_at = 0.0
        """When not 0: the client has shut its side then; it may have gone, or wait for answers."""
        self.linger_until = 0.0
        """When not 0: our side is shut, and the client has until then to shut its own."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(WRITE_BOUND)
        self.front.came(self)
        if self.front.draining:
            self.connection.drain()
        self._plan(self.front.clock.monotonic())

    def data_received(self, data: bytes) -> None:
        if self.linger_until:
            return
        now = self.front.clock.monotonic()
        connection = self.connection
        self.front.take(self, connection.receive(data, now), now)
        if connection.arriving != self.arriving:
            self.front.arrived(self)
        self.settle()

    def eof_received(self) -> bool:
        if self.linger_until:
            self.transport.close()
            return True
        now = self.ended_at = self.front.clock.monotonic()
        self.front.take(self, self.connection.receive_eof(now), now)
        self.front.arrived(self)
        self.settle()
        self._plan(now)
        return True

    def pause_writing(self) -> None:
        self.writable = False
        now = self.moved_at = self.front.clock.monotonic()
        self.drained = self.sent - self._untaken()
        self._plan(now)

    def resume_writing(self) -> None:
        self.writable = True
        self.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.front.left(self)

    def settle(self) -> None:
        """Write what is due, then close, pause or go on reading."""
        connection = self.connection
        while True:
            while self.writable and connection.unsent:
                output = connection.take_output()
                self.sent += len(output)
                self.transport.write(output)
            if connection.held or self.counted or not self.writable:
                self.front.account(self)
            if self.streams:
                self.front.allow(self)
            deadline = connection.next_deadline
            if deadline is not None and deadline < self.due:
                self.due = deadline
                self.front.look_at(self, deadline)
            if (
                self.writable
                and connection.wants_input
                and not (connection.finished or connection.waiting or self.paused)
            ):
                return  # as nearly always: go on reading
            if connection.finished and not self.linger_until and (self.writable or connection.worthless):
                self._finish()
                return
            if not self._throttle():
                return

    def drop(self) -> None:
        """End the connection now, whatever there is for the client."""
        self.connection.discard()
        self.streams.clear()
        self.transport.abort()

    def _finish(self) -> None:
        """Shut our side; the client may still be sending, and a close now could destroy the answer on its way."""
        if self.connection.worthless:
            if (connected := self.transport.get_extra_info("socket")) is not None:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.drop()
            return
        if self.ended_at or not self.transport.can_write_eof() or self.transport.is_closing():
            self.transport.close()
            return
        self.transport.write_eof()
        now = self.front.clock.monotonic()
        self.linger_until = now + (IDLE_GRACE_S if self.front.draining else LINGER_S)
        self._plan(now)
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
        if self.connection.arriving != self.arriving:
            self.front.arrived(self)
        return True

    def look(self, now: float) -> None:
        """What the clock has to say to this connection; called when it is due, or some time before."""
        if self._stalled(now):
            self.front.cut_off(self)
            return
        if self.linger_until:
            if self.linger_until <= now and not self.transport.get_write_buffer_size():
                self.transport.abort()
                return
        elif self.ended_at and now - self.ended_at >= PROBE_S:
            if _is_gone(self.transport):
                self.transport.abort()
                return
            self.connection.probe()
            self.settle()
        deadline = self.connection.next_deadline
        if deadline is not None and deadline <= now and not self.linger_until:
            self.front.take(self, [*self.connection.tick(now)], now)
            self.settle()
        self._plan(now)

    def _stalled(self, now: float) -> bool:
        """Whether the client has taken nothing of what is there for it for so long that we need not wait any more."""
        waiting = self._untaken()
        if not waiting or self.sent - waiting != self.drained:
            self.drained = self.sent - waiting
            self.moved_at = now
            return False
        return now - self.moved_at >= self.front.write_timeout

    def _untaken(self) -> int:
        """Bytes on their way to the client: in its transport, and in the kernel, which takes megabytes of them and
        tells of room only when a third of that is free."""
        kernel = self.transport.get_extra_info("socket")
        asked = b"\0\0\0\0" if kernel is None else fcntl.ioctl(kernel.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        return self.transport.get_write_buffer_size() + int.from_bytes(asked, sys.byteorder)

    def _plan(self, now: float) -> None:
        """When to look next: at the next thing that may be due, and often enough to see that nothing is read."""
        due = self.moved_at + self.front.write_timeout
        if due <= now:
            due = now + self.front.write_timeout
        if self.linger_until:
            due = min(due, max(self.linger_until, now))
        elif self.ended_at:
            due = min(due, now + PROBE_S)
        deadline = self.connection.next_deadline
        if deadline is not None and not self.linger_until:
            due = min(due, deadline)
        self.due = due
        self.front.look_at(self, due)

    def close_if_idle(self) -> None:
        """In a drain: end a connection with nothing open. A request that is here and not read yet comes in time; what
        the client has yet to take of its answers is still sent."""
        if self.linger_until or self.transport.is_closing() or _look(self.transport, select.POLLIN):
            return
        if not self.connection.close_if_idle():
            return
        if self.connection.unsent or self._untaken():
            self.settle()
            return
        _shut(self.transport)
        self.transport.close()


def _is_gone(transport: asyncio.Transport) -> bool:
    """Whether the kernel knows that nobody is there any more: it was told so by what we sent since."""
    return _look(transport, 0)


def _look(transport: asyncio.Transport, events: int) -> bool:
    """Whether one of these, or an error, is up at the connection's socket now."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), events)
    return bool(poll.poll(0))


def _shut(transport: asyncio.Transport) -> None:
    """Send our end at once. A request that crosses it is met by an orderly end then, and not by a reset: the client
    knows that it was not taken up."""
    if not transport.can_write_eof():
        return
    with (
        suppress(OSError),  # the client has gone
        socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connected,
    ):
        connected.shutdown(socket.SHUT_WR)
