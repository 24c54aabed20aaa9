"""Steps 2 and 7: the requests that are open in one server. Every one has exactly one end: answered, timed out, or left.

All requests have the same time to live, so the order of admission is the order of deadlines. One whose answer comes bit
by bit moves to the streams when the head is there; its time begins anew with every part, so the order of parts is the
order of deadlines there. `SlotT` is whatever the shell needs to find the client again.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

from primectl.wire.job import (
    HOP_BITS,
    SERIAL_BITS,
    STREAM_WINDOW,
    Answer,
    JobId,
    RequestId,
    WireJob,
    first_job,
    request_of,
)
from primectl.wire.journal import EMPTY_TRAIL

SlotT = TypeVar("SlotT")

_SERIAL_MASK = (1 << SERIAL_BITS) - 1


class Stream:
    """An answer that comes bit by bit: who sends it, and how far it has come."""

    __slots__ = ("allowed", "attempt", "deadline", "job", "lane", "pool", "received")

    def __init__(self, job: JobId, attempt: int, pool: str, lane: bytes, deadline: float) -> None:
        self.job = job
        self.attempt = attempt
        self.pool = pool
        self.lane = lane
        self.deadline = deadline
        self.received = 0
        """Bytes of its body that have come."""
        self.allowed = STREAM_WINDOW
        """Bytes of its body that may come."""

    def allow(self, waiting: int) -> int | None:
        """The limit to tell the worker when the client has yet to take `waiting` bytes; None if it is hardly new."""
        limit = self.received - waiting + STREAM_WINDOW
        if limit - self.allowed < STREAM_WINDOW // 2:
            return None
        self.allowed = limit
        return limit


class Open(Generic[SlotT]):
    """A request that waits for its answer. `job` is kept to be sent again when a proxy is lost."""

    __slots__ = ("began", "job", "pool", "slot", "stream", "trail")

    def __init__(self, slot: SlotT, pool: str, job: WireJob, began: float) -> None:
        self.slot = slot
        self.pool = pool
        self.job = job
        self.began = began
        self.stream: Stream | None = None
        """Once its answer has begun to come bit by bit."""
        self.trail = EMPTY_TRAIL
        """Where it has been, of one that is known to get no answer."""


class LedgerSnapshot(Struct, frozen=True):
    """Totals since the server began, and what is open now."""

    open: int
    admitted: int
    answered: int
    timed_out: int
    abandoned: int
    refused: int
    stray_answers: int
    """Answers to no open request: of an earlier run, a second attempt, or for a client that left."""
    streaming: int = 0
    """Of the open ones, those whose answer has begun."""
    stray_parts: int = 0
    """Parts of streamed answers that nobody waits for."""
    size: int = 0
    """Bytes of the payloads of all open requests."""


class Ledger(Generic[SlotT]):
    """What one run of a server (its `incarnation`) has open: at most `limit` requests with `size_limit` bytes."""

    def __init__(self, origin: str, incarnation: int, *, limit: int, size_limit: int, timeout_s: float) -> None:
        self._origin = origin
        self._first = first_job(incarnation, 0)
        self._limit = limit
        self._size_limit = size_limit
        self._timeout_s = timeout_s
        self._open: dict[RequestId, Open[SlotT]] = {}
        self._streams: dict[RequestId, Open[SlotT]] = {}
        self._serial = 0
        self.size = 0
        """Bytes of the payloads of all open requests."""
        self._admitted = 0
        self._answered = 0
        self._timed_out = 0
        self._abandoned = 0
        self._refused = 0
        self._stray = 0
        self._stray_parts = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._streams)

    def name_next(self) -> RequestId:
        """An id for an answer that no job is needed for; never given out again."""
        self._serial = (self._serial + 1) & _SERIAL_MASK
        return request_of(JobId(self._first | self._serial << HOP_BITS))

    def refusal(self, size: int) -> str:
        """Why a request whose payload has `size` bytes cannot be opened now; empty if it can."""
        if len(self._open) + len(self._streams) >= self._limit:
            return f"{len(self)} requests are open, the most this server takes"
        if self.size + size > self._size_limit:
            return f"the requests that are open hold {self.size} bytes, near the most this server takes"
        return ""

    def admit(
        self, slot: SlotT, pool: str, kind: int, payload: bytes, retryable: bool, now: float, key: str = ""
    ) -> WireJob | None:
        """Open a request and make its first job; None, and counted, when there is no room for it: see `refusal`."""
        size = self.size + len(payload)
        if len(self._open) + len(self._streams) >= self._limit or size > self._size_limit:
            self._refused += 1
            return None
        self.size = size
        self._admitted += 1
        self._serial = serial = (self._serial + 1) & _SERIAL_MASK
        # As `first_job` and `request_of` do it, without four calls.
        job_id: JobId = self._first | serial << HOP_BITS  # type: ignore[assignment]
        job = WireJob(job_id, self._origin, now + self._timeout_s, kind, retryable, payload, 1, key)
        self._open[job_id >> HOP_BITS] = Open(slot, pool, job, now)  # type: ignore[index]
        return job

    def answer(self, job: JobId) -> Open[SlotT] | None:
        """Close the request that a job belongs to; None when it does not wait for its answer: ask `contradict`."""
        request: RequestId = job >> HOP_BITS  # type: ignore[assignment]  # as `request_of`
        found = self._open.pop(request, None)
        if found is not None:
            self._answered += 1
            self.size -= len(found.job.payload)
        return found

    def begin(self, answer: Answer, pool: str, lane: bytes, now: float) -> Open[SlotT] | None:
        """The answer to a request begins to come, from the worker with this lane; None as in `answer`."""
        request = request_of(answer.job)
        found = self._open.pop(request, None)
        if found is not None:
            found.stream = Stream(answer.job, answer.attempt, pool, lane, now + self._timeout_s)
            self._streams[request] = found
        return found

    def contradict(self, job: JobId, attempt: int) -> Open[SlotT] | None:
        """A second word on a request. If its answer is on its way to the client, that one cannot be trusted to come to
        its end: close the request, the answer has to be cut. None, and counted, for a stray answer.
        """
        request = request_of(job)
        found = self._streams.get(request)
        if found is None or found.stream is None or (found.stream.job == job and attempt < found.stream.attempt):
            self._stray += 1
            return None
        self.end(request)
        return found

    def part(self, job: JobId, attempt: int, size: int, now: float) -> Open[SlotT] | None:
        """More of a streamed answer; None, and counted, if nobody waits for it."""
        request = request_of(job)
        found = self._streams.get(request)
        if found is None or found.stream is None or found.stream.job != job or found.stream.attempt != attempt:
            self._stray_parts += 1
            return None
        found.stream.received += size
        self.renew(request, now)
        return found

    def renew(self, request: RequestId, now: float) -> None:
        """A streamed answer goes on, or waits for its client: the time for its next part begins now."""
        entry = self._streams.pop(request)
        assert entry.stream is not None
        entry.stream.deadline = now + self._timeout_s
        self._streams[request] = entry

    def end(self, request: RequestId) -> None:
        """A streamed answer has ended, one way or the other."""
        found = self._streams.pop(request, None)
        if found is not None:
            self._answered += 1
            self.size -= len(found.job.payload)

    def locate(self, request: RequestId, trail: bytes) -> None:
        """Its worker has let go of it, since its time is over: here it was."""
        found = self._open.get(request)
        if found is not None:
            found.trail = trail

    def abandon(self, request: RequestId) -> Open[SlotT] | None:
        """The client has left. None when the request is not open."""
        found = self._open.pop(request, None) or self._streams.pop(request, None)
        if found is not None:
            self._abandoned += 1
            self.size -= len(found.job.payload)
        return found

    def expire(self, now: float) -> list[tuple[RequestId, Open[SlotT]]]:
        """Close the requests whose time is over."""
        late: list[tuple[RequestId, Open[SlotT]]] = []
        for request, entry in self._open.items():
            if entry.job.deadline > now:
                break
            late.append((request, entry))
        for request, entry in late:
            del self._open[request]
            self.size -= len(entry.job.payload)
        self._timed_out += len(late)
        return late

    def silent_streams(self, now: float) -> list[tuple[RequestId, Open[SlotT]]]:
        """The streamed answers whose next part is overdue: each has to be renewed, or ended."""
        late: list[tuple[RequestId, Open[SlotT]]] = []
        for request, entry in self._streams.items():
            assert entry.stream is not None
            if entry.stream.deadline > now:
                break
            late.append((request, entry))
        return late

    def give_up(self, request: RequestId) -> None:
        """A streamed answer whose next part did not come in time."""
        self.end(request)
        self._answered -= 1
        self._timed_out += 1

    def close_all(self) -> list[tuple[RequestId, Open[SlotT]]]:
        """Close everything that is open, because the server must go."""
        rest = [*self._open.items(), *self._streams.items()]
        self._open.clear()
        self._streams.clear()
        self.size = 0
        self._abandoned += len(rest)
        return rest

    def lost_with(self, pool: str) -> dict[str, list[WireJob]]:
        """What has to be sent again, by pool, since the proxy of `pool` was lost with all that it knew.

        All requests that were sent to it, and of the others, which may have been forwarded there, those that may run
        twice; none whose answer has begun.
        """
        lost: dict[str, list[WireJob]] = {}
        for entry in self._open.values():
            if entry.pool == pool or entry.job.retryable:
                lost.setdefault(entry.pool, []).append(entry.job)
        return lost

    def next_deadline(self) -> float | None:
        """When the oldest open request, or the next part of a streamed answer, is overdue."""
        first = next(iter(self._open.values()), None)
        stream = next(iter(self._streams.values()), None)
        due = first.job.deadline if first else None
        if stream is not None and stream.stream is not None:
            due = stream.stream.deadline if due is None else min(due, stream.stream.deadline)
        return due

    def snapshot(self) -> LedgerSnapshot:
        return LedgerSnapshot(
            len(self),
            self._admitted,
            self._answered,
            self._timed_out,
            self._abandoned,
            self._refused,
            self._stray,
            len(self._streams),
            self._stray_parts,
            self.size,
        )
