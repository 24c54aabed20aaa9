"""Random orders of events: whatever happens, every job comes to an end that the rules allow, and to one only."""

from __future__ import annotations

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from primectl.control.notes import NONE, Begun
from primectl.proxy.dispatch import Dispatch
from primectl.proxy.events import (
    AskWho,
    DispatchAction,
    DispatchEvent,
    DrainAsked,
    GiveUp,
    JobsArrived,
    JobsSentAgain,
    NotesRead,
    ReadNotes,
    RequestsCancelled,
    ResumeAsked,
    RosterTold,
    SendCancel,
    SendGoodbye,
    SendJobs,
    TellStuck,
    Ticked,
    TurnEnded,
    WorkerLost,
    WorkerSpoke,
)
from primectl.wire.job import Announce, Done, HandBack, JobId, Leave, Streaming, WireJob, request_of, work_lane
from tests.support.jobs import a_job

MAX_ATTEMPTS = 2
KILL_AFTER = 2.0
WORKER_TIMEOUT = 10.0
REQUEST_TIMEOUT = 30.0
NAMES = 3
"""So many worker ids, so that a worker's successor has its name and its notes."""


class Worker:
    """What a real worker would do with what it is sent."""

    def __init__(self, number: int, *, keeps_notes: bool) -> None:
        self.name = f"compute.{number % NAMES}"
        self.incarnation = number
        self.address = work_lane(self.name, number)
        self.keeps_notes = keeps_notes
        self.holds: list[WireJob] = []
        self.running = False
        """Whether the first of them has begun."""
        self.known = False
        """To the present run of the proxy."""
        self.leaving = False


class Histories(RuleBasedStateMachine):
    """One pool with its servers, workers, supervisor, and notes on disk; the dispatcher under test is its proxy."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.serial = 0
        self.numbers = 0
        self.workers: dict[bytes, Worker] = {}
        self.notes: dict[str, Begun] = {}
        self.jobs: dict[JobId, WireJob] = {}
        """As their server has sent them."""
        self.ended: dict[JobId, str] = {}
        self.begun_times: dict[JobId, int] = {}
        self.answered: set[JobId] = set()
        """They may be answered twice: by a worker that died before it could tell the proxy, or was silent for long."""
        self.cancelled: set[JobId] = set()
        self.streaming: set[JobId] = set()
        self.requeued: set[JobId] = set()
        """They have been in the line before."""
        self.last_dealt = 0
        self.drained: set[str] = set()
        self.pool_drained = False
        self.told_stuck: set[JobId] = set()
        self.dispatch = self.a_proxy()

    def a_proxy(self) -> Dispatch:
        return Dispatch(
            max_attempts=MAX_ATTEMPTS,
            kill_after=KILL_AFTER,
            worker_timeout=WORKER_TIMEOUT,
            request_timeout=REQUEST_TIMEOUT,
        )

    # --- performing ---------------------------------------------------------------------------------------------------

    def tell(self, event: DispatchEvent) -> None:
        for action in self.dispatch.handle(event, self.now):
            self.perform(action)

    def say(self, worker: Worker, message: object) -> None:
        self.tell(WorkerSpoke(worker.address, message, worker.keeps_notes))  # type: ignore[arg-type]

    def perform(self, action: DispatchAction) -> None:
        if isinstance(action, SendJobs):
            self.is_dealt(action)
        elif isinstance(action, GiveUp):
            self.is_given_up(action)
        elif isinstance(action, ReadNotes):
            self.tell(NotesRead(dict(self.notes)))
        elif isinstance(action, TellStuck):
            self.is_stuck(action)
        elif isinstance(action, SendCancel):
            held = {request_of(job.id) for job in self.workers[action.address].holds}
            assert set(action.requests) <= held, "a worker was told of a request that it does not have"
        else:
            assert isinstance(action, SendGoodbye | AskWho)

    def is_dealt(self, action: SendJobs) -> None:
        worker = self.workers[action.address]
        assert worker.known, "a worker was dealt to that has not announced itself"
        assert not worker.holds, "a worker was dealt to that holds jobs"
        assert not worker.leaving, "a leaving worker was dealt to"
        assert worker.name not in self.drained, "a drained worker was dealt to"
        assert len({job.key for job in action.jobs}) == 1, "a batch has several keys"
        for job in action.jobs:
            assert job.id not in self.ended or job.id in self.answered, f"a job was dealt: {self.ended[job.id]}"
            assert job.id not in self.cancelled, "a cancelled job was dealt"
            assert job.id not in self.streaming, "a job was dealt whose answer is half out"
            assert job.deadline > self.now, "a job was dealt after its deadline"
            assert job.attempt <= MAX_ATTEMPTS
            assert structs.replace(job, attempt=1) == self.jobs[job.id], "a job is not what its server has sent"
            for other in self.workers.values():
                if job.id in {held.id for held in other.holds}:
                    assert not other.known, "a job was dealt that a worker holds"
                    assert job.retryable, "a job that may run once was dealt while a silent worker holds it"
                    self.answered.add(job.id)
            if not job.retryable:
                assert not self.begun_times.get(job.id), "a job that may run once was dealt again after it had begun"
                assert worker.keeps_notes or len(action.jobs) == 1
            if job.id not in self.requeued:
                assert job.id > self.last_dealt, "a job overtook another"
                self.last_dealt = job.id
        worker.holds = list(action.jobs)
        worker.running = False

    def is_given_up(self, action: GiveUp) -> None:
        job = action.job
        if action.status == 503:
            unserved = not any(self.takes(worker) for worker in self.workers.values())
            assert unserved or self.pool_drained, "a job was refused though the pool serves"
        else:
            assert action.status == 502
            begun = self.begun_times.get(job.id, 0) or any(not worker.keeps_notes for worker in self.ever)
            assert begun, "a job was given up that nobody can have begun"
            assert job.id in self.streaming or not job.retryable or job.attempt == MAX_ATTEMPTS
        self.end(job.id, f"answered {action.status}")

    def is_stuck(self, action: TellStuck) -> None:
        (worker,) = [
            worker
            for worker in self.workers.values()
            if (worker.name, worker.incarnation) == (action.worker, action.incarnation)
        ]
        job = worker.holds[0]
        assert request_of(job.id) == action.request, "not the job that runs"
        assert job.id not in self.told_stuck, "the supervisor was told twice"
        assert job.id in self.cancelled or job.deadline + KILL_AFTER <= self.now
        self.told_stuck.add(job.id)

    def takes(self, worker: Worker) -> bool:
        return worker.known and not worker.leaving and worker.name not in self.drained

    def end(self, job: JobId, how: str) -> None:
        if job not in self.answered:
            assert job not in self.ended, f"{job} ended twice: {self.ended[job]}, then {how}"
        self.ended.setdefault(job, how)

    # --- servers ------------------------------------------------------------------------------------------------------

    @rule(
        count=st.integers(1, 5),
        retryable=st.booleans(),
        key=st.sampled_from(["", "", "london", "paris"]),
        patience=st.sampled_from([0.1, 1.0, REQUEST_TIMEOUT]),
    )
    def jobs_arrive(self, count: int, retryable: bool, key: str, patience: float) -> None:
        jobs = []
        for _ in range(count):
            self.serial += 1
            job = a_job(self.serial, retryable=retryable, deadline=self.now + patience)
            jobs.append(structs.replace(job, key=key))
        self.jobs.update({job.id: job for job in jobs})
        self.tell(JobsArrived(jobs))

    @precondition(lambda self: self.open())
    @rule(data=st.data())
    def jobs_come_a_second_time(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.open()))
        if not self.pool_drained and job in self.here():
            self.tell(JobsArrived([self.jobs[job]]))

    @precondition(lambda self: self.open())
    @rule(data=st.data())
    def a_client_leaves(self, data: st.DataObject) -> None:
        self.cancel(data.draw(st.sampled_from(self.open())))

    @rule()
    def a_cancel_overtakes_its_job(self) -> None:
        self.serial += 1
        job = a_job(self.serial, deadline=self.now + REQUEST_TIMEOUT)
        self.jobs[job.id] = job
        self.cancel(job.id)
        if not self.pool_drained:
            self.tell(JobsArrived([job]))

    def cancel(self, job: JobId) -> None:
        self.cancelled.add(job)
        held = job in self.held()
        self.tell(RequestsCancelled([request_of(job)]))
        if not held:
            self.end(job, "cancelled")

    def open(self) -> list[JobId]:
        """What servers wait for."""
        return sorted(set(self.jobs) - set(self.ended) - self.cancelled)

    def held(self) -> set[JobId]:
        return {job.id for worker in self.workers.values() for job in worker.holds}

    def here(self) -> set[JobId]:
        return {ticket.job.id for ticket in self.dispatch._book.by_request.values()}

    # --- workers ------------------------------------------------------------------------------------------------------

    @property
    def ever(self) -> list[Worker]:
        return [*self.workers.values(), *self.dead]

    dead: list[Worker] = []  # noqa: RUF012  replaced by the first that dies

    @rule(keeps_notes=st.sampled_from([True, True, True, False]))
    def a_worker_joins(self, keeps_notes: bool = True) -> None:
        if len({worker.name for worker in self.workers.values()}) == NAMES:
            return
        self.numbers += 1
        worker = Worker(self.numbers, keeps_notes=keeps_notes)
        if any(other.name == worker.name for other in self.workers.values()):
            return
        self.workers[worker.address] = worker
        if keeps_notes:
            before = self.notes.get(worker.name)
            if before is not None:
                broken = before.lost()
                self.notes[worker.name] = structs.replace(before, current=NONE, broken=broken, alive=True)
            else:
                self.notes[worker.name] = Begun(NONE, frozenset(), 0.0, frozenset(), alive=True)
        self.announce(worker)

    def announce(self, worker: Worker) -> None:
        worker.known = True
        self.say(worker, Announce(worker.name, worker.incarnation, [job.id for job in worker.holds]))
        if worker.leaving:
            self.say(worker, Leave())

    @precondition(lambda self: any(worker.holds and not worker.running for worker in self.workers.values()))
    @rule(data=st.data())
    def a_worker_begins(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([each for each in self.workers.values() if each.holds and not each.running]))
        self.begin(worker)

    def begin(self, worker: Worker) -> None:
        job = worker.holds[0]
        worker.running = True
        self.begun_times[job.id] = self.begun_times.get(job.id, 0) + 1
        assert job.retryable or self.begun_times[job.id] == 1, "a job that may run only once has begun twice"
        if worker.keeps_notes:
            before = self.notes[worker.name]
            ids = before.ids if job.retryable else before.ids | {job.id}
            self.notes[worker.name] = structs.replace(before, current=job.id, ids=ids)

    def busy(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.running]

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def a_worker_finishes(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.busy()))
        job = worker.holds.pop(0)
        worker.running = False
        self.end(job.id, "done")
        self.say(worker, Done([job.id], 0.00001, 0, job.key))

    @precondition(lambda self: any(worker.known for worker in self.busy()))
    @rule(data=st.data())
    def a_worker_streams(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([worker for worker in self.busy() if worker.known]))
        self.streaming.add(worker.holds[0].id)
        self.say(worker, Streaming(worker.holds[0].id))

    @precondition(lambda self: any(len(worker.holds) > 1 and worker.known for worker in self.busy()))
    @rule(data=st.data())
    def a_worker_hands_back(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([each for each in self.busy() if len(each.holds) > 1 and each.known]))
        worker.holds, back = worker.holds[:1], worker.holds[1:]
        self.go_back(back)
        self.say(worker, HandBack([job.id for job in back]))

    def go_back(self, jobs: list[WireJob]) -> None:
        for job in jobs:
            self.requeued.add(job.id)
            if job.id in self.cancelled and job.id not in self.ended:
                self.end(job.id, "cancelled")

    @precondition(lambda self: any(worker.known and not worker.leaving for worker in self.workers.values()))
    @rule(data=st.data())
    def a_worker_leaves(self, data: st.DataObject) -> None:
        candidates = [worker for worker in self.workers.values() if worker.known and not worker.leaving]
        worker = data.draw(st.sampled_from(candidates))
        worker.leaving = True
        self.say(worker, Leave())

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), answers_first=st.booleans(), notes_are_read=st.booleans())
    def a_worker_dies(self, data: st.DataObject, answers_first: bool, notes_are_read: bool) -> None:
        worker = self.workers.pop(data.draw(st.sampled_from(sorted(self.workers))))
        self.dead = [*self.dead, worker]
        if answers_first and worker.running and worker.holds[0].id not in self.streaming:
            job = worker.holds[0].id
            if job not in self.ended:
                self.end(job, "answered without a word to the proxy")
                self.answered.add(job)
        begun = None
        if worker.keeps_notes:
            begun = self.notes[worker.name] = structs.replace(self.notes[worker.name], alive=False)
        self.go_back(worker.holds)
        if not notes_are_read:
            for job in worker.holds:  # whatever it held counts as begun then
                self.begun_times.setdefault(job.id, 1)
        for job in worker.holds:
            ticket = self.dispatch._book.by_request.get(request_of(job.id))
            if (ticket is None or ticket.hollow) and job.id not in self.ended:
                self.end(job.id, "lost with a proxy and a worker, and too far out to be sent again: its server cuts it")
        self.tell(WorkerLost(worker.name, worker.incarnation, begun if notes_are_read else None))

    # --- operators ----------------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, NAMES - 1), resume=st.booleans())
    def a_worker_is_drained_or_resumed(self, number: int, resume: bool) -> None:
        name = f"compute.{number}"
        if resume:
            self.drained.discard(name)
            self.tell(ResumeAsked([name]))
        else:
            self.drained.add(name)
            self.tell(DrainAsked([name]))

    @rule(resume=st.booleans())
    def the_pool_is_drained_or_resumed(self, resume: bool) -> None:
        self.pool_drained = not resume
        self.tell(ResumeAsked([]) if resume else DrainAsked([]))

    # --- time ---------------------------------------------------------------------------------------------------------

    @rule()
    def a_turn_ends(self) -> None:
        self.tell(TurnEnded())

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(2000):
            deadline = self.dispatch.next_deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.tell(Ticked())
        else:
            raise AssertionError(f"asks for {deadline} again and again, at {self.now}")
        self.now = until
        for job in self.open():  # their servers have answered 504, and cancel
            if self.jobs[job].deadline <= self.now:
                self.cancel(job)

    # --- the proxy itself ---------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def the_proxy_is_replaced(self, data: st.DataObject) -> None:
        """What it had in line is lost with it; workers hold on to theirs, servers send what they wait for again."""
        for worker in self.workers.values():
            worker.known = False
        self.requeued.update(self.jobs)
        self.dispatch = self.a_proxy()
        self.told_stuck.clear()
        roster = [(worker.name, worker.incarnation) for worker in self.workers.values()]
        self.tell(RosterTold(roster))
        self.tell(DrainAsked(sorted(self.drained)) if self.drained else TurnEnded())
        if self.pool_drained:
            self.tell(DrainAsked([]))
        silent = set(data.draw(st.lists(st.sampled_from(sorted(self.workers)), max_size=1)) if self.workers else [])
        again = [self.jobs[job] for job in self.open() if job not in self.streaming]
        steps: list[Worker | JobsSentAgain] = [each for each in self.workers.values() if each.address not in silent]
        steps.append(JobsSentAgain(again))
        for step in data.draw(st.permutations(steps)):
            if isinstance(step, Worker):
                self.announce(step)
            else:
                self.tell(step)
            self.tell(TurnEnded())
        for address in silent:
            self.time_passes(data.draw(st.sampled_from([0.5, 1.5])))
            if address in self.workers:
                self.announce(self.workers[address])

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def what_is_open_is_in_line_or_held(self) -> None:
        here = self.here()
        for job in self.open():
            if self.jobs[job].deadline > self.now and job not in self.held():
                assert job in here, "a job that a server waits for is nowhere"

    @invariant()
    def the_figures_agree(self) -> None:
        book = self.dispatch._book
        snapshot = self.dispatch.snapshot(self.now)
        tickets = book.tickets()
        assert snapshot.queued == len(tickets)
        assert book.waiting_bytes == sum(len(ticket.job.payload) for ticket in tickets)
        held = sum(len(seat.held) for seat in self.dispatch._seats.all.values())
        assert snapshot.in_flight == held
        assert len(book.by_request) <= len(tickets) + held
        takers = sum(self.takes(worker) for worker in self.workers.values())
        assert self.dispatch._seats.takers == takers
        for key, line in self.dispatch._seats.keyed.items():
            assert line
            assert all(seat.key == key and address in self.dispatch._seats.idle for address, seat in line.items())
        due = min((t.job.deadline for s in self.dispatch._seats.all.values() for t in s.held.values()
                   if not t.cancelled), default=inf)  # fmt: skip
        assert book.due <= due

    def teardown(self) -> None:
        """With workers that live and nothing drained, everything ends."""
        self.pool_drained = False
        self.tell(ResumeAsked([]))
        self.drained.clear()
        self.tell(ResumeAsked([f"compute.{number}" for number in range(NAMES)]))
        for worker in self.workers.values():
            if not worker.known:
                self.announce(worker)
        for _ in range(3 * len(self.jobs) + 10):
            self.tell(TurnEnded())
            for worker in list(self.workers.values()):
                while worker.holds:
                    if not worker.running:
                        self.begin(worker)
                    job = worker.holds.pop(0)
                    worker.running = False
                    self.end(job.id, "done")
                    self.say(worker, Done([job.id], 0.00001, 0, job.key))
                if worker.leaving:
                    del self.workers[worker.address]
                    self.say(worker, Leave())
                    self.tell(WorkerLost(worker.name, worker.incarnation, None))
            if not any(self.takes(worker) for worker in self.workers.values()):
                self.a_worker_joins()
            self.time_passes(0.3)
            if self.dispatch.empty:
                break
        assert self.dispatch.empty, self.dispatch.snapshot(self.now)
        assert not self.open(), "a server still waits"


Histories.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestHistories = Histories.TestCase
