"""A console's two links to a supervisor: `ControlClient` asks and orders, `Feed` listens. Blocking, no event loop.

A console must never stand before a dead supervisor until a timeout runs out, so the client watches its own connection
(zmq_socket_monitor(3)): a socket that nobody listens at and a supervisor that goes away both show there at once.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Collection
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import zmq
from msgspec import Struct

from primectl.clock import SystemClock
from primectl.config import topology
from primectl.config.topology import Place
from primectl.control.running import supervisor_pid
from primectl.errors import ChannelLost, CommandRefused, ConfigError, NotFound, PrimectlError, TimedOut, WireError
from primectl.wire import frames
from primectl.wire.control import Progress, Refusal, Reply, Request
from primectl.wire.stats import FeedMessage

ReplyT = TypeVar("ReplyT")

HEARTBEAT_MS = 500
PEER_SILENT_MS = 2000
"""A supervisor that sends no heartbeat for so long (stopped, cut off) counts as gone. Its I/O thread answers heartbeats
however busy its loop is."""
FEED_QUEUE = 256
"""Messages that wait for a slow console; beyond that ZeroMQ drops, and the next snapshot makes up for it."""

SNAPSHOTS = "snapshot"
EVENTS = "event"
LOGS = "log"

_clock = SystemClock()
_LOST = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_ERRORS: dict[int, type[CommandRefused]] = {404: NotFound, 504: TimedOut}


class ControlClient:
    """Asks one cluster's supervisor, one question at a time. Not for several threads at once.

    Each question has a connection of its own: what is kept open may be one to a supervisor that has just gone, and an
    order that was sent into it can be neither taken back nor safely repeated.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._context = zmq.Context()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._context.term()

    def ask(
        self,
        method: str,
        path: str,
        body: Struct | None,
        reply: type[ReplyT],
        *,
        timeout_s: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ReplyT:
        """Send one request and wait for its final reply; each progress reply before it goes to `on_progress`.

        Raises ConfigError (400), NotFound (404), TimedOut (504), CommandRefused (409 and every other refusal) as the
        supervisor says, ChannelLost when it is not there, goes away or says nothing for `timeout_s`, and WireError
        when its answer is no `reply`.
        """
        if not Path(f"{self._place.sockets}/{topology.CONTROL}").exists():
            raise self._lost("no supervisor runs it")
        self._number += 1
        request = Request(self._number, method, path, frames.raw(body), operator_name())
        deadline = _clock.monotonic() + timeout_s
        socket = self._context.socket(zmq.DEALER)
        monitor = self._context.socket(zmq.PAIR)
        try:
            _prepare(socket)
            monitor.setsockopt(zmq.LINGER, 0)
            _watch(socket, monitor)
            socket.connect(self._place.endpoint(topology.CONTROL))
            # Without a connection DEALER keeps the request until there is one, or until the monitor says no.
            socket.send(frames.encode(request))
            while True:
                answer = self._receive(socket, monitor, deadline, timeout_s)
                if answer.id != self._number:
                    continue
                if answer.status == 102:
                    if on_progress is not None:
                        on_progress(frames.body(answer.body, Progress))
                elif answer.status >= 400:
                    raise _refused(answer)
                else:
                    return frames.body(answer.body, reply)
        finally:
            socket.disable_monitor()
            socket.close()
            monitor.close()

    def _receive(
        self, socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes], deadline: float, timeout_s: float
    ) -> Reply:
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(monitor, zmq.POLLIN)
        while True:
            ready = dict(poller.poll(_milliseconds(deadline - _clock.monotonic())))
            # A reply may be followed by the end of the connection: it is read before that counts.
            try:
                reply: Reply = frames.control_reply(socket.recv_multipart(zmq.NOBLOCK)[-1])
                return reply
            except zmq.Again:
                pass
            if monitor in ready:
                raise self._lost("its supervisor is gone")
            if _clock.monotonic() >= deadline:
                raise self._lost(f"its supervisor has not answered within {timeout_s:g} s")

    def _lost(self, why: str) -> ChannelLost:
        pid = supervisor_pid(self._place)
        mend = (
            "`primectl up -d` starts it" if pid is None else f"Look at process {pid}: it holds {self._place.pid_file}"
        )
        return ChannelLost(f"cluster {self._place.cluster} does not answer: {why}", mend=mend)


class Feed:
    """What a supervisor publishes: subscribed to `topics` (SNAPSHOTS, EVENTS, LOGS), read without blocking.

    It connects by itself, now or later, and again after the supervisor's restart; silence is told by the age of the
    last snapshot, not by an error. `malformed` counts what was no feed message.
    """

    def __init__(self, place: Place, topics: Collection[str]) -> None:
        self.malformed = 0
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        _prepare(self._socket)
        self._socket.setsockopt(zmq.RCVHWM, FEED_QUEUE)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._socket.connect(place.endpoint(topology.FEED))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Becomes readable when there may be messages. Edge-triggered (zmq_getsockopt(3), ZMQ_FD): call `receive` once
        before waiting on it, and each time it is readable."""
        return int(self._socket.getsockopt(zmq.FD))

    def receive(self) -> list[FeedMessage]:
        """All that has arrived, oldest first; empty when nothing has."""
        messages: list[FeedMessage] = []
        while True:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return messages
            try:
                messages.append(frames.feed(parts[-1]))
            except WireError:
                self.malformed += 1

    def wait(self, timeout_s: float) -> bool:
        """Wait until something has arrived; False when nothing has in `timeout_s`."""
        return bool(self._socket.poll(_milliseconds(timeout_s)))

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def operator_name() -> str:
    """The login name that orders are given under, for the supervisor's event log."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _watch(socket: zmq.Socket[bytes], monitor: zmq.Socket[bytes]) -> None:
    """Have `monitor` become readable once the connection of `socket` fails or ends."""
    address = f"inproc://control-{int(socket.getsockopt(zmq.FD))}"
    socket.monitor(address, _LOST)
    monitor.connect(address)


def _milliseconds(seconds: float) -> int:
    """Rounded up, so that a poll for the last fraction waits rather than spins."""
    return max(0, ceil(seconds * 1000))


def _prepare(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, PEER_SILENT_MS)
    socket.setsockopt(zmq.MAXMSGSIZE, frames.FRAME_LIMIT)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)


def _refused(answer: Reply) -> PrimectlError:
    refusal = frames.body(answer.body, Refusal)
    if answer.status == 400:
        return ConfigError(refusal.what, refusal.where, refusal.mend)
    return _ERRORS.get(answer.status, CommandRefused)(refusal.what, refusal.where, refusal.mend, refusal.lines)
