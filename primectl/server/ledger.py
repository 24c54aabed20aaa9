"""Steps 2 and 7: the requests that are open in one server. Every one has exactly one end: answered, timed out, or left.

All requests have the same time to live, so the order of admission is the order of deadlines. `SlotT` is whatever the
shell needs to find the client again.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

from primectl.wire.job import JobId, RequestId, WireJob, first_job, request_of

SlotT = TypeVar("SlotT")


class Open(Generic[SlotT]):
    """A request that waits for its answer. `job` is kept to be sent again when a proxy is lost."""

    __slots__ = ("began", "job", "pool", "slot")

    def __init__(self, slot: SlotT, pool: str, job: WireJob, began: float) -> None:
        self.slot = slot
        self.pool = pool
        self.job = job
        self.began = began


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


class Ledger(Generic[SlotT]):
    """What one run of a server (its `incarnation`) has open; never more than `limit` requests."""

    def __init__(self, origin: str, incarnation: int, *, limit: int, timeout_s: float) -> None:
        self._origin = origin
        self._incarnation = incarnation
        self._limit = limit
        self._timeout_s = timeout_s
        self._open: dict[RequestId, Open[SlotT]] = {}
        self._serial = 0
        self._admitted = 0
        self._answered = 0
        self._timed_out = 0
        self._abandoned = 0
        self._refused = 0
        self._stray = 0

    def __len__(self) -> int:
        return len(self._open)

    def name_next(self) -> RequestId:
        """An id for an answer that no job is needed for; never given out again."""
        self._serial += 1
        return request_of(first_job(self._incarnation, self._serial))

    def admit(self, slot: SlotT, pool: str, kind: int, payload: bytes, retryable: bool, now: float) -> WireJob | None:
        """Open a request and make its first job; None when `limit` are open."""
        if len(self._open) >= self._limit:
            self._refused += 1
            return None
        self._serial += 1
        self._admitted += 1
        job_id = first_job(self._incarnation, self._serial)
        job = WireJob(job_id, self._origin, now + self._timeout_s, kind, retryable, payload)
        self._open[request_of(job_id)] = Open(slot, pool, job, now)
        return job

    def answer(self, job: JobId) -> Open[SlotT] | None:
        """Close the request that a job belongs to; None, and counted, when it is not open (any more)."""
        found = self._open.pop(request_of(job), None)
        if found is None:
            self._stray += 1
        else:
            self._answered += 1
        return found

    def abandon(self, request: RequestId) -> bool:
        """The client has left. False when the request is not open."""
        if self._open.pop(request, None) is None:
            return False
        self._abandoned += 1
        return True

    def expire(self, now: float) -> list[tuple[RequestId, Open[SlotT]]]:
        """Close the requests whose time is over."""
        late: list[tuple[RequestId, Open[SlotT]]] = []
        for request, entry in self._open.items():
            if entry.job.deadline > now:
                break
            late.append((request, entry))
        for request, _ in late:
            del self._open[request]
        self._timed_out += len(late)
        return late

    def close_all(self) -> list[tuple[RequestId, Open[SlotT]]]:
        """Close everything that is open, because the server must go."""
        rest = list(self._open.items())
        self._open.clear()
        self._abandoned += len(rest)
        return rest

    def retryable(self) -> list[Open[SlotT]]:
        """The open requests that may be sent once more without harm."""
        return [entry for entry in self._open.values() if entry.job.retryable]

    def next_deadline(self) -> float | None:
        """When the oldest open request is over."""
        first = next(iter(self._open.values()), None)
        return first.job.deadline if first else None

    def snapshot(self) -> LedgerSnapshot:
        return LedgerSnapshot(
            len(self._open),
            self._admitted,
            self._answered,
            self._timed_out,
            self._abandoned,
            self._refused,
            self._stray,
        )
