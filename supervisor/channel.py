"""§ The supervisor's four sockets: `commands` and `feed` (XPUB), `stats` (SUB), `control` (ROUTER).

Each is read straight from the loop's descriptor and drained to EAGAIN: the descriptor is edge-triggered, and sending
may use up the edge that a message made, so after sending the socket is looked at again. Whatever arrives that is not
one of our messages is counted, told to the log now and then, and answered where somebody waits for an answer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import zmq

from primectl.clock import Clock
from primectl.config.topology import COMMANDS, CONTROL, FEED, STATS, Place
from primectl.control.log import ProcessLog
from primectl.control.sockets import REPORT_QUEUE, open_socket, readable
from primectl.control.ways import let_in
from primectl.errors import WireError
from primectl.wire import frames
from primectl.wire.control import Command, Refusal, Reply, Request, process_topic
from primectl.wire.stats import FeedMessage, ReportEnvelope

MESSAGES_A_TURN = 500
"""Of one socket before the others get their turn: a flood on one never starves the rest."""
CONSOLES_A_TURN = 50
"""The same where consoles are at the other end: nobody of the cluster waits for what they say."""
PARTS = 4
"""Parts of a message that are kept; ours have at most two."""
MESSAGE_BYTES = 4 << 20
"""A peer that sends a larger frame is disconnected by ZeroMQ."""
TOPIC_BYTES = 256
FEED_QUEUE = 64
"""Messages that wait for a console that does not read: 16 s of snapshots; then it misses some, and sees that it did."""
REPLY_QUEUE = 64
"""Answers that wait for one console that does not read; further ones are dropped and counted."""
COMPLAIN_S = 5.0
"""Between two log lines about the same kind of nonsense."""

SNAPSHOTS, EVENTS, LOGS = b"snapshot", b"event", b"log"

Socket = zmq.Socket[bytes]


class Channel:
    """The sockets, and what is told by them. `counters` has what was dropped, by name."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        place: Place,
        log: ProcessLog,
        clock: Clock,
        *,
        on_report: Callable[[ReportEnvelope], None],
        on_listener: Callable[[str], None],
        on_request: Callable[[bytes, Request], None],
        on_feed: Callable[[bytes, bool], None],
    ) -> None:
        """`on_listener` hears of processes that listen to commands, `on_feed` of topics that get or lose listeners."""
        self._loop = loop
        self._log = log
        self._clock = clock
        self._on_report, self._on_listener = on_report, on_listener
        self._on_request, self._on_feed = on_request, on_feed
        self.counters: dict[str, int] = {}
        self._complained: dict[str, float] = {}
        self._again: set[Socket] = set()
        self._resting = False
        self._calm = False
        self._context: zmq.Context[Socket] = zmq.Context()
        self._commands = self._open(zmq.XPUB, linger_ms=200)
        self._feed = self._open(zmq.XPUB, linger_ms=200)
        self._feed.set(zmq.SNDHWM, FEED_QUEUE)
        for publisher in (self._commands, self._feed):
            # Every new listener is told of, not only the first to a topic: each wants its HELLO, its snapshot.
            publisher.set(zmq.XPUB_VERBOSE, 1)
        self._stats = self._open(zmq.SUB)
        self._stats.subscribe(b"")
        self._stats_fd = self._stats.fileno()
        self._control = self._open(zmq.ROUTER, linger_ms=1000)
        self._control.set(zmq.SNDHWM, REPLY_QUEUE)
        # An answer that cannot be delivered is an error that we count, not silence.
        self._control.set(zmq.ROUTER_MANDATORY, 1)
        self._take = {
            self._commands: self._subscription,
            self._feed: self._feed_subscription,
            self._stats: self._report,
            self._control: self._request,
        }
        names = {self._commands: COMMANDS, self._feed: FEED, self._stats: STATS, self._control: CONTROL}
        for socket, name in names.items():
            socket.bind(place.endpoint(name))
            if name in (COMMANDS, STATS):
                let_in(place, name)
            else:  # an operator's alone, whatever the umask that the supervisor was started with
                os.chmod(f"{place.sockets}/{name}", 0o600)
            loop.add_reader(socket.fileno(), self._drain, socket)
            self._look_again(socket)

    def _open(self, kind: int, *, linger_ms: int = 0) -> Socket:
        socket = open_socket(self._context, kind, queue=REPORT_QUEUE, linger_ms=linger_ms)
        socket.set(zmq.MAXMSGSIZE, MESSAGE_BYTES)
        # The peers ping us, and their end we learn by pidfd: pinging 64 workers would cost 0.5 % of a core.
        socket.set(zmq.HEARTBEAT_IVL, 0)
        return socket

    # --- out ----------------------------------------------------------------------------------------------------------

    def broadcast(self, topic: str, command: Command) -> None:
        self._send(self._commands, [topic.encode(), frames.encode(command)], "commands_dropped")

    def publish(self, topic: bytes, message: FeedMessage) -> None:
        self._send(self._feed, [topic, frames.encode(message)], "feed_dropped")

    def reply(self, address: bytes, reply: Reply) -> None:
        self._send(self._control, [address, frames.encode(reply)], "replies_dropped")

    def _send(self, socket: Socket, parts: list[bytes], counter: str) -> None:
        try:
            socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            self.count(counter)
        self._look_again(socket)

    # --- in -----------------------------------------------------------------------------------------------------------

    def _look_again(self, socket: Socket) -> None:
        if socket not in self._again:
            self._again.add(socket)
            self._loop.call_soon(self._drain, socket)

    def _drain(self, socket: Socket) -> None:
        self._again.discard(socket)
        if socket.closed:
            return
        take = self._take[socket]
        for taken in range(MESSAGES_A_TURN if socket is self._stats else CONSOLES_A_TURN):
            try:
                message = _receive(socket)
            except zmq.Again:
                if taken and self._calm and socket is self._stats:
                    self._rest()
                return
            take(message)
        if readable(socket):
            self._look_again(socket)

    def be_calm(self, calm: bool) -> None:
        """While nobody waits for a report, `stats` is read in `look_in` only: 64 workers that report one by one wake us
        with the next round of all that is done regularly, not 64 times."""
        self._calm = calm
        if not calm:
            self.look_in()

    def look_in(self) -> None:
        """Read the reports that have waited."""
        if self._resting:
            self._resting = False
            self._loop.add_reader(self._stats_fd, self._drain, self._stats)
            self._drain(self._stats)

    def _rest(self) -> None:
        if not self._resting:
            self._resting = True
            self._loop.remove_reader(self._stats_fd)

    def drain_reports(self) -> None:
        """Take in what has arrived on `stats` by now, before an end is looked at that it may explain."""
        self._drain(self._stats)

    def _subscription(self, message: list[bytes]) -> None:
        topic = message[0][1:]
        if len(message) != 1 or message[0][:1] not in (b"\x00", b"\x01") or len(topic) > TOPIC_BYTES:
            self.complain(COMMANDS, f"{len(message)} frames that are no subscription")
            return
        prefix = process_topic("").encode()
        if message[0][:1] == b"\x01" and topic.startswith(prefix):
            self._on_listener(topic.removeprefix(prefix).decode("utf-8", "replace"))

    def _feed_subscription(self, message: list[bytes]) -> None:
        topic = message[0][1:]
        if len(message) != 1 or message[0][:1] not in (b"\x00", b"\x01") or len(topic) > TOPIC_BYTES:
            self.complain(FEED, f"{len(message)} frames that are no subscription")
            return
        # ZeroMQ matches by prefix: "" asks for everything.
        for ours in (SNAPSHOTS, EVENTS, LOGS):
            if ours.startswith(topic):
                self._on_feed(ours, message[0][:1] == b"\x01")

    def _report(self, message: list[bytes]) -> None:
        if len(message) != 2:
            self.complain(STATS, f"{len(message)} frames instead of topic and report")
            return
        try:
            self._on_report(frames.report(message[1]))
        except WireError as error:
            self.complain(STATS, str(error))

    def _request(self, message: list[bytes]) -> None:
        if len(message) != 2:
            self.complain(CONTROL, f"{len(message) - 1} frames instead of one request")
            refusal = Refusal("a request is one frame behind the address", mend="Send it from a DEALER, as it is")
            self.reply(message[0], Reply(0, 400, frames.raw(refusal)))
            return
        try:
            request = frames.control_request(message[1])
        except WireError as error:
            self.complain(CONTROL, str(error))
            refusal = Refusal("this is no request", CONTROL, "See primectl.wire.control for what is")
            self.reply(message[0], Reply(0, 400, frames.raw(refusal)))
            return
        self._on_request(message[0], request)

    def count(self, counter: str) -> None:
        self.counters[counter] = self.counters.get(counter, 0) + 1

    def complain(self, socket: str, what: str) -> None:
        """Count nonsense, and log some of it."""
        counter = f"{socket}_malformed"
        self.count(counter)
        now = self._clock.monotonic()
        if now - self._complained.get(socket, -COMPLAIN_S) >= COMPLAIN_S:
            self._complained[socket] = now
            self._log.warn(f"ignored on {socket}: {what[:300]} ({self.counters[counter]} so far)")

    def close(self) -> None:
        """Send what is queued, for a moment, and let go."""
        for socket in self._take:
            self._loop.remove_reader(socket.fileno())
            socket.close()
        self._context.term()


def _receive(socket: Socket) -> list[bytes]:
    """One message; parts beyond PARTS are read and dropped, so a peer cannot make us hold a million of them."""
    parts = [socket.recv(zmq.NOBLOCK)]
    while socket.get(zmq.RCVMORE):
        part = socket.recv(zmq.NOBLOCK)
        if len(parts) < PARTS:
            parts.append(part)
    return parts
