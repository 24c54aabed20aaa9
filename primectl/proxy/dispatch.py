"""Step 4: which job goes to which worker. A pure state machine: no socket, no clock.

How to think about it. Jobs wait in one queue, in order of arrival. A worker is *idle* (it waits for jobs, and stands in
the line of idle workers, longest idle first) or it *holds* some. Nothing is decided while messages come in; at the end
of a turn of the shell's loop `TurnEnded` deals what is queued to who is idle, so a turn's arrivals share the workers
fairly. A batch is sized to be worth about a millisecond: a hop's cost is shared, and a batch hides no long job, since a
worker hands back what it has not begun as soon as one takes longer.

What a lost worker held goes back to the front of the queue, one attempt further, and is dealt alone from then on: a job
that kills its workers takes no others with it. Two kinds are not run again: a job that may run only once, and one that
has spent its attempts. Both are answered 502. A job that may run only once is always dealt alone, so it is never
given up for having stood behind another.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from primectl.wire.frames import BATCH_BYTES
from primectl.wire.histogram import Histogram
from primectl.wire.job import (
    Announce,
    Beat,
    Done,
    FromOut,
    HandBack,
    JobId,
    Leave,
    RequestId,
    WireJob,
    request_of,
)
from primectl.wire.stats import ProxySample, WorkerLoad

BATCH_WORTH_S = 0.001
"""How much work a batch shall be: long against a hop (0.1 ms), short against what a client notices."""
BATCH_LEAST_S = 0.0004
"""Less work than this is not shared out: waking a further worker would cost more than it saves (30 % of throughput
with short jobs on two cores)."""
BATCH_LIMIT = 64
SERVICE_CLIP_S = 0.002
"""A single long job counts as this much in the estimate: batches are for the many short ones."""
SERVICE_WEIGHT = 0.1

Address = bytes
"""The identity of a worker's work lane at the `out` socket."""


# --- events -----------------------------------------------------------------------------------------------------------


class JobsArrived(Struct, frozen=True):
    """From `in`: jobs to queue behind all others."""

    jobs: list[WireJob]


class RequestsCancelled(Struct, frozen=True):
    """From `in`: nobody waits for these any more."""

    requests: list[RequestId]


class WorkerSpoke(Struct, frozen=True):
    """From `out`: anything that a worker says on one of its lanes."""

    address: Address
    message: FromOut


class WorkerLost(Struct, frozen=True):
    """A worker is gone: the supervisor saw it end, or its connection is no more."""

    worker: str
    incarnation: int


class TurnEnded(Struct, frozen=True):
    """Everything that had arrived has been told: deal."""


DispatchEvent = JobsArrived | RequestsCancelled | WorkerSpoke | WorkerLost | TurnEnded


# --- actions ----------------------------------------------------------------------------------------------------------


class SendJobs(Struct, frozen=True):
    """By the worker's work lane. If it cannot be sent, say `WorkerLost`: the jobs are still booked here."""

    address: Address
    jobs: list[WireJob]


class SendCancel(Struct, frozen=True):
    """By the worker's urgent lane."""

    address: Address
    requests: list[RequestId]


class SendGoodbye(Struct, frozen=True):
    """By the worker's work lane, behind the last jobs."""

    address: Address


class AskWho(Struct, frozen=True):
    """A worker spoke that has not announced itself to this proxy."""

    address: Address


class GiveUp(Struct, frozen=True):
    """Answer the job's client: `status` with `detail`."""

    job: WireJob
    status: int
    detail: str


DispatchAction = SendJobs | SendCancel | SendGoodbye | AskWho | GiveUp


# --- the core ---------------------------------------------------------------------------------------------------------


class Ticket:
    """A job in this pool: `arrived` and `solo` (to be dealt alone) stay with it until it leaves."""

    __slots__ = ("arrived", "job", "solo")

    def __init__(self, job: WireJob, arrived: float) -> None:
        self.job = job
        self.arrived = arrived
        self.solo = not job.retryable


class Seat:
    """A worker as the proxy knows it. `held` keeps the order in which the jobs were dealt, which is that of running;
    `inherited` are jobs that an earlier run of this proxy dealt: known only to keep the worker busy."""

    __slots__ = ("address", "asked", "busy_since", "heard", "held", "incarnation", "inherited", "leaving", "worker")

    def __init__(self, address: Address, worker: str, incarnation: int, now: float) -> None:
        self.address = address
        self.worker = worker
        self.incarnation = incarnation
        self.held: dict[JobId, Ticket] = {}
        self.inherited: set[JobId] = set()
        self.busy_since = now
        self.heard = now
        self.asked = now
        self.leaving = False


class Dispatch:
    """The scheduler of one pool.

    `prefetch` is the largest batch, or None to size batches by `BATCH_WORTH_S`. `retry` says which jobs of a lost
    worker run again: None leaves it to each job (`WireJob.retryable`), else all or none do.
    """

    def __init__(
        self, *, prefetch: int | None = None, max_queue: int = 20_000, max_attempts: int = 3, retry: bool | None = None
    ) -> None:
        self._prefetch = prefetch
        self._max_queue = max_queue
        self._max_attempts = max_attempts
        self._retry = retry
        self._queue: deque[Ticket] = deque()
        self._seats: dict[Address, Seat] = {}
        self._idle: dict[Address, Seat] = {}
        self._in_flight = 0
        self._service_mean_s = 0.0
        self._arrived = 0
        self._done = 0
        self._failed = 0
        self._retried = 0
        self._service_s = 0.0
        self._latency = Histogram()
        self._counters: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether the shell has to stop reading `in`: the queue is at its bound."""
        return len(self._queue) >= self._max_queue

    @property
    def empty(self) -> bool:
        """No job is queued or held."""
        return not self._queue and not self._in_flight

    def handle(self, event: DispatchEvent, now: float) -> list[DispatchAction]:
        kind = type(event)
        if kind is TurnEnded:
            return self._deal(now)
        if kind is JobsArrived:
            jobs = event.jobs  # type: ignore[union-attr]
            self._arrived += len(jobs)
            self._queue.extend([Ticket(job, now) for job in jobs])
            return []
        if kind is WorkerSpoke:
            return self._heard(event.address, event.message, now)  # type: ignore[union-attr]
        if kind is RequestsCancelled:
            return self._cancel(frozenset(event.requests))  # type: ignore[union-attr]
        assert isinstance(event, WorkerLost)
        return self._lose(event)

    def next_deadline(self) -> float | None:
        """None: deadlines are looked at when a job is dealt, and its server is the one who answers 504."""
        return None

    def silent(self, before: float, now: float) -> list[Address]:
        """The workers neither heard nor asked since `before`. The shell asks, to see whether they are connected."""
        silent = [seat for seat in self._seats.values() if max(seat.heard, seat.asked) < before]
        for seat in silent:
            seat.asked = now
        return [seat.address for seat in silent]

    def seat(self, address: Address) -> WorkerLost | None:
        """The worker behind an address, as the event of its loss."""
        found = self._seats.get(address)
        return WorkerLost(found.worker, found.incarnation) if found else None

    def snapshot(self, now: float = 0.0) -> ProxySample:
        return ProxySample(
            queued=len(self._queue),
            in_flight=self._in_flight,
            oldest_wait_s=max(0.0, now - self._queue[0].arrived) if self._queue else 0.0,
            arrived=self._arrived,
            done=self._done,
            failed=self._failed,
            retried=self._retried,
            service_s=self._service_s,
            latency=self._latency.to_list(),
            workers=[
                WorkerLoad(
                    seat.worker,
                    seat.incarnation,
                    len(seat.held),
                    max(0.0, now - seat.busy_since) if seat.held else 0.0,
                    seat.leaving,
                )
                for seat in self._seats.values()
            ],
            counters=dict(self._counters),
        )

    # --- what workers say ---------------------------------------------------------------------------------------------

    def _heard(self, address: Address, message: FromOut, now: float) -> list[DispatchAction]:
        kind = type(message)
        if kind is Announce:
            self._announce(address, message, now)  # type: ignore[arg-type]
            return []
        seat = self._seats.get(address)
        if seat is None:
            self._count("strangers")
            return [AskWho(address)]
        seat.heard = now
        if kind is Done:
            self._finish(seat, message, now)  # type: ignore[arg-type]
        elif kind is HandBack:
            self._take_back(seat, message.jobs)  # type: ignore[union-attr]
        elif kind is Leave:
            seat.leaving = True
            self._idle.pop(address, None)
            return [SendGoodbye(address)]
        else:
            assert kind is Beat
        return []

    def _announce(self, address: Address, message: Announce, now: float) -> None:
        """A worker has come, or says again what it holds to a proxy that may have forgotten. Booked jobs stay booked:
        what was dealt and is not among `holds` is on its way to the worker."""
        seat = self._seats.get(address)
        if seat is not None:
            seat.heard = now
            return
        seat = self._seats[address] = Seat(address, message.worker, message.incarnation, now)
        seat.inherited.update(message.holds)
        self._count("inherited", len(seat.inherited))
        self._credit(seat)

    def _finish(self, seat: Seat, message: Done, now: float) -> None:
        held = seat.held
        finished = 0
        for job in message.jobs:
            ticket = held.pop(job, None)
            if ticket is None:
                seat.inherited.discard(job)
                continue
            finished += 1
            self._latency.add(now - ticket.arrived)
        self._in_flight -= finished
        self._done += finished
        self._failed += message.failed
        self._service_s += message.service_s
        if message.jobs:
            sample = min(message.service_s / len(message.jobs), SERVICE_CLIP_S)
            mean = self._service_mean_s
            self._service_mean_s = mean + SERVICE_WEIGHT * (sample - mean) if mean else sample
        seat.busy_since = now
        self._credit(seat)

    def _take_back(self, seat: Seat, jobs: list[JobId]) -> None:
        """Jobs not begun go to the front, in their order, as if they had never been dealt."""
        tickets = [ticket for job in jobs if (ticket := seat.held.pop(job, None)) is not None]
        self._in_flight -= len(tickets)
        self._queue.extendleft(reversed(tickets))
        self._count("handed_back", len(tickets))
        seat.inherited.difference_update(jobs)
        self._credit(seat)

    def _credit(self, seat: Seat) -> None:
        """A worker with nothing to do joins the end of the line of idle ones."""
        if not (seat.held or seat.inherited or seat.leaving):
            self._idle[seat.address] = seat

    # --- what others say ----------------------------------------------------------------------------------------------

    def _cancel(self, requests: frozenset[RequestId]) -> list[DispatchAction]:
        kept = [ticket for ticket in self._queue if request_of(ticket.job.id) not in requests]
        self._count("cancelled", len(self._queue) - len(kept))
        if len(kept) != len(self._queue):
            self._queue = deque(kept)
        actions: list[DispatchAction] = []
        for seat in self._seats.values():
            hit = [request for job in seat.held if (request := request_of(job)) in requests]
            if hit:
                actions.append(SendCancel(seat.address, hit))
        return actions

    def _lose(self, event: WorkerLost) -> list[DispatchAction]:
        actions: list[DispatchAction] = []
        for seat in [
            seat
            for seat in self._seats.values()
            if seat.worker == event.worker and seat.incarnation == event.incarnation
        ]:
            del self._seats[seat.address]
            self._idle.pop(seat.address, None)
            self._in_flight -= len(seat.held)
            again: list[Ticket] = []
            for ticket in seat.held.values():
                given_up = self._next_attempt(ticket, event.worker)
                if given_up is None:
                    again.append(ticket)
                else:
                    actions.append(given_up)
            self._queue.extendleft(reversed(again))
        return actions

    def _next_attempt(self, ticket: Ticket, worker: str) -> GiveUp | None:
        """Prepare a lost worker's job for its next attempt, or give it up."""
        job = ticket.job
        if not (job.retryable if self._retry is None else self._retry):
            self._failed += 1
            return GiveUp(job, 502, f"its worker {worker} was lost, and the request may not be run twice")
        if job.attempt >= self._max_attempts:
            self._failed += 1
            return GiveUp(job, 502, f"{job.attempt} workers were lost while they ran it, the last was {worker}")
        self._retried += 1
        ticket.job = WireJob(
            job.id, job.origin, job.deadline, job.kind, job.retryable, job.payload, attempt=job.attempt + 1
        )
        ticket.solo = True
        return None

    # --- dealing ------------------------------------------------------------------------------------------------------

    def _deal(self, now: float) -> list[DispatchAction]:
        queue, idle = self._queue, self._idle
        actions: list[DispatchAction] = []
        while queue and idle:
            size = self._batch_size()
            jobs: list[WireJob] = []
            tickets: list[Ticket] = []
            payload_bytes = 0
            while queue and len(jobs) < size and payload_bytes < BATCH_BYTES:
                ticket = queue[0]
                if ticket.job.deadline <= now:
                    queue.popleft()
                    self._count("expired")
                    continue
                if ticket.solo and jobs:
                    break
                queue.popleft()
                jobs.append(ticket.job)
                payload_bytes += len(ticket.job.payload)
                tickets.append(ticket)
                if ticket.solo:
                    break
            if not jobs:
                break
            address = next(iter(idle))
            seat = idle.pop(address)
            for ticket in tickets:
                seat.held[ticket.job.id] = ticket
            seat.busy_since = now
            self._in_flight += len(jobs)
            actions.append(SendJobs(address, jobs))
        return actions

    def _batch_size(self) -> int:
        if self._prefetch is not None:
            return self._prefetch
        mean = self._service_mean_s
        if not mean:
            return 1
        fair_share = -(-len(self._queue) // len(self._idle))
        return max(1, min(int(BATCH_WORTH_S / mean), max(fair_share, int(BATCH_LEAST_S / mean)), BATCH_LIMIT))

    def _count(self, what: str, by: int = 1) -> None:
        if by:
            self._counters[what] = self._counters.get(what, 0) + by
