"""Step 9: records of requests that got no answer, held back for a moment: the pool they were in may still tell."""

from __future__ import annotations

from msgspec import structs

from primectl.wire.job import RequestId
from primectl.wire.journal import LEFT, TIMED_OUT, Record

HELD_S = 0.25
HELD_MOST = 10_000
HELD_BYTES = 16 << 20
"""Of requests. Beyond either the oldest is recorded without that."""


class Astray:
    """In the order in which they were held."""

    def __init__(self) -> None:
        self._held: dict[RequestId, tuple[float, Record]] = {}
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._held)

    @staticmethod
    def concerns(record: Record) -> bool:
        """Whether nobody knows where this request was."""
        return bool(record.flags & (TIMED_OUT | LEFT)) and not record.trail

    def hold(self, record: Record, now: float) -> list[Record]:
        """The records that make room for it, if any have to."""
        self._held[record.request] = (now + HELD_S, record)
        self._size += len(record.asked)
        gone: list[Record] = []
        while len(self._held) > HELD_MOST or self._size > HELD_BYTES:
            gone.append(self._release(next(iter(self._held))))
        return gone

    def found(self, request: RequestId, trail: bytes) -> Record | None:
        """The record of it, with its trail; None if it is none of these."""
        return structs.replace(self._release(request), trail=trail) if request in self._held else None

    def overdue(self, now: float) -> list[Record]:
        """Those that nobody has found."""
        over = [record.request for until, record in self._held.values() if until <= now]
        return [self._release(request) for request in over]

    def _release(self, request: RequestId) -> Record:
        _, record = self._held.pop(request)
        self._size -= len(record.asked)
        return record
