"""The jobs of one pool: those that wait, in their order, and by its request each that is here at all.

A request is at a pool once. It may come back (a cycle of forwards), with a higher hop, even before its worker has said
that it is done with the lower: then the higher is the one that counts, and whatever becomes of the lower is history.

What ends while it waits leaves its empty ticket in the line, so that a cancel costs the same among ten and among ten
thousand. Its payload goes at once, the tickets when they are reached or when they are most of the line.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from math import inf

from primectl.proxy.seats import Seat
from primectl.proxy.ticket import GONE, NOBODY, Ticket, hollow
from primectl.wire.frames import BATCH_BYTES
from primectl.wire.job import HOP_BITS, JobId, RequestId, WireJob, request_of

CANCELS = 20_000
"""Requests remembered as cancelled: a cancel may overtake its job, which waits in full queues on its way here."""
SLACK = 64


class Book:
    """`waiting` jobs with `waiting_bytes` of payload, `held` by workers. `counters` is the dispatcher's."""

    __slots__ = ("_alone", "_cancelled", "_line", "by_request", "counters", "due", "expired", "held", "parked",
                 "waiting", "waiting_bytes")  # fmt: skip

    def __init__(self, counters: dict[str, int], *, alone: bool) -> None:
        """`alone`: every job is to be dealt alone."""
        self.by_request: dict[int, Ticket] = {}
        self.counters = counters
        self.waiting = 0
        self.waiting_bytes = 0
        self.held = 0
        self.due = inf
        """No job that a worker holds has an earlier deadline."""
        self.parked: list[Ticket] = []
        """Sent once more by their servers: they wait, but not in line before it is known what has become of them."""
        self.expired: list[WireJob] = []
        """Jobs whose time was over while they waited, for whoever tells their servers; to be emptied every turn."""
        self._line: deque[Ticket] = deque()
        self._alone = alone
        self._cancelled: OrderedDict[int, None] = OrderedDict()

    # --- coming -------------------------------------------------------------------------------------------------------

    def deal_alone(self, alone: bool) -> None:
        """Whether jobs that come from now on are to be dealt alone."""
        self._alone = alone

    def arrive(self, jobs: list[WireJob], now: float) -> None:
        """Jobs join the end of the line."""
        by_request, cancelled, line, alone = self.by_request, self._cancelled, self._line, self._alone
        size = known = 0
        for job in jobs:
            request = job.id >> HOP_BITS  # as request_of() does; this runs for every job
            if (request in by_request or (cancelled and request in cancelled)) and not self._is_new(job):
                known += 1
                continue
            by_request[request] = ticket = Ticket(job, now)
            line.append(ticket)
            size += len(job.payload)
            if alone:
                ticket.solo = True
        self.waiting += len(jobs) - known
        self.waiting_bytes += size

    def park(self, jobs: list[WireJob], now: float) -> None:
        """Jobs that are sent once more. What a worker is known to hold needs only its payload, should it be lost."""
        for job in jobs:
            request = request_of(job.id)
            if (request in self.by_request or request in self._cancelled) and not self._is_new(job):
                continue
            self.by_request[request] = ticket = Ticket(job, now, NOBODY, self._alone)
            self.parked.append(ticket)
            self.waiting += 1
            self.waiting_bytes += len(job.payload)

    def _is_new(self, job: WireJob) -> bool:
        """Whether a job has to be queued although something is known of its request."""
        request = request_of(job.id)
        known = self.by_request.get(request)
        if known is None or request in self._cancelled:
            self.count("cancelled")
            return False
        if job.id > known.job.id:
            if known.waits:
                self.drop(known, "superseded")
            return True
        if job.id == known.job.id and known.hollow:
            known.job, known.hollow = job, False
            self.due = min(self.due, job.deadline)
            self.count("held_already")
        else:
            self.count("duplicates" if job.id == known.job.id else "superseded")
        return False

    def inherit(self, seat: Seat, jobs: list[JobId], now: float) -> None:
        """A worker holds these for an earlier run of this proxy."""
        for job in jobs:
            ticket = seat.held[job] = hollow(job, seat.address, now)
            known = self.by_request.get(request_of(job))
            if known is not None:
                if not known.waits or known.job.id > job:
                    continue
                if known.job.id == job:
                    ticket.job, ticket.hollow = known.job, False
                    self.due = min(self.due, known.job.deadline)
                self.drop(known, "superseded" if ticket.hollow else "held_already")
            self.by_request[request_of(job)] = ticket
        self.held += len(seat.held)
        self.count("inherited", len(seat.held))

    # --- waiting ------------------------------------------------------------------------------------------------------

    def next_key(self, now: float) -> str:
        """The key of the job that is next; what stands before it and is over goes."""
        line = self._line
        while line:
            job = line[0].job
            if job.deadline > now:
                return job.key
            self._end_expired(line.popleft())
        return ""

    def take(self, seat: Seat, limit: int, now: float, *, careful: bool) -> list[WireJob]:
        """Book the next jobs on `seat`, at most `limit`, all of one key; `careful`: what may run once goes alone.

        Empty when everything that was in line is over.
        """
        line, held, holder = self._line, seat.held, seat.address
        batch: list[WireJob] = []
        size = 0
        key = ""
        due = self.due
        while line:
            ticket = line.popleft()
            job = ticket.job
            deadline = job.deadline
            if deadline <= now:
                self._end_expired(ticket)
                continue
            alone = ticket.solo or (careful and not job.retryable)
            if batch and (alone or job.key != key):
                line.appendleft(ticket)
                break
            ticket.holder = holder
            held[job.id] = ticket
            batch.append(job)
            size += len(job.payload)
            if deadline < due:
                due = deadline
            limit -= 1
            if alone or not limit or size >= BATCH_BYTES:
                break
            key = job.key
        self.due = due
        self.waiting -= len(batch)
        self.waiting_bytes -= size
        self.held += len(batch)
        return batch

    def put_back(self, tickets: list[Ticket]) -> None:
        """To the front of the line, in their order."""
        for ticket in tickets:
            ticket.holder = NOBODY
            self.waiting_bytes += len(ticket.job.payload)
        self.waiting += len(tickets)
        self._line.extendleft(reversed(tickets))

    def unpark(self, fresh: list[Ticket], later: list[Ticket]) -> None:
        """Of all that is parked, `fresh` go to the front of the line, `later` stay where they are."""
        self.parked = later
        self._line.extendleft(reversed(fresh))

    def oldest(self, now: float) -> float:
        """When the job at the head of the line arrived, `now` where there is none."""
        return next((ticket.arrived for ticket in self._line if ticket.job is not GONE), now)

    def tickets(self) -> list[Ticket]:
        """Everything that waits, in its order."""
        return [ticket for ticket in (*self._line, *self.parked) if ticket.job is not GONE]

    # --- going --------------------------------------------------------------------------------------------------------

    def drop(self, ticket: Ticket, why: str) -> None:
        """End a job that waits; `why` is the counter for it."""
        job = ticket.job
        self._let_go(ticket)
        self.waiting -= 1
        self.waiting_bytes -= len(job.payload)
        ticket.job = GONE
        self.count(why)
        if len(self._line) > 2 * self.waiting + SLACK:
            kept = [ticket for ticket in self._line if ticket.job is not GONE]
            self._line.clear()
            self._line.extend(kept)

    def is_current(self, ticket: Ticket) -> bool:
        """Whether this is still what its request is about here: no higher hop of it has come."""
        return self.by_request.get(request_of(ticket.job.id)) is ticket

    def end_held(self, ticket: Ticket) -> None:
        """End a job that its worker no longer has; `held` is the caller's to mind."""
        if self.is_current(ticket):
            self._let_go(ticket)

    def remember_cancel(self, request: RequestId) -> None:
        cancelled = self._cancelled
        cancelled[request] = None
        if len(cancelled) > CANCELS:
            cancelled.popitem(last=False)

    def _let_go(self, ticket: Ticket) -> None:
        del self.by_request[request_of(ticket.job.id)]

    def _end_expired(self, ticket: Ticket) -> None:
        job = ticket.job
        if job is GONE:
            return
        self._let_go(ticket)
        self.waiting -= 1
        self.waiting_bytes -= len(job.payload)
        ticket.job = GONE
        self.expired.append(job)
        self.count("expired")

    def count(self, what: str, by: int = 1) -> None:
        if by:
            self.counters[what] = self.counters.get(what, 0) + by
