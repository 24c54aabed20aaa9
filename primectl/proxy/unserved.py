"""Jobs that wait in a pool without any worker: not for long, and not until their clients would hear only 504."""

from __future__ import annotations

from math import inf

from primectl.proxy.book import Book
from primectl.proxy.ticket import Ticket
from primectl.wire.job import WireJob

BEFORE_DEADLINE_S = 0.2
RECOUNT_S = 0.05
"""At least so long from one look at everything that waits to the next."""


class Unserved:
    """`next_look` is when `overdue` wants to be asked, inf while there are workers."""

    __slots__ = ("_patience_s", "_since", "next_look")

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since = 0.0
        """Since when there is no worker: a job that has waited long for a busy one may wait for the next as well."""
        self.next_look = inf

    def configure(self, patience_s: float, now: float) -> None:
        """Another patience, for those who wait already as well."""
        self._patience_s = patience_s
        self.next_look = min(self.next_look, now) if self.next_look < inf else inf

    def review(self, takers: int, now: float) -> None:
        """There are so many workers that take jobs; or jobs have come back to the line."""
        if takers:
            self._since = self.next_look = inf
        else:
            self._since = min(self._since, now)
            self.next_look = min(self.next_look, now)

    def arrived(self, jobs: list[WireJob], now: float) -> None:
        """While there is no worker."""
        soonest = min(job.deadline for job in jobs) - BEFORE_DEADLINE_S
        self.next_look = min(self.next_look, soonest, now + self._patience_s)

    def overdue(self, book: Book, now: float) -> list[Ticket]:
        """Those that have waited for too long."""
        over: list[Ticket] = []
        soonest = inf
        for ticket in book.tickets():
            by = min(max(ticket.arrived, self._since) + self._patience_s, ticket.job.deadline - BEFORE_DEADLINE_S)
            if by <= now:
                over.append(ticket)
            else:
                soonest = min(soonest, by)
        self.next_look = max(soonest, now + RECOUNT_S) if soonest < inf else inf
        return over
