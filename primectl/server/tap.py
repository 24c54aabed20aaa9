"""§ Step 9: tells the recorder what became of every request, and costs them nothing but the telling.

A link is for one recorder: where it ends, the next one is new and gets everything from the first record that is not
written, so that a recorder sees the numbers in order. Without a recorder records are kept up to a bound (`tape`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf

import zmq
from msgspec import structs
from zmq.utils.monitor import parse_monitor_message

from primectl.clock import Clock
from primectl.config.model import JournalConfig
from primectl.config.topology import RECORDER, Place
from primectl.control.sockets import BATCH_QUEUE, open_socket, readable, try_send
from primectl.http.connection import Exchange, Refusal
from primectl.message import Request
from primectl.server.astray import Astray
from primectl.server.beginnings import Beginnings, ended
from primectl.server.choice import Choice
from primectl.server.tape import Tape
from primectl.wire import frames
from primectl.wire.job import REQUEST, Answer, RequestId
from primectl.wire.journal import BROKEN, STREAMED, Record, Written

GATHER_S = 0.02
"""How long records gather: a frame of many costs the recorder much less than many frames."""
RETRY_S = 1.0
"""How soon a recorder that is not there is looked for again, unless it is said to be ready."""
LINGER_MS = 500
FINISH_S = 1.0
"""How long a leaving server waits for its last records to be written."""
_LINK_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Tap:
    """`left_out` counts the requests that were not chosen, `malformed` what a recorder said that cannot be."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        place: Place,
        server: str,
        incarnation: int,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
    ) -> None:
        self._context = context
        self._endpoint = place.endpoint(RECORDER)
        self._loop = loop
        self._clock = clock
        self._tape = Tape(server, incarnation)
        self._beginnings = Beginnings()
        self._astray = Astray()
        self._choice = Choice()
        self._limit = 0
        self._link: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._up = False
        """The link has its recorder."""
        self._opened_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self.enabled = False
        self.left_out = 0
        self.malformed = 0

    @property
    def dropped(self) -> int:
        return self._tape.dropped

    def configure(self, settings: JournalConfig) -> None:
        """From now on."""
        self._choice = Choice(settings.sample, settings.slow)
        self._limit = settings.max_body
        self.enabled = settings.enabled
        if self.enabled and self._link is None:
            self._open()
        elif not self.enabled:
            self._flush()
            self._give_up_if_alone()

    # --- what has become of requests ----------------------------------------------------------------------------------

    def answered(
        self,
        exchange: Exchange,
        payload: bytes,
        pool: str,
        answer: Answer,
        now: float,
        flags: int = 0,
        problem: str = "",
        size: int | None = None,
    ) -> None:
        """A request has ended. `payload` is it, of the kind REQUEST, `exchange.tag` its number; `answer` is what its
        client got, of status 0 if it got none, `size` the length of the body where that is not whole here."""
        began = exchange.started
        request = RequestId(exchange.tag)
        if not self._choice.takes(request, answer.status, flags, now - began):
            self.left_out += 1
            return
        limit = self._limit
        asked_bytes = exchange.body_bytes
        body = answer.body
        record = Record(
            request,
            began,
            now,
            payload if asked_bytes <= limit else _cut(payload, limit),
            asked_bytes,
            answer.status,
            answer.fields,
            body if len(body) <= limit else body[:limit],
            len(body) if size is None else size,
            answer.worker,
            pool,
            answer.attempt,
            answer.trail,
            flags,
            problem,
        )
        if flags and self._astray.concerns(record):
            for other in self._astray.hold(record, now):
                self._add(other)
            self._soon()
        else:
            self._add(record)

    def found(self, request: RequestId, trail: bytes) -> None:
        """Where a request was that nobody waits for any more."""
        record = self._astray.found(request, trail)
        if record is not None:
            self._add(record)

    def refused(self, refusal: Refusal, client: str, server: str, now: float) -> None:
        """What did not become a request: it is recorded as far as it is known."""
        request = RequestId(int(refusal.request_id, 16))
        if not self._choice.takes(request, refusal.status, 0, 0.0):
            self.left_out += 1
            return
        _, asked = frames.encode_payload(Request(refusal.method, refusal.target, client=client))
        record = Record(
            request, now, now, asked, 0, refusal.status, (), b"", refusal.body_bytes, server, "", problem=refusal.what
        )
        self._add(record)

    def stream_began(self, exchange: Exchange, head: Answer) -> None:
        """The answer to it comes bit by bit, `head` first."""
        self._beginnings.begin(RequestId(exchange.tag), head, self._limit)

    def stream_went_on(self, exchange: Exchange, data: bytes) -> None:
        self._beginnings.part(RequestId(exchange.tag), data, self._limit)

    def stream_ended(
        self, exchange: Exchange, payload: bytes, pool: str, size: int, now: float, flags: int = 0, problem: str = ""
    ) -> None:
        """After `size` bytes of its body, one way or the other. Where `exchange.status` is not that of the head, that
        is what its client got in place of it."""
        begun = self._beginnings.end(RequestId(exchange.tag))
        if begun is None or not self.enabled:
            return
        head = begun.head
        trail = ended(head.trail, now, failed=bool(flags & BROKEN))
        if exchange.status == head.status:
            answer = structs.replace(head, body=bytes(begun.body), trail=trail)
        else:
            answer = structs.replace(head, status=exchange.status, fields=(), body=b"", trail=trail)
        self.answered(exchange, payload, pool, answer, now, flags | STREAMED, problem, size)

    def _add(self, record: Record) -> None:
        if self._tape.add(record):
            self._flush()
        else:
            self._soon()

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self._flush)

    # --- the recorder -------------------------------------------------------------------------------------------------

    def heard(self, said: Written) -> None:
        """From the recorder."""
        if not self._tape.written(said):
            self.malformed += 1
        if self._tape.empty:
            self._settled.set()

    def recorder_ready(self) -> None:
        """A recorder has started."""
        self._see_link()
        if self.enabled and not self._up:
            self._open()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic()
        if self._astray:
            for record in self._astray.overdue(now):
                self._tape.add(record)
            self._soon()
        self._tape.seal(self._clock.wall() - now)
        self._send()

    def _send(self) -> None:
        """What the recorder takes now; the rest a moment later."""
        tape, link = self._tape, self._link
        if self._up and link is not None:
            count = 0
            for frame in tape.to_send():
                if not try_send(link, [frame]):
                    break
                count += 1
            tape.sent(count)
        elif self.enabled and tape.unsent and self._clock.monotonic() - self._opened_at >= RETRY_S:
            self._open()
        if tape.unsent and self._timer is None:
            self._timer = self._loop.call_later(GATHER_S if self._up else RETRY_S, self._flush)

    def _open(self) -> None:
        """Look for a recorder. A link that ends is not mended by itself: what is sent next would reach its successor
        before what is lost."""
        self._close_link(linger_ms=0)
        self._opened_at = self._clock.monotonic()
        self._tape.rewind()
        link = self._link = open_socket(self._context, zmq.PUSH, queue=BATCH_QUEUE, linger_ms=LINGER_MS)
        link.set(zmq.IMMEDIATE, 1)
        link.set(zmq.RECONNECT_IVL, -1)
        self._monitor = link.get_monitor_socket(_LINK_EVENTS)
        self._loop.add_reader(self._monitor.fileno(), self._see_link)
        link.connect(self._endpoint)
        self._see_link()

    def _see_link(self) -> None:
        """What has become of it."""
        was_up = self._up
        while self._monitor is not None and readable(self._monitor):
            event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
            self._up = event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        if self._up == was_up:
            return
        if not self._up:
            self._tape.rewind()
            self._settled.set()
            self._give_up_if_alone()
        self._flush()

    def _give_up_if_alone(self) -> None:
        """Once nothing is recorded any more, its recorder is gone for good."""
        if not self.enabled and not self._up:
            self._tape.forget()
            self._close_link(linger_ms=0)

    async def finish(self) -> None:
        """The last records leave, and are written if a recorder is there that does it in time."""
        for record in self._astray.overdue(inf):
            self._tape.add(record)
        self._flush()
        self._settled.clear()
        if self._up and not self._tape.empty:
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_S):
                    await self._settled.wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._close_link(linger_ms=LINGER_MS)

    def _close_link(self, *, linger_ms: int) -> None:
        self._up = False
        if self._link is None or self._monitor is None:
            return
        self._loop.remove_reader(self._monitor.fileno())
        self._link.disable_monitor()
        self._monitor.close()
        self._link.close(linger_ms)
        self._link = self._monitor = None


def _cut(payload: bytes, limit: int) -> bytes:
    """The same request with `limit` bytes of its body."""
    request = frames.decode_payload(REQUEST, payload)
    return frames.encode_payload(structs.replace(request, body=request.body[:limit]))[1]
