"""§ Steps 5 and 6: one streamed answer, sent as its handler gives it and as its client reads it.

Nothing is asked of the handler while bytes that it gave before may not be sent: a slow client blocks its worker, and no
memory grows. Small chunks that come quickly are gathered for a millisecond, the watchdog sends them off if the handler
then takes its time.

`send` runs in the main thread; the other methods are the watchdog's, which holds the lock.
"""

from __future__ import annotations

import time
from math import inf

from primectl.message import Job, Response
from primectl.wire.job import (
    STREAM_BROKEN,
    STREAM_COMPLETE,
    STREAM_GOES_ON,
    Answer,
    StreamBegun,
    StreamPart,
    WireJob,
)
from primectl.wire.journal import Hop, add_hop
from primectl.worker.desk import Desk
from primectl.worker.flow import Flow
from primectl.worker.handler import Outcome, Streamed, told
from primectl.worker.items import END, as_bytes
from primectl.worker.outbox import ABSENT_S

GATHER_S = 0.001
GATHER_BYTES = 64 << 10
RETRY_S = 0.005
"""A server whose queue is full says nothing when it has room again."""


class Stream:
    """A streamed answer on its way."""

    def __init__(self, desk: Desk, wire: WireJob, job: Job, streamed: Streamed, started: float) -> None:
        server = desk.me.cluster.config.server
        self._desk = desk
        self._part_s = server.request_timeout
        self._read_s = server.request_timeout + server.write_timeout
        self._wire = wire
        self._started = started
        self._job = job
        self._head: Response | None = streamed.head
        self._items = streamed.rest
        self._flow = Flow()
        self._flow.add(streamed.head.body)
        self._end = STREAM_GOES_ON
        self._ended = False
        self._pushed_at = 0.0
        self._roused = False
        self._refused_at: float | None = None

    # --- the main thread ----------------------------------------------------------------------------------------------

    def send(self) -> Outcome:
        """The whole stream, from its head to its end."""
        trouble = ""
        end = STREAM_COMPLETE
        try:
            self._announce()
            while self._room():
                item = self._items.pull()
                if item is END:
                    break
                self._add(as_bytes(item))
            else:
                end = STREAM_BROKEN
        except BaseException as error:
            end = STREAM_BROKEN
            trouble = "" if self._job.cancelled else told(error)
        trouble += self._close()
        while not self._finish(end):
            self._desk.wait_for_news(RETRY_S if self._refused_at else None)
        return Outcome(None, failed=bool(trouble) and not self._job.cancelled, trouble=trouble)

    def _announce(self) -> None:
        """What other jobs have answered goes first; then the proxy is to know before the server can."""
        with self._desk.lock:
            now = time.monotonic()
            if not self._job.cancelled:
                self._desk.outbox.flush(now)
                self._desk.outbox.streaming(self._wire.id)
                self._desk.duty.prolong(now + self._part_s)

    def _add(self, data: bytes) -> None:
        with self._desk.lock:
            self._flow.add(data)
            self._desk.duty.prolong(time.monotonic() + self._part_s)

    def _room(self) -> bool:
        """Wait until the handler may give more. False when nobody is there to read it."""
        while True:
            with self._desk.lock:
                now = time.monotonic()
                if self._abandoned(now):
                    return False
                if self._gathers(now):
                    rouse = self._flow.waiting > 0 and not self._roused
                    self._roused = rouse or self._roused
                    break
                self._push(now)
                if self._head is None and not self._flow.waiting:
                    rouse = False
                    break
                pause_s = self._hold_up(now)
            self._desk.wait_for_news(pause_s)
        if rouse:
            self._desk.rouse_watchdog()
        return True

    def _finish(self, end: int) -> bool:
        """Send the rest and the end of it; False while that has to wait."""
        with self._desk.lock:
            now = time.monotonic()
            self._end = end
            if self._abandoned(now):
                self._flow.drop()
                if self._head is None:
                    self._push(now)
                if not self._ended and not self._job.cancelled:
                    self._desk.outbox.counters["answers_dropped"] += 1
                return True
            self._push(now)
            if not self._ended:
                self._hold_up(now)
            return self._ended

    def _close(self) -> str:
        """Let the handler clean up; a traceback if it fails in that."""
        try:
            try:
                if self._job.cancelled:
                    self._items.cancel()
            finally:
                self._items.close()
        except BaseException as error:
            return "" if self._job.cancelled else told(error)
        return ""

    # --- under the lock -----------------------------------------------------------------------------------------------

    def _abandoned(self, now: float) -> bool:
        refused = self._refused_at
        return self._job.cancelled or (refused is not None and now - refused >= ABSENT_S)

    def _gathers(self, now: float) -> bool:
        """Whether what waits may wait for more."""
        return (
            self._head is None
            and self._refused_at is None
            and self._flow.open
            and self._flow.waiting < GATHER_BYTES
            and now - self._pushed_at < GATHER_S
        )

    def _hold_up(self, now: float) -> float | None:
        """What was given cannot be sent: how long to wait at most before the next try, None until there is news."""
        if self._refused_at is not None:
            return RETRY_S
        self._desk.duty.prolong(now + self._read_s)
        return None

    def _push(self, now: float) -> None:
        """Send what may be sent."""
        while not self._ended and (message := self._next(now)) is not None:
            if not self._desk.outbox.send_at_once(self._wire.origin, message):
                self._flow.put_back(message.answer.body if isinstance(message, StreamBegun) else message.data)
                self._refused_at = self._refused_at or now
                return
            if isinstance(message, StreamBegun):
                self._head = None
            else:
                self._ended = message.end != STREAM_GOES_ON
            self._refused_at = None
            self._pushed_at = now
            self._roused = False

    def _next(self, now: float) -> StreamBegun | StreamPart | None:
        wire, desk = self._wire, self._desk
        part = self._flow.take()
        if self._head is not None:
            # Its end is not known yet: the server, which sees the last part, does.
            trail = add_hop(wire.trail, Hop(desk.me.id, self._started, now, wire.attempt))
            answer = Answer(wire.id, self._head.status, self._head.fields, part, desk.me.id, wire.attempt, trail)
            return StreamBegun(answer, desk.lane)
        end = STREAM_GOES_ON if self._flow.waiting else self._end
        return StreamPart(wire.id, wire.attempt, part, end) if part or end else None

    # --- the watchdog -------------------------------------------------------------------------------------------------

    @property
    def job(self) -> int:
        return self._wire.id

    def allow(self, limit: int, now: float) -> None:
        """The client has read: the body may be sent up to byte `limit`."""
        self._flow.allow(limit)
        if self._flow.waiting:
            self._desk.duty.prolong(now + self._read_s)

    def tend(self, now: float) -> None:
        """Send off what has been gathered long enough."""
        if self._flow.waiting and not self._gathers(now):
            self._push(now)

    def look_at(self) -> float:
        """When `tend` has something to do: never, when only the client or the handler can go on."""
        if not self._flow.waiting or not self._flow.open or self._refused_at is not None:
            return inf
        return self._pushed_at + GATHER_S
