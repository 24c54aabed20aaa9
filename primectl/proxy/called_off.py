"""Jobs that a worker holds and nobody waits for: it is told, and has a while to let go before it counts as stuck."""

from __future__ import annotations

from collections import deque
from math import inf

from primectl.proxy.book import Book
from primectl.proxy.events import DispatchAction, SendCancel, TellStuck
from primectl.proxy.seats import Seats
from primectl.proxy.ticket import Address, Ticket
from primectl.wire.job import JobId, RequestId, request_of

LOOK_S = 0.01
"""At least so long from one look at everything that is held to the next."""


class CalledOff:
    """`next_look` is when `overdue` and `stuck` want to be asked."""

    __slots__ = ("_book", "_kill_after", "_look_from", "_seats", "_waiting")

    def __init__(self, book: Book, seats: Seats, kill_after: float) -> None:
        self._book = book
        self._seats = seats
        self._kill_after = kill_after
        self._look_from = -inf
        self._waiting: deque[tuple[float, Address, JobId]] = deque()
        """By the time at which the worker is stuck: in order, since `kill_after` is one for all."""

    def configure(self, kill_after: float) -> None:
        """Another time to let go, for those who have been told already as well."""
        by = kill_after - self._kill_after
        self._kill_after = kill_after
        self._waiting = deque((at + by, address, job) for at, address, job in self._waiting)

    def next_look(self) -> float:
        due = max(self._book.due, self._look_from)
        return min(due, self._waiting[0][0]) if self._waiting else due

    def cancel(self, requests: list[RequestId], now: float) -> list[DispatchAction]:
        """Nobody waits for these any more, wherever they are, or if they are still to come."""
        book = self._book
        told: dict[Address, list[RequestId]] = {}
        for request in requests:
            book.remember_cancel(request)
            ticket = book.by_request.get(request)
            if ticket is None or ticket.cancelled:
                continue
            if ticket.waits:
                book.drop(ticket, "cancelled")
            else:
                self._call_off(ticket, now)
                told.setdefault(ticket.holder, []).append(request)
        return [SendCancel(address, hit) for address, hit in told.items()]

    def tick(self, now: float) -> list[DispatchAction]:
        """The held jobs whose deadline has passed are cancelled; who has not let go in time is stuck."""
        actions: list[DispatchAction] = []
        if now >= max(self._book.due, self._look_from):
            actions += self._overdue(now)
        while self._waiting and self._waiting[0][0] <= now:
            actions += self._stuck(now)
        return actions

    def _call_off(self, ticket: Ticket, now: float) -> None:
        ticket.cancelled = True
        self._waiting.append((now + self._kill_after, ticket.holder, ticket.job.id))

    def _overdue(self, now: float) -> list[DispatchAction]:
        actions: list[DispatchAction] = []
        due = inf
        for seat in self._seats.all.values():
            over: list[RequestId] = []
            for ticket in seat.held.values():
                if ticket.cancelled:
                    continue
                if ticket.job.deadline <= now:
                    self._call_off(ticket, now)
                    over.append(request_of(ticket.job.id))
                elif ticket.job.deadline < due:
                    due = ticket.job.deadline
            if over:
                self._book.count("overdue", len(over))
                actions.append(SendCancel(seat.address, over))
        self._book.due = due
        self._look_from = now + LOOK_S
        return actions

    def _stuck(self, now: float) -> list[DispatchAction]:
        _, address, job = self._waiting.popleft()
        seat = self._seats.all.get(address)
        if seat is None or job not in seat.held:
            return []
        if next(iter(seat.held)) != job:
            # It has not begun, and one that somebody still waits for may be what keeps the worker from saying so.
            self._waiting.append((now + self._kill_after, address, job))
            return []
        self._book.count("stuck")
        return [TellStuck(seat.worker, seat.incarnation, request_of(job))]
