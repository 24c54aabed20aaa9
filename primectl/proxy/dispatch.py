"""Step 4: which job goes to which worker. A pure state machine: no socket, no clock.

How to think about it. Jobs wait in one line, in order of arrival (`book`). A worker is *idle* (it waits for jobs, and
stands in the line of idle workers, longest idle first, but for those of a large pool that are not needed now) or it
*holds* some (`seats`). Nothing is decided while messages come in; at the end of a turn of the shell's loop `TurnEnded`
deals what is queued to who is idle, so a turn's arrivals share the workers fairly. A batch is sized to be worth about a
millisecond: a hop's cost is shared, and a batch hides no long job, since a worker hands back what it has not begun as
soon as one takes longer.

What a lost worker held goes back to the front of the line. What it had not begun goes as if it had never been dealt.
What it had begun goes one attempt further, and is dealt alone from then on: a job that kills its workers takes no
others with it. A job that may run only once, that has spent its attempts or whose answer is half out is answered 502.
Which were begun the worker has noted (`primectl.control.begun`). Without its notes everything counts as begun, and what
may run only once is dealt alone, so that it is never given up for a neighbour's fault.

Every job has one end: done, cancelled, given up (`GiveUp`, an answer), expired, or dropped as one that is here twice.
"""

from __future__ import annotations

from math import inf
from typing import assert_never

from primectl.proxy.book import Book
from primectl.proxy.called_off import CalledOff
from primectl.proxy.events import (
    AskWho,
    DispatchAction,
    DispatchEvent,
    DrainAsked,
    GiveUp,
    JobsArrived,
    JobsSentAgain,
    NotesRead,
    PassAllow,
    ReadNotes,
    RequestsCancelled,
    ResumeAsked,
    RosterTold,
    SendGoodbye,
    SendJobs,
    Ticked,
    TurnEnded,
    WorkerLost,
    WorkerSpoke,
)
from primectl.proxy.loss import LossRules
from primectl.proxy.reunion import Fate, Reunion, Witnesses
from primectl.proxy.seats import Seat, Seats
from primectl.proxy.ticket import GONE, Address, Ticket
from primectl.proxy.unserved import Unserved
from primectl.proxy.whereabouts import waited, whereabouts
from primectl.wire.histogram import Histogram
from primectl.wire.job import (
    HOP_BITS,
    Allow,
    Announce,
    Beat,
    Cancel,
    Done,
    FromOut,
    HandBack,
    JobId,
    Leave,
    RequestId,
    Streaming,
    Whereabouts,
    WireJob,
    hop_of,
    request_of,
)
from primectl.wire.journal import Hop
from primectl.wire.stats import ProxySample

BATCH_WORTH_S = 0.001
"""How much work a batch shall be: long against a hop (0.1 ms), short against what a client notices."""
BATCH_LEAST_S = 0.0004
"""Less work than this is not shared out: waking a further worker would cost more than it saves (30 % of throughput
with short jobs on two cores)."""
BATCH_LIMIT = 64
SERVICE_CLIP_S = 0.002
"""A single long job counts as this much in the estimate: batches are for the many short ones."""
SERVICE_WEIGHT = 0.1
QUEUE_BYTES = 256 << 20
"""Payloads that may wait, whatever their number: what a server accepts at most (`max_inflight_size`)."""
SERVER_LANE = b"^"
"""What the lane of a server begins with: no worker, so it is not asked who it is."""
JUDGE_S = 1.0
"""How often jobs are judged again whose fate is uncertain, while no worker comes or goes."""


class Dispatch:
    """The scheduler of one pool.

    `prefetch` is the largest batch, or None to size batches by `BATCH_WORTH_S`. `retry` says which jobs of a lost
    worker run again: None leaves it to each job (`WireJob.retryable`), else all or none do. `kill_after`,
    `worker_timeout`: see the keys of a pool. `request_timeout`: no job is older than this before its deadline.
    """

    def __init__(
        self,
        *,
        prefetch: int | None = None,
        max_queue: int = 20_000,
        max_attempts: int = 3,
        retry: bool | None = None,
        kill_after: float = 2.0,
        worker_timeout: float = 10.0,
        request_timeout: float = 30.0,
    ) -> None:
        self._prefetch = prefetch
        self._max_queue = max_queue
        self._retry = retry
        self._request_timeout = request_timeout
        self._counters: dict[str, int] = {}
        # Workers note what may run only once by its method. Where a pool runs nothing twice, their notes do not cover
        # the rest, so nothing may suffer for a neighbour.
        self._book = Book(self._counters, alone=retry is False)
        self._seats = Seats()
        self._rules = LossRules(max_attempts, retry)
        self._called_off = CalledOff(self._book, self._seats, kill_after)
        self._unserved = Unserved(worker_timeout)
        self._reunion = Reunion()
        self._draining = False
        self._judge_at = inf
        """When to ask for the notes, to judge what was sent again."""
        self._service_mean_s = 0.0
        self._arrived = 0
        self._done = 0
        self._failed = 0
        self._retried = 0
        self._service_s = 0.0
        self._latency = Histogram()

    def configure(
        self,
        now: float,
        *,
        prefetch: int | None,
        max_queue: int,
        max_attempts: int,
        retry: bool | None,
        kill_after: float,
        worker_timeout: float,
        request_timeout: float,
    ) -> None:
        """Other settings from now on; what is queued and held stays."""
        self._prefetch = prefetch
        self._max_queue = max_queue
        self._retry = retry
        self._request_timeout = request_timeout
        self._book.deal_alone(retry is False)
        self._rules = LossRules(max_attempts, retry)
        self._called_off.configure(kill_after)
        self._unserved.configure(worker_timeout, now)

    @property
    def full(self) -> bool:
        """Whether the shell has to stop reading `in`: the queue is at its bound."""
        return self._book.waiting >= self._max_queue or self._book.waiting_bytes >= QUEUE_BYTES

    @property
    def waiting_bytes(self) -> int:
        """Of the payloads that are queued."""
        return self._book.waiting_bytes

    @property
    def empty(self) -> bool:
        """No job is queued or held."""
        return not self._book.waiting and not self._book.held

    @property
    def keeps_the_only_copy(self) -> bool:
        """Whether a job waits that nobody would send to a successor: it was forwarded, and may run only once. Servers
        send all that is open of theirs again, and of what was forwarded what may run twice."""
        waiting = (ticket.job for ticket in self._book.by_request.values() if ticket.waits)
        return any(not job.retryable and hop_of(job.id) for job in waiting)

    def handle(self, event: DispatchEvent, now: float) -> list[DispatchAction]:
        kind = type(event)
        if kind is TurnEnded:
            return self._deal(now)
        if kind is JobsArrived:
            return self._arrive(event.jobs, now)  # type: ignore[union-attr]
        if kind is WorkerSpoke:
            seat = self._seats.all.get(event.address)  # type: ignore[union-attr]
            if seat is None:
                return self._heard_stranger(event, now)  # type: ignore[arg-type]
            seat.heard = now
            return self._heard(seat, event.message, now)  # type: ignore[union-attr]
        return self._handle_rare(event, now)

    def _handle_rare(self, event: DispatchEvent, now: float) -> list[DispatchAction]:
        match event:
            case RequestsCancelled():
                return self._called_off.cancel(event.requests, now)
            case Ticked():
                return self._tick(now)
            case WorkerLost():
                return self._lose(event, now)
            case JobsSentAgain():
                self._book.park(event.jobs, now)
                self._reunion.await_roster(now)
                self._review(now)
                return []
            case RosterTold():
                seated = {(seat.worker, seat.incarnation) for seat in self._seats.all.values()}
                self._reunion.await_workers(set(event.workers) - seated, now)
                return []
            case NotesRead():
                return self._judge(event, now)
            case DrainAsked():
                self._draining |= not event.workers
                self._seats.drain(event.workers)
                self._review(now)
                return []
            case ResumeAsked():
                self._draining &= bool(event.workers)
                self._seats.resume(event.workers)
                self._review(now)
                return []
            case JobsArrived() | WorkerSpoke() | TurnEnded():
                raise AssertionError("these are not rare")
            case _:
                assert_never(event)

    def next_deadline(self) -> float | None:
        """When `Ticked` is wanted; None when nothing waits for a time to come."""
        until = self._reunion.until
        deadline = min(self._called_off.next_look(), max(self._unserved.next_look, until))
        if self._book.parked and self._book.waiting:
            deadline = min(deadline, max(self._judge_at, until))
        elif until > -inf:
            deadline = min(deadline, until)
        return deadline if deadline < inf else None

    def silent(self, before: float, now: float) -> list[Address]:
        """The workers neither heard nor asked since `before`. The shell asks, to see whether they are connected."""
        silent = [seat for seat in self._seats.all.values() if max(seat.heard, seat.asked) < before]
        for seat in silent:
            seat.asked = now
        return [seat.address for seat in silent]

    def addresses(self) -> list[Address]:
        """All workers."""
        return list(self._seats.all)

    def holders(self) -> list[Address]:
        """The workers that hold jobs."""
        return [seat.address for seat in self._seats.all.values() if seat.held]

    def worker_at(self, address: Address) -> tuple[str, int] | None:
        """Id and incarnation of the worker behind an address."""
        seat = self._seats.all.get(address)
        return (seat.worker, seat.incarnation) if seat else None

    def holds(self, worker: str, incarnation: int) -> bool:
        """Whether this worker has jobs, so that its loss is theirs."""
        seat = self._seats.find(worker, incarnation)
        return seat is not None and bool(seat.held)

    def whereabouts(self, pool: str, requests: list[RequestId], now: float) -> list[tuple[str, Whereabouts]]:
        """What to tell servers of these, which are about to be cancelled. `pool` is the name of this one."""
        return whereabouts(self._book, self._seats, pool, requests, now)

    def expired(self, pool: str, now: float) -> list[tuple[str, Whereabouts]]:
        """The same of jobs that waited here until their time was over, since this was last asked."""
        jobs = self._book.expired
        if not jobs:
            return []
        self._book.expired = []
        return waited(jobs, pool, now)

    def snapshot(self, now: float = 0.0) -> ProxySample:
        book = self._book
        return ProxySample(
            queued=book.waiting,
            in_flight=book.held,
            oldest_wait_s=max(0.0, now - book.oldest(now)),
            arrived=self._arrived,
            done=self._done,
            failed=self._failed,
            retried=self._retried,
            service_s=self._service_s,
            latency=self._latency.to_list(),
            workers=[seat.load(now) for seat in self._seats.all.values()],
            counters=dict(self._counters),
            draining=self._draining,
        )

    # --- what servers and forwarding workers say ----------------------------------------------------------------------

    def _arrive(self, jobs: list[WireJob], now: float) -> list[DispatchAction]:
        self._arrived += len(jobs)
        refused: list[DispatchAction] = []
        if self._draining:
            # A request that is here already (a cycle of forwards) is part of what a draining pool finishes.
            known = self._book.by_request
            refused = [GiveUp(job, 503, "the pool is draining") for job in jobs if request_of(job.id) not in known]
            jobs = [job for job in jobs if request_of(job.id) in known]
            self._failed += len(refused)
            self._book.count("refused_draining", len(refused))
        self._book.arrive(jobs, now)
        if not self._seats.takers and jobs:
            self._unserved.arrived(jobs, now)
        return refused

    # --- what workers say ---------------------------------------------------------------------------------------------

    def _heard(self, seat: Seat, message: FromOut, now: float) -> list[DispatchAction]:
        if type(message) is Done:
            self._finish(seat, message, now)
            return []
        match message:
            case HandBack():
                self._take_back(seat, message.jobs, now)
            case Streaming():
                if (ticket := seat.held.get(message.job)) is not None:
                    ticket.streaming = True
            case Leave():
                self._seats.leave(seat)
                self._review(now)
                return [SendGoodbye(seat.address)]
            case Cancel():
                return self._called_off.cancel(message.requests, now)
            case Allow():
                return self._pass_allow(message)
            case _:
                # Booked jobs stay booked: what was dealt and is not among an Announce's is on its way to the worker.
                assert isinstance(message, Announce | Beat)
        return []

    def _heard_stranger(self, event: WorkerSpoke, now: float) -> list[DispatchAction]:
        """A new worker, a server, or a worker that has announced itself to an earlier run of this proxy."""
        message = event.message
        match message:
            case Announce():
                self._welcome(event.address, message, event.notes, now)
            case Cancel():
                return self._called_off.cancel(message.requests, now)
            case Allow():
                return self._pass_allow(message)
            case _:
                self._book.count("strangers")
                if not event.address.startswith(SERVER_LANE):
                    return [AskWho(event.address)]
        return []

    def _welcome(self, address: Address, message: Announce, notes: bool, now: float) -> None:
        seat = Seat(address, message.worker, message.incarnation, now)
        seat.notes = notes
        seat.key = message.key
        self._seats.sit(seat)
        self._book.inherit(seat, message.holds, now)
        self._seats.credit(seat)
        self._reunion.met(message.worker, message.incarnation)
        self._review(now)

    def _pass_allow(self, allow: Allow) -> list[DispatchAction]:
        if allow.lane in self._seats.all:
            return [PassAllow(allow.lane, allow)]
        self._book.count("allows_dropped")
        return []

    def _finish(self, seat: Seat, message: Done, now: float) -> None:
        held, by_request, latency = seat.held, self._book.by_request, self._latency
        finished = alike = 0
        arrived = 0.0
        for job in message.jobs:
            ticket = held.pop(job, None)
            if ticket is None:
                continue
            finished += 1
            known = by_request.pop(job >> HOP_BITS, None)
            if known is not ticket and known is not None:
                by_request[job >> HOP_BITS] = known  # a higher hop has come meanwhile
            if ticket.arrived == arrived:
                alike += 1  # what came in one turn and ends in one has one latency, whose logarithm is taken once
                continue
            if alike:
                latency.add(now - arrived, alike)
            arrived, alike = ticket.arrived, 1
        if alike:
            latency.add(now - arrived, alike)
        self._book.held -= finished
        self._done += finished
        self._failed += message.failed
        self._service_s += message.service_s
        if message.jobs:
            sample = min(message.service_s / len(message.jobs), SERVICE_CLIP_S)
            mean = self._service_mean_s
            self._service_mean_s = mean + SERVICE_WEIGHT * (sample - mean) if mean else sample
        if message.key:
            self._seats.has_run(seat, message.key)
        seat.busy_since = now
        self._seats.credit(seat)

    def _take_back(self, seat: Seat, jobs: list[JobId], now: float) -> None:
        """Jobs not begun go to the front, in their order, as if they had never been dealt."""
        tickets = [ticket for job in jobs if (ticket := seat.held.pop(job, None)) is not None]
        self._book.held -= len(tickets)
        self._book.put_back([ticket for ticket in tickets if not self._is_over(ticket)])
        self._book.count("handed_back", len(tickets))
        self._seats.credit(seat)
        self._review(now)

    def _is_over(self, ticket: Ticket) -> bool:
        """Whether a job that its worker no longer has needs no other; if so it is ended."""
        book = self._book
        if not book.is_current(ticket):
            book.count("superseded")
        elif ticket.cancelled:
            book.count("cancelled")
        elif ticket.hollow:
            book.count("hollow_lost")  # nobody has sent it again: its server is gone too, or will
        else:
            return False
        book.end_held(ticket)
        return True

    # --- loss ---------------------------------------------------------------------------------------------------------

    def _lose(self, event: WorkerLost, now: float) -> list[DispatchAction]:
        self._reunion.met(event.worker, event.incarnation)
        seat = self._seats.find(event.worker, event.incarnation)
        actions: list[DispatchAction] = []
        if seat is not None:
            self._seats.remove(seat)
            self._book.held -= len(seat.held)
            again: list[Ticket] = []
            for ticket in seat.held.values():
                if self._is_over(ticket):
                    continue
                if event.unsent:
                    again.append(ticket)
                elif self._rules.spares(ticket, seat.dealt, event.begun):
                    ticket.spared += 1
                    self._book.count("spared")
                    again.append(ticket)
                elif given_up := self._next_attempt(ticket, f"its worker {event.worker}", _lost(ticket, seat, now)):
                    self._book.end_held(ticket)
                    actions.append(given_up)
                else:
                    again.append(ticket)
            self._book.put_back(again)
        self._review(now)
        return actions

    def _next_attempt(self, ticket: Ticket, worker: str, lost: Hop | None = None) -> GiveUp | None:
        """For a job that was begun, or may have been."""
        if why_not := self._rules.verdict(ticket, worker):
            self._book.count("lost")
            return self._give_up(ticket.job, why_not, lost=lost)
        self._retried += 1
        self._rules.again(ticket)
        return None

    def _give_up(self, job: WireJob, detail: str, status: int = 502, lost: Hop | None = None) -> GiveUp:
        self._failed += 1
        return GiveUp(job, status, detail, lost)

    def _judge(self, event: NotesRead, now: float) -> list[DispatchAction]:
        """What has been sent again and is held by nobody: into the line, given up, or left for later."""
        book = self._book
        seated = {seat.worker for seat in self._seats.all.values()}
        witnesses = Witnesses(event.notes, seated, self._reunion.absent())
        actions: list[DispatchAction] = []
        fresh: list[Ticket] = []
        later: list[Ticket] = []
        for ticket in book.parked:
            job = ticket.job
            if job is GONE:
                continue
            once = not self._rules.may_run_again(job)
            fate = witnesses.fate(job, once=once, noted=not job.retryable, sent=job.deadline - self._request_timeout)
            if fate is Fate.FRESH:
                fresh.append(ticket)
            elif fate is Fate.UNCERTAIN:
                later.append(ticket)
            elif fate is Fate.RAN:
                book.drop(ticket, "ran_before")
            elif given_up := self._next_attempt(ticket, "its worker"):
                book.drop(ticket, "lost_before")
                actions.append(given_up)
            else:
                fresh.append(ticket)
        book.unpark(fresh, later)
        self._judge_at = now + JUDGE_S if later else inf
        return actions + self._deal(now)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _review(self, now: float) -> None:
        """After what may leave jobs without a worker, or tell what has become of those sent again."""
        if self._book.parked:
            self._judge_at = -inf
        self._unserved.review(self._seats.takers, now)

    def _tick(self, now: float) -> list[DispatchAction]:
        if now >= self._reunion.until:
            self._reunion.until = -inf
        actions = self._called_off.tick(now)
        if now >= self._unserved.next_look and now >= self._reunion.until:
            actions += self._give_up_unserved(now)
        return actions + self._deal(now)

    def _give_up_unserved(self, now: float) -> list[DispatchAction]:
        actions: list[DispatchAction] = []
        for ticket in self._unserved.overdue(self._book, now):
            expired = ticket.job.deadline <= now
            if expired:
                self._book.expired.append(ticket.job)
            else:
                actions.append(self._give_up(ticket.job, "the pool has no worker", 503))
            self._book.drop(ticket, "expired" if expired else "unserved")
        return actions

    # --- dealing ------------------------------------------------------------------------------------------------------

    def _deal(self, now: float) -> list[DispatchAction]:
        book, seats = self._book, self._seats
        if not book.waiting or now < self._reunion.until:
            return []
        if now >= self._judge_at:
            self._judge_at = now + JUDGE_S
            return [ReadNotes()]
        idle = seats.idle
        actions: list[DispatchAction] = []
        while idle and book.waiting:
            size = self._batch_size()
            seat = seats.take_for(book.next_key(now)) if seats.keyed else seats.take()
            batch = book.take(seat, size, now, careful=not (seat.notes or self._retry))
            if not batch:
                seats.credit(seat)
                break
            if batch[0].key:
                seat.key = batch[0].key
            seat.dealt = seat.busy_since = now
            actions.append(SendJobs(seat.address, batch))
        return actions

    def _batch_size(self) -> int:
        if self._prefetch is not None:
            return self._prefetch
        mean = self._service_mean_s
        if not mean:
            return 1
        fair_share = -(-self._book.waiting // len(self._seats.idle))
        return max(1, min(int(BATCH_WORTH_S / mean), max(fair_share, int(BATCH_LEAST_S / mean)), BATCH_LIMIT))


def _lost(ticket: Ticket, seat: Seat, now: float) -> Hop:
    """What a job's waterfall shows of a worker that is gone: it may have begun with it when it was dealt."""
    return Hop(seat.worker, seat.dealt or now, now, ticket.job.attempt, failed=True)
