"""How processes begin, become ready, are told to leave, and end: the one place that moves them.

`plan` and operations say what shall happen to a process, as steps; `cluster` hands each to the method here that does
it. What a zygote has forked, what a signal is for, who must hear that somebody is gone: all of it is here.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import assert_never

from msgspec import structs

from primectl.wire.control import (
    ALL,
    Hello,
    ProcessGone,
    ProcessReady,
    Retire,
    Roster,
    pool_topic,
    process_topic,
    role_topic,
)
from primectl.wire.job import JobId, request_name, request_of
from primectl.wire.stats import ClusterState
from supervisor import plan
from supervisor.adoption import Adoption
from supervisor.books import Books
from supervisor.causes import cause_of, last_words
from supervisor.events import (
    Broadcast,
    CloseZygote,
    Exec,
    Fork,
    HandlerFailed,
    Kind,
    Signal,
    SignalStray,
    Spawned,
    StartFailure,
    TookOver,
)
from supervisor.lifecycle import LEAVING, READY, Change
from supervisor.lifecycle import ProcessState as S
from supervisor.output import Output
from supervisor.plan import Dismiss, Force, Forget, Promote, Recycle, Revive, Start, Step
from supervisor.process import Process
from supervisor.restart import End
from supervisor.words import counted

HELLO_S = 0.05
"""How often HELLO is repeated to a process that listens but has not said READY."""
NUDGE_S = 1.0
"""A process that has not acknowledged a command for so long gets the signal that means the same."""
FATAL = "fatal"
"""The kind of the event when somebody has failed for good."""
START_TIMEOUT_S = 30.0
"""For a server or the recorder to say READY; the pools' processes have `start_timeout`."""


class Lives:
    """Moves the processes in the books."""

    def __init__(
        self,
        books: Books,
        out: Output,
        adoption: Adoption,
        *,
        incarnation: int,
        jitter: Callable[[], float],
        on_start_failure: Callable[[StartFailure], None],
    ) -> None:
        """`incarnation` is above all earlier ones; `jitter` gives numbers of 0 to 1."""
        self._books = books
        self._out = out
        self._adoption = adoption
        self._first_incarnation = self._incarnation = incarnation
        self._jitter = jitter
        self._give_up_start = on_start_failure

    def is_ours(self, incarnation: int) -> bool:
        """Whether this supervisor has given somebody that incarnation."""
        return self._first_incarnation < incarnation <= self._incarnation

    def do(self, step: Step, now: float) -> None:
        """Take one step."""
        self._out.moved = True
        if isinstance(step, Start):
            process = self._books.processes.get(step.id)
            if process is None:
                process = self._books.enrol(step.id, step.kind, step.pool, step.number)
            process.leaving, process.extra = False, step.extra
            self._start(process, now)
            return
        process = self._books.processes[step.id]
        match step:
            case Promote():
                process.extra = False
            case plan.Retire():
                process.leaving = True
                self._retire(process, now)
            case Recycle():
                self._retire(process, now)
            case Revive():
                process.crashes.clear()
                self._revive_zygote(process, now)
                if process.state in (S.BACKOFF, S.FAILED):
                    self._start(process, now)
            case Dismiss():
                if process.alive and process.state is not S.STOPPING:
                    process.change(Change.KILL_ASKED)
                    process.deadline = None
            case Force():
                self._force(process, now)
            case Forget():
                if process.state in (S.BACKOFF, S.FAILED):
                    process.change(Change.NOT_WANTED)
                del self._books.processes[step.id]
                if process.kind is Kind.WORKER:
                    self._out.extend(self._books.drains[process.pool].forget(process.id, now))
            case _:
                assert_never(step)

    def take_over(self, event: TookOver, now: float) -> None:
        """Go on with the processes that an earlier supervisor has left."""
        for process, was in self._adoption.begin(event, now):
            if was is S.STARTING:
                process.deadline = now + self._start_timeout_s(process)
            elif was is S.STOPPING:
                self._force(process, now)
            elif was is S.DRAINING:
                self._retire(process, now)

    def tick(self, now: float) -> None:
        """Look after those who want attention by now."""
        for process in self._adoption.tick(now):
            self.became_ready(process, now)
        for process in list(self._books.processes.values()):
            if process.hello_at is not None and now >= process.hello_at:
                self._greet_again(process, now)
            if process.deadline is None or now < process.deadline:
                continue
            if process.state is S.STARTING:
                process.deadline = None
                process.timed_out = True
                self._overdue(process, now)
            elif process.state is S.DRAINING:
                process.deadline = None
                self._signal(process, signal.SIGTERM)

    # --- they begin ---------------------------------------------------------------------------------------------------

    def _start(self, process: Process, now: float) -> None:
        self._incarnation += 1
        change = Change.RETRY_DUE if process.state is S.BACKOFF else Change.START_ASKED
        process.begin(self._incarnation, now, change)
        self._choose_generation(process)
        if not process.zygote:
            self._exec(process, now)

    def _choose_generation(self, process: Process) -> None:
        """Before it is asked for, that is: what the pool has for whoever starts at that moment."""
        if not process.pool:
            return
        generations = self._books.generations[process.pool]
        if process.kind is Kind.ZYGOTE:
            process.generation = generations.number_of(process.id)
        elif process.kind is Kind.WORKER:
            chosen = generations.for_start(extra=process.extra)
            if chosen.number != process.generation:
                process.crashes.clear()
            process.generation, process.zygote = chosen

    def _exec(self, process: Process, now: float) -> None:
        process.asked_for = True
        process.deadline = now + self._start_timeout_s(process)
        self._out.add(Exec(process.id, process.kind, process.pool, process.incarnation))

    def _start_timeout_s(self, process: Process) -> float:
        return self._books.config.pools[process.pool].start_timeout if process.pool else START_TIMEOUT_S

    def fork_what_waits(self, now: float) -> None:
        wishes: dict[str, list[Process]] = {}
        for process in self._waiting_for_a_zygote():
            self._choose_generation(process)
            zygote = self._books.processes.get(process.zygote)
            if not process.zygote:
                self._exec(process, now)
            elif zygote is not None and zygote.state is S.RUNNING:
                wishes.setdefault(zygote.id, []).append(process)
                process.asked_for = True
                process.deadline = now + self._start_timeout_s(process)
        for name, waiting in wishes.items():
            self._out.add(Fork(waiting[0].pool, name, tuple(process.birthright for process in waiting)))

    def _waiting_for_a_zygote(self) -> list[Process]:
        workers = (process for process in self._books.processes.values() if process.kind is Kind.WORKER)
        return [worker for worker in workers if worker.state is S.STARTING and not worker.asked_for]

    def fail_what_waits_in_vain(self, now: float) -> None:
        for process in self._waiting_for_a_zygote():
            zygote = self._books.processes.get(process.zygote)
            if zygote is not None and zygote.state is S.FAILED:
                process.change(Change.ENDED)
                process.change(Change.RETRIES_SPENT)
                process.deadline = None
                process.cause = f"its handler cannot be imported: {zygote.cause}"
                process.last_lines = zygote.last_lines
                self._out.moved = True
                text = f"{process.id} cannot start: {process.cause}"
                self._out.tell(FATAL, process.id, text, cause=process.cause, lines=process.last_lines)

    def _revive_zygote(self, process: Process, now: float) -> None:
        if process.kind is not Kind.WORKER:
            return
        zygote = self._books.processes.get(self._books.generations[process.pool].for_start(extra=process.extra).zygote)
        if zygote is not None and zygote.state in (S.BACKOFF, S.FAILED):
            zygote.crashes.clear()
            self._start(zygote, now)

    # --- they come to be ----------------------------------------------------------------------------------------------

    def spawned(self, event: Spawned) -> None:
        process = self._books.current(event.process, event.incarnation)
        if process is None or not process.alive:
            self._out.add(SignalStray(event.pid))
            return
        process.pid = event.pid
        if process.forced:
            self._signal(process, signal.SIGKILL)
        elif process.state in LEAVING:
            self._signal(process, signal.SIGTERM)

    def subscribed(self, name: str, now: float) -> None:
        process = self._books.processes.get(name)
        if process is None or process.state is not S.STARTING:
            return
        process.hello_at = now + HELLO_S
        self._out.wake_at(process.hello_at)
        self._out.add(Broadcast(process_topic(name), Hello()))

    def _greet_again(self, process: Process, now: float) -> None:
        if process.state is not S.STARTING:
            process.hello_at = None
            return
        process.hello_at = now + HELLO_S
        self._out.add(Broadcast(process_topic(process.id), Hello()))

    def became_ready(self, process: Process, now: float) -> None:
        process.change(Change.BECAME_READY)
        process.ready_at = process.began_at if process.is_known else now
        process.heard_at = now
        process.deadline = process.hello_at = None
        self._out.moved = True
        if process.kind is Kind.PROXY and not process.is_known:
            self._proxy_is_ready(process, now)
        if process.kind is Kind.WORKER:
            self._out.extend(self._books.drains[process.pool].worker_is_ready(process.id, now))
        if process.kind is Kind.SERVER:
            self._books.told_readiness = None
        if process.kind is Kind.RECORDER and not process.is_known:
            # They have kept what the one before had not written down.
            self._out.add(Broadcast(role_topic(Kind.SERVER), ProcessReady(process.id, process.incarnation)))
        if process.kind is Kind.ZYGOTE:
            process.cause = ""
            self._adoption.zygote_is_ready(process.pool)
        if process.crashed:
            process.crashed = False
            self._out.tell("ready", process.id, f"{process.id} is back")

    def _proxy_is_ready(self, proxy: Process, now: float) -> None:
        """What it must know before it deals, then to all that it is there."""
        if proxy.restarts:
            served = [
                (worker.id, worker.incarnation)
                for worker in self._books.workers(proxy.pool)
                if worker.state in READY or (worker.is_known and worker.alive)
            ]
            self._out.add(Broadcast(process_topic(proxy.id), Roster(served)))
        self._out.extend(self._books.drains[proxy.pool].proxy_is_ready(now))
        self._out.add(Broadcast(ALL, ProcessReady(proxy.id, proxy.incarnation)))

    def handler_failed(self, event: HandlerFailed) -> None:
        zygote = self._books.current(event.process, event.incarnation)
        if zygote is None or not zygote.alive:
            return
        lines = tuple(event.traceback.rstrip().splitlines()) or ("no reason was given",)
        zygote.cause = plan.printable(lines[-1])
        zygote.last_lines = last_words(lines)
        if self._books.state is ClusterState.STARTING:
            path = f"pools.{zygote.pool}"
            handler = self._books.config.pools[zygote.pool].handler
            # What the pool's limits and identity are refused with names its key already.
            refused = zygote.cause.startswith(f"{path}.")
            what = zygote.cause if refused else f"{path}.handler: {handler} cannot be imported"
            self._give_up_start(StartFailure(zygote.id, what, zygote.last_lines))

    def _overdue(self, process: Process, now: float) -> None:
        if process.pid:
            self._signal(process, signal.SIGKILL)
            process.forced = True
            return
        if process.kind is Kind.WORKER:
            # Its zygote has been asked and says nothing: it hangs, and everybody else waits for it too.
            zygote = self._books.processes.get(process.zygote)
            if zygote is not None and zygote.pid:
                zygote.timed_out = True
                self._signal(zygote, signal.SIGKILL)
                return
        self.ended(process, None, (), now)

    # --- they leave ---------------------------------------------------------------------------------------------------

    def _retire(self, process: Process, now: float) -> None:
        if process.state in LEAVING:
            return
        was = process.state
        process.change(Change.RETIRE_ASKED)
        process.deadline = now + NUDGE_S
        process.retire_command = self._out.next_command()
        if process.kind is Kind.ZYGOTE and was is S.RUNNING:
            self._out.add(CloseZygote(process.id, process.incarnation))
        elif not process.asked_for:
            self.ended(process, 0, (), now)
        elif was is S.STARTING:
            self._signal(process, signal.SIGTERM)
        else:
            timeout_s = self._drain_s(now) if process.kind is Kind.SERVER else None
            self._out.add(Broadcast(process_topic(process.id), Retire(process.retire_command, timeout_s)))

    def _drain_s(self, now: float) -> float | None:
        """How long a server may drain: one that is replaced as long as a request may take."""
        if self._books.stopping is None:
            return None
        return max(0.0, self._books.stopping.deadline - now)

    def _force(self, process: Process, now: float) -> None:
        if not process.alive:
            return
        if process.state is not S.STOPPING:
            process.change(Change.KILL_ASKED)
        process.forced = True
        process.deadline = None
        if process.asked_for:
            self._signal(process, signal.SIGKILL)
        else:
            self.ended(process, -signal.SIGKILL, (), now)

    def put_down(self, process: Process, cause: str, now: float) -> None:
        """SIGKILL to what will not go on by itself. It did not crash: it is replaced at once, nothing is counted."""
        self._out.moved = True
        process.doom = cause
        self._force(process, now)

    def _signal(self, process: Process, number: int) -> None:
        """A process that is not born yet gets it when it is (`_spawned`)."""
        if process.pid:
            self._out.add(Signal(process.id, process.incarnation, number))

    # --- they end -----------------------------------------------------------------------------------------------------

    def ended(
        self,
        process: Process,
        status: int | None,
        tail: tuple[str, ...],
        now: float,
        *,
        oom: bool = False,
        job: int = 0,
    ) -> None:
        """A process is gone; all else as in `events.Exited`."""
        self._say_gone(process, status, now)
        self._out.moved = True
        expected, killed = process.state in LEAVING, process.state is S.STOPPING
        timed_out = process.timed_out
        if process.ready_at is None and not process.restarts:
            job = 0  # what it left may be the notes of a life that another supervisor saw end
        process.change(Change.ENDED)
        process.deadline = process.hello_at = None
        if process.kind is Kind.ZYGOTE:
            self._zygote_gone(process, now)
        if expected:
            process.last_lines = last_words(tail) if status else ()
            if killed:
                process.cause = process.doom or "KILL"
            elif status not in (0, None):
                process.cause = cause_of(status, tail)
            return
        if timed_out:
            did_not = "READY" if process.ready_at is None else "able to fork"
            process.cause = f"not {did_not} within {self._start_timeout_s(process):g} s"
            process.last_lines = last_words(tail)
        elif not (process.kind is Kind.ZYGOTE and process.cause and status == 1):
            # A zygote whose handler failed has given its own cause, better than its exit status.
            process.cause = _cause(process, status, tail, oom=oom)
            if job:
                process.cause += f", in request {request_name(request_of(JobId(job)))}"
            process.last_lines = last_words(tail)
        if self._books.state is ClusterState.STARTING and process.kind is not Kind.RECORDER:
            what = f"{process.id} did not come up: {process.cause}"
            self._give_up_start(StartFailure(process.id, what, tail))
        if self._books.state is ClusterState.FAILED:
            process.deadline = now
            return
        served = process.kind is Kind.WORKER and process.jobs > 0
        # A zygote that hangs was READY once, and is no good all the same.
        ready_s = None if timed_out else process.ready_s(now)
        # Of an adopted one that has lived well, nothing tells that its end was its own fault.
        told = -signal.SIGKILL if status is None and process.adopted else status
        self._back_off(process, End(told, ready_s, served, bool(job), oom=oom), job, now)

    def _back_off(self, process: Process, end: End, job: int, now: float) -> None:
        process.crashed = True
        if job and not end.is_from_outside:
            excused = self._books.deadly.has_ended_another(request_of(JobId(job)))
            end = structs.replace(end, excused=excused)
        process.blamed = not end.is_from_outside
        verdict = process.crashes.judge(end, now, self._books.config.supervisor, self._jitter())
        cause, lines = process.cause, process.last_lines
        if verdict.wait_s is None:
            process.change(Change.RETRIES_SPENT)
            times = counted(verdict.crashes, "crash", "crashes")
            text = f"{process.id} failed after {times}: {cause}"
            self._out.tell(FATAL, process.id, text, cause=cause, lines=lines)
            return
        process.deadline = now + verdict.wait_s
        when = f"starts again in {verdict.wait_s:.2g} s" if verdict.wait_s else "starts again at once"
        if process.blamed and process.pool and self._books.generations[process.pool].is_on_trial(process.generation):
            when = "the reload gives it up"
        self._out.tell("crashed", process.id, f"{process.id} ended: {cause}; {when}", cause=cause, lines=lines)

    def _say_gone(self, process: Process, status: int | None, now: float) -> None:
        self._adoption.gone(process)
        gone = ProcessGone(process.id, process.incarnation)
        topics: tuple[str, ...] = ()
        match process.kind:
            case Kind.WORKER:
                topics = (pool_topic(process.pool), role_topic(Kind.SERVER))
            case Kind.PROXY:
                topics = (pool_topic(process.pool), role_topic(Kind.SERVER), role_topic(Kind.WORKER))
                self._books.pools[process.pool].proxy_gone()
                self._books.drains[process.pool].proxy_is_gone()
            case Kind.SERVER:
                topics = (role_topic(Kind.PROXY), role_topic(Kind.WORKER))
                self._server_gone(process, status, now)
            case Kind.RECORDER:
                self._books.journal.recorder_gone()
                return
            case Kind.ZYGOTE:
                return
            case _:
                assert_never(process.kind)
        if process.pid:
            self._out.extend([Broadcast(topic, gone) for topic in topics])

    def _server_gone(self, process: Process, status: int | None, now: float) -> None:
        if self._books.stopping is not None:
            in_flight = self._books.front.in_flight(process.id)
            orderly = process.state is S.DRAINING and process.acknowledged and status in (0, None)
            self._books.stopping.tally.gone(process.id, process.incarnation, in_flight, now, orderly=orderly)
        self._books.front.server_gone(process.id)

    def _zygote_gone(self, zygote: Process, now: float) -> None:
        """What it was asked to fork and has not reported is asked of the next one, under a new incarnation, so that a
        worker that did come to be cannot pass for the one that will."""
        for process in list(self._books.processes.values()):
            if process.zygote != zygote.id or process.pid or not process.alive:
                continue
            if process.state is S.STARTING:
                self._incarnation += 1
                process.incarnation = self._incarnation
                process.asked_for = False
                process.deadline = None
            else:
                self.ended(process, None, (), now)


def _cause(process: Process, status: int | None, tail: tuple[str, ...], *, oom: bool) -> str:
    if status is None and process.adopted:
        return "ended; its exit status is unknown, since an earlier supervisor started it"
    if status is None and not process.pid and tail:  # it never came to be, and this is why
        return plan.printable(tail[-1])
    return cause_of(status, tail, oom=oom)
