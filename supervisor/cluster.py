"""The whole cluster, as a core: events in, actions out.

How to think about it: `plan.reconcile` says which processes should start or leave, operations say it on an operator's
behalf, and both do so as steps. `_apply` is the one place where a step moves a process, `_ended` the one place where a
process is found to be gone. After every event that moves anything, `_settle` asks both again until nobody wants more.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import assert_never

from primectl.config.model import Config
from primectl.wire.control import (
    ALL,
    Hello,
    Kill,
    ProcessGone,
    ProcessReady,
    Progress,
    Readiness,
    Refusal,
    Roster,
    Stop,
    Stopped,
    pool_topic,
    process_topic,
    role_topic,
)
from primectl.wire.control import (
    Retire as RetireCommand,
)
from primectl.wire.stats import (
    Acknowledged,
    ClusterSnapshot,
    ClusterState,
    ProxySample,
    Ready,
    ReportEnvelope,
    ServerSample,
    WorkerSample,
    WorkerStuck,
)
from supervisor import orders, picture, plan
from supervisor.aggregate import is_sound
from supervisor.books import Books
from supervisor.causes import Outcome, cause_of, in_words
from supervisor.drains import Draining, Resuming
from supervisor.events import (
    SUPERVISOR,
    Action,
    Answer,
    Asked,
    Asker,
    Begun,
    Broadcast,
    CameUp,
    CloseListeners,
    CloseZygote,
    Event,
    Exec,
    Exited,
    Fork,
    HandlerFailed,
    HandlerImported,
    Heard,
    Kind,
    Leave,
    Order,
    Probed,
    ShowProgress,
    Signal,
    SignalStray,
    Spawned,
    StartFailure,
    Subscribed,
    Tell,
    Ticked,
    zygote_id,
)
from supervisor.lifecycle import LEAVING, READY, Change
from supervisor.lifecycle import ProcessState as S
from supervisor.liveness import Liveness, liveness
from supervisor.operations import Operation, Rolling, Scaling, Turn
from supervisor.plan import Dismiss, Force, Forget, Recycle, Retire, Revive, Start, Step
from supervisor.process import Process
from supervisor.restart import backoff_s, is_spent, was_killed_from_outside
from supervisor.stopping import Stopping

BEAT_S = 1.0
"""How often servers are told whether the cluster is ready, and silence is looked for."""
HELLO_S = 0.05
"""How often HELLO is repeated to a process that listens but has not said READY."""
NUDGE_S = 1.0
"""A process that has not acknowledged a command for so long gets the signal that means the same."""
START_TIMEOUT_S = 30.0
"""For a server to say READY; the pools' processes have `start_timeout`."""
STOPPED_S = 3.0
"""A process that has been stopped (SIGSTOP) for so long is killed and replaced: what it holds waits, and nobody may
come to let it go on. Shorter pauses are somebody's business; a debugger's (state `t`) never count."""
OPERATIONS_AT_ONCE = 256


class Cluster:
    """A cluster from its start to its end."""

    def __init__(
        self,
        config: Config,
        *,
        config_path: str,
        dead_letters_file: str,
        incarnation: int,
        pid: int,
        jitter: Callable[[], float],
    ) -> None:
        """`incarnation` is above that of every earlier supervisor of the cluster; `jitter` gives numbers of 0 to 1."""
        self._config = config
        self._name = config.cluster.name
        self._config_path = config_path
        self._dead_letters_file = dead_letters_file
        self._first_incarnation = self._incarnation = incarnation
        self._jitter = jitter
        self._command = 0
        self._state = ClusterState.STARTING
        self._listen = ""
        self._now = 0.0
        self._began_at = 0.0
        self._beat_at = 0.0
        self._begun = False
        self._books = Books(config, self._next_command)
        self._operations: list[Operation] = []
        self._stopping: Stopping | None = None
        self._failure: StartFailure | None = None
        self._left = False
        self._told_readiness: Readiness | None = None
        self._progress: dict[int, Progress] = {}
        """What each operation's askers were told last, by its identity."""
        self._shown = ""
        self._told_dead_letters = 0
        self._myself = Process(SUPERVISOR, Kind.SERVER, "", 0)
        self._myself.pid = pid
        self._out: list[Action] = []
        self._moved = False
        self._deadline: float | None = None
        self.is_calm = False
        """Nobody waits for anything: no order is under way and every process runs."""
        self.counters: dict[str, int] = {}

    # --- the machine --------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in one event; what the supervisor must do, in order."""
        return self.handle_all((event,), now)

    def handle_all(self, events: Iterable[Event], now: float) -> list[Action]:
        """Take in what happened in one turn of the loop, and settle once: 64 workers become READY in a few turns."""
        self._now = now
        self._out = []
        for event in events:
            if isinstance(event, Heard):
                self._heard(event.envelope, now)
            else:
                self._happened(event, now)
        if self._moved and self._begun and not self._left:
            self._settle(now)
        return self._out

    def next_deadline(self) -> float | None:
        """When to send `Ticked`; None before `Begun` and after `Leave`."""
        if not self._begun or self._left:
            return None
        return self._beat_at if self._deadline is None else min(self._deadline, self._beat_at)

    @property
    def is_stopping(self) -> bool:
        return self._stopping is not None

    def _happened(self, event: Event, now: float) -> None:
        match event:
            case Begun():
                self._begin(event.listen, now)
            case Ticked():
                self._ticked(now)
            case Spawned():
                self._spawned(event)
            case Exited():
                process = self._books.current(event.process, event.incarnation)
                if process is not None and process.alive:
                    self._ended(process, event.status, event.tail, now)
            case HandlerImported():
                zygote = self._books.current(event.process, event.incarnation)
                if zygote is not None and zygote.state is S.STARTING:
                    self._became_ready(zygote, now)
            case HandlerFailed():
                self._handler_failed(event)
            case Subscribed():
                self._subscribed(event.process, now)
            case Probed():
                self._probed(event, now)
            case Asked():
                self._asked(event, now)
            case Heard():
                self._heard(event.envelope, now)
            case _:
                assert_never(event)

    def _begin(self, listen: str, now: float) -> None:
        self._begun = True
        self._moved = True
        self._listen = listen
        self._began_at = self._myself.began_at = now
        self._beat_at = now + BEAT_S
        self._tell("starting", self._name, f"starting, listening on {listen}")

    # --- wanted and actual --------------------------------------------------------------------------------------------

    def _wanted(self) -> plan.Wanted:
        whole = plan.full(self._config, self._books.targets)
        return whole if self._stopping is None else self._stopping.wanted(whole)

    def _settle(self, now: float) -> None:
        while self._moved and not self._left:
            self._moved = False
            # The stop comes last: whoever waits for the same deaths is answered before the supervisor leaves.
            for operation in sorted(self._operations, key=lambda operation: operation is self._stopping):
                self._take_turn(operation, operation.advance(self._books.processes, now), now)
            for step in plan.reconcile(self._wanted(), self._books.seen(now), now):
                self._apply(step, now)
            self._fork_what_waits(now)
            self._fail_what_waits_in_vain(now)
            self._judge(now)
        self._deadline = self._earliest()
        self.is_calm = not self._operations and all(p.state is S.RUNNING for p in self._books.processes.values())

    def _apply(self, step: Step, now: float) -> None:
        self._moved = True
        if isinstance(step, Start):
            process = self._books.processes.get(step.id)
            if process is None:
                process = self._books.processes[step.id] = Process(step.id, step.kind, step.pool, step.number)
            self._start(process, now)
            return
        process = self._books.processes[step.id]
        match step:
            case Retire():
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
                self._force(process)
            case Forget():
                if process.state in (S.BACKOFF, S.FAILED):
                    process.change(Change.NOT_WANTED)
                del self._books.processes[step.id]
                if process.kind is Kind.WORKER:
                    self._out += self._books.drains[process.pool].forget(process.id, now)
            case _:
                assert_never(step)

    def _start(self, process: Process, now: float) -> None:
        self._incarnation += 1
        change = Change.RETRY_DUE if process.state is S.BACKOFF else Change.START_ASKED
        process.begin(self._incarnation, now, change)
        if process.kind is Kind.WORKER and self._config.pools[process.pool].spawn == "fork":
            return
        process.asked_for = True
        process.deadline = now + self._start_timeout_s(process)
        self._out.append(Exec(process.id, process.kind, process.pool, process.incarnation))

    def _start_timeout_s(self, process: Process) -> float:
        return self._config.pools[process.pool].start_timeout if process.pool else START_TIMEOUT_S

    def _fork_what_waits(self, now: float) -> None:
        for pool in self._config.pools:
            zygote = self._books.processes.get(zygote_id(pool))
            if zygote is None or zygote.state is not S.RUNNING:
                continue
            waiting = [process for process in self._unborn(pool) if not process.asked_for]
            for process in waiting:
                process.asked_for = True
                process.deadline = now + self._start_timeout_s(process)
            if waiting:
                self._out.append(Fork(pool, tuple(process.birthright for process in waiting)))

    def _unborn(self, pool: str) -> list[Process]:
        """Workers of a forking pool that have no pid yet."""
        if self._config.pools[pool].spawn != "fork":
            return []
        return [
            p
            for p in self._books.processes.values()
            if p.kind is Kind.WORKER and p.pool == pool and p.alive and not p.pid
        ]

    def _fail_what_waits_in_vain(self, now: float) -> None:
        for pool in self._config.pools:
            zygote = self._books.processes.get(zygote_id(pool))
            if zygote is None or zygote.state is not S.FAILED:
                continue
            for process in self._unborn(pool):
                if process.state is S.STARTING:
                    process.change(Change.ENDED)
                    process.change(Change.RETRIES_SPENT)
                    process.deadline = None
                    process.cause = f"its handler cannot be imported: {zygote.cause}"
                    self._moved = True

    def _revive_zygote(self, worker: Process, now: float) -> None:
        zygote = self._books.processes.get(zygote_id(worker.pool))
        if zygote is not None and zygote.state in (S.BACKOFF, S.FAILED):
            zygote.crashes.clear()
            self._start(zygote, now)

    def _retire(self, process: Process, now: float) -> None:
        if process.state in LEAVING:
            return
        was = process.state
        process.change(Change.RETIRE_ASKED)
        process.deadline = now + NUDGE_S
        process.retire_command = self._next_command()
        if process.kind is Kind.ZYGOTE:
            self._out.append(CloseZygote(process.id, process.incarnation))
        elif not process.asked_for:
            self._ended(process, 0, (), now)
        elif was is S.STARTING:
            self._signal(process, signal.SIGTERM)
        else:
            timeout_s = self._drain_s(now) if process.kind is Kind.SERVER else None
            self._out.append(Broadcast(process_topic(process.id), RetireCommand(process.retire_command, timeout_s)))

    def _drain_s(self, now: float) -> float:
        if self._stopping is None:
            return self._config.supervisor.stop_timeout
        return max(0.0, self._stopping.deadline - now)

    def _force(self, process: Process) -> None:
        if not process.alive:
            return
        if process.state is not S.STOPPING:
            process.change(Change.KILL_ASKED)
        process.forced = True
        process.deadline = None
        if process.asked_for:
            self._signal(process, signal.SIGKILL)
        else:
            self._ended(process, -signal.SIGKILL, (), self._now)

    def _signal(self, process: Process, number: int) -> None:
        """A process that is not born yet gets it when it is (`_spawned`)."""
        if process.pid:
            self._out.append(Signal(process.id, process.incarnation, number))

    # --- what happens to processes ------------------------------------------------------------------------------------

    def _spawned(self, event: Spawned) -> None:
        process = self._books.current(event.process, event.incarnation)
        if process is None or not process.alive:
            self._out.append(SignalStray(event.pid))
            return
        process.pid = event.pid
        if process.forced:
            self._signal(process, signal.SIGKILL)
        elif process.state in LEAVING:
            self._signal(process, signal.SIGTERM)

    def _subscribed(self, name: str, now: float) -> None:
        process = self._books.processes.get(name)
        if process is None or process.state is not S.STARTING:
            return
        process.hello_at = now + HELLO_S
        self._deadline = process.hello_at if self._deadline is None else min(self._deadline, process.hello_at)
        self._out.append(Broadcast(process_topic(name), Hello()))

    def _became_ready(self, process: Process, now: float) -> None:
        process.change(Change.BECAME_READY)
        process.ready_at = process.heard_at = now
        process.deadline = process.hello_at = None
        self._moved = True
        if process.kind is Kind.PROXY:
            self._proxy_is_ready(process, now)
        if process.kind is Kind.WORKER:
            self._out += self._books.drains[process.pool].worker_is_ready(process.id, now)
        if process.kind is Kind.SERVER:
            self._told_readiness = None
        if process.kind is Kind.ZYGOTE:
            process.cause = ""
        if process.crashed:
            process.crashed = False
            self._tell("ready", process.id, f"{process.id} is back")

    def _proxy_is_ready(self, proxy: Process, now: float) -> None:
        """What it must know before it deals, then to all that it is there."""
        if proxy.restarts:
            served = [
                (worker.id, worker.incarnation) for worker in self._books.workers(proxy.pool) if worker.state in READY
            ]
            self._out.append(Broadcast(process_topic(proxy.id), Roster(served)))
        self._out += self._books.drains[proxy.pool].proxy_is_ready(now)
        self._out.append(Broadcast(ALL, ProcessReady(proxy.id, proxy.incarnation)))

    def _put_down(self, process: Process, cause: str) -> None:
        """SIGKILL to what will not go on by itself. It did not crash: it is replaced at once, nothing is counted."""
        self._moved = True
        process.doom = cause
        self._force(process)

    def _ended(self, process: Process, status: int | None, tail: tuple[str, ...], now: float) -> None:
        self._say_gone(process)
        self._moved = True
        ready_s = None if process.ready_at is None else now - process.ready_at
        expected, killed = process.state in LEAVING, process.state is S.STOPPING
        timed_out = process.timed_out
        process.change(Change.ENDED)
        process.deadline = process.hello_at = None
        if process.kind is Kind.ZYGOTE:
            self._zygote_gone(process, now)
        if expected:
            if killed:
                process.cause = process.doom or "KILL"
            elif status not in (0, None):
                process.cause = cause_of(status, tail)
            return
        if timed_out:
            process.cause = f"not READY within {self._start_timeout_s(process):g} s"
        elif not (process.kind is Kind.ZYGOTE and process.cause and status == 1):
            # A zygote whose handler failed has given its own cause, better than its exit status.
            process.cause = cause_of(status, tail)
        if self._state is ClusterState.STARTING:
            self._fail_start(process, tail)
        if self._failure is not None:
            process.deadline = now
            return
        self._back_off(process, was_killed_from_outside(status, ready_s), now)

    def _back_off(self, process: Process, counts_not: bool, now: float) -> None:
        policy = self._config.supervisor
        process.crashed = True
        crashes = 1 if counts_not else process.crashes.add(now, policy)
        if not counts_not and is_spent(crashes, policy):
            process.change(Change.RETRIES_SPENT)
            self._tell("failed", process.id, f"{process.id} failed after {crashes} crashes: {process.cause}")
            return
        wait_s = backoff_s(crashes, policy, self._jitter())
        process.deadline = now + wait_s
        when = f"starts again in {wait_s:.1f} s" if wait_s else "starts again at once"
        self._tell("crashed", process.id, f"{process.id} ended: {process.cause}; {when}")

    def _say_gone(self, process: Process) -> None:
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
                self._server_gone(process)
            case Kind.ZYGOTE:
                return
            case _:
                assert_never(process.kind)
        if process.pid:
            self._out += [Broadcast(topic, gone) for topic in topics]

    def _server_gone(self, process: Process) -> None:
        stopping = self._stopping
        if stopping is not None and process.id not in stopping.cancelled:
            stopping.cancelled[process.id] = self._books.front.in_flight(process.id)
        self._books.front.server_gone(process.id)

    def _zygote_gone(self, zygote: Process, now: float) -> None:
        """What it was asked to fork and has not reported is asked of the next one, under a new incarnation, so that a
        worker that did come to be cannot pass for the one that will."""
        for process in self._unborn(zygote.pool):
            if process.state is S.STARTING:
                self._incarnation += 1
                process.incarnation = self._incarnation
                process.asked_for = False
                process.deadline = None
            else:
                self._ended(process, None, (), now)

    def _handler_failed(self, event: HandlerFailed) -> None:
        zygote = self._books.current(event.process, event.incarnation)
        if zygote is None or not zygote.alive:
            return
        lines = tuple(event.traceback.rstrip().splitlines()) or ("no reason was given",)
        zygote.cause = plan.printable(lines[-1])
        if self._state is ClusterState.STARTING:
            handler = self._config.pools[zygote.pool].handler
            self._give_up_start(
                StartFailure(zygote.id, f"pools.{zygote.pool}.handler: {handler} cannot be imported", lines[-20:])
            )

    def _fail_start(self, process: Process, tail: tuple[str, ...]) -> None:
        self._give_up_start(StartFailure(process.id, f"{process.id} did not come up: {process.cause}", tail))

    def _give_up_start(self, failure: StartFailure) -> None:
        self._failure = failure
        self._moved = True
        self._state = ClusterState.FAILED
        self._tell("start_failed", self._name, failure.what)
        self._out.append(CloseListeners())
        self._begin_stop(0.0, "", None)
        for operation in [operation for operation in self._operations if operation is not self._stopping]:
            self._finish(operation, 409, Refusal(f"the cluster does not come up: {failure.what}"))

    # --- reports ------------------------------------------------------------------------------------------------------

    def _heard(self, envelope: ReportEnvelope, now: float) -> None:
        report = envelope.report
        process = self._books.processes.get(envelope.sender)
        if process is None or process.incarnation != envelope.incarnation:
            self._heard_stranger(envelope, process)
            return
        if not is_sound(report):
            self._count("unsound_reports")
            return
        if envelope.sequence > process.sequence + 1 and process.sequence:
            self._count("lost_reports", min(envelope.sequence - process.sequence - 1, 1 << 32))
        process.sequence = envelope.sequence
        process.heard_at = now
        match report:
            case WorkerSample():
                process.jobs, process.busy, process.job_s = report.jobs, report.busy, report.job_s
                process.counters = report.counters
            case ProxySample():
                if process.kind is Kind.PROXY and process.alive:
                    self._heard_proxy(process, report, now)
            case ServerSample():
                self._heard_server(process, report, now)
            case Ready():
                if process.state is S.STARTING:
                    self._became_ready(process, now)
            case WorkerStuck():
                if process.kind is Kind.PROXY:
                    self._stuck(report)
            case Acknowledged():
                self._acknowledged(process, report.command)
            case _:
                assert_never(report)

    def _heard_proxy(self, proxy: Process, sample: ProxySample, now: float) -> None:
        proxy.jobs, proxy.counters = sample.done, sample.counters
        self._books.pools[proxy.pool].add(proxy.incarnation, sample, now)
        self._books.drains[proxy.pool].heard(sample)
        self._moved |= self._is_draining(proxy.pool)

    def _acknowledged(self, process: Process, command: int) -> None:
        if command == process.retire_command and process.state is S.DRAINING:
            process.acknowledged = True
            process.deadline = None
        elif process.kind is Kind.PROXY:
            self._books.drains[process.pool].acknowledged(command)
            self._moved = True

    def _stuck(self, report: WorkerStuck) -> None:
        worker = self._books.current(report.worker, report.incarnation)
        if worker is None or worker.kind is not Kind.WORKER or worker.state not in READY:
            return
        request = plan.printable(report.request)
        text = f"{worker.id} does not let go of request {request}, which is cancelled: killed and replaced"
        self._tell("stuck", worker.id, text)
        self._put_down(worker, f"stuck in the cancelled request {request}")

    def _heard_server(self, process: Process, sample: ServerSample, now: float) -> None:
        if process.kind is not Kind.SERVER:
            return
        process.jobs = sample.requests
        process.counters = sample.counters
        if process.alive:
            self._books.front.add(process.id, process.incarnation, sample, now)
        if sample.draining and self._stopping is not None:
            self._stopping.finished[process.id] = sample.counters.get("finished", 0)
            self._stopping.cancelled[process.id] = sample.counters.get("cancelled", 0)

    def _heard_stranger(self, envelope: ReportEnvelope, process: Process | None) -> None:
        """Word from an earlier life, from nobody we know, or from a worker whose zygote died before it told of it."""
        ours = self._first_incarnation < envelope.incarnation <= self._incarnation
        self._count("stale_reports" if ours else "unknown_senders")
        if process is not None and process.kind is Kind.WORKER and isinstance(envelope.report, Ready):
            self._out.append(SignalStray(envelope.report.pid))

    def _probed(self, event: Probed, now: float) -> None:
        process = self._myself if event.process == SUPERVISOR else self._books.current(event.process, event.incarnation)
        if process is None:
            return
        process.cpu_percent, process.rss_bytes = event.cpu_percent, event.rss_bytes
        if not event.stopped:
            process.stopped_at = None
        elif process.stopped_at is None:
            process.stopped_at = now
        elif now - process.stopped_at >= STOPPED_S and process.alive and process.state is not S.STOPPING:
            for_s = now - process.stopped_at
            text = f"{process.id} was stopped (SIGSTOP) and nobody let it go on for {for_s:.1f} s: killed and replaced"
            self._tell("suspended", process.id, text)
            self._put_down(process, f"stopped for {for_s:.1f} s")

    def _is_draining(self, pool: str) -> bool:
        """Whether somebody waits for a drain in this pool."""
        return any(isinstance(operation, Draining) and operation.pool == pool for operation in self._operations)

    def _count(self, name: str, by: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + by

    # --- time ---------------------------------------------------------------------------------------------------------

    def _ticked(self, now: float) -> None:
        self._moved = True
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
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            self._told_readiness = None
            self._look_for_silence(now)
            self._tell_of_dead_letters()
        for drain in self._books.drains.values():
            self._out += drain.tell_again(now)

    def _greet_again(self, process: Process, now: float) -> None:
        if process.state is not S.STARTING:
            process.hello_at = None
            return
        process.hello_at = now + HELLO_S
        self._out.append(Broadcast(process_topic(process.id), Hello()))

    def _overdue(self, process: Process, now: float) -> None:
        if process.pid:
            self._signal(process, signal.SIGKILL)
            process.forced = True
            return
        if process.kind is Kind.WORKER:
            # Its zygote has been asked and says nothing: it hangs, and everybody else waits for it too.
            zygote = self._books.processes.get(zygote_id(process.pool))
            if zygote is not None and zygote.pid:
                self._signal(zygote, signal.SIGKILL)
                return
        self._ended(process, None, (), now)

    def _look_for_silence(self, now: float) -> None:
        for process in self._books.processes.values():
            if process.state is not S.RUNNING or process.kind is Kind.ZYGOTE:
                continue
            health = liveness(now - process.heard_at)
            if health is process.liveness:
                continue
            if health is Liveness.HEALTHY:
                self._tell("heard", process.id, f"{process.id} is heard again")
            else:
                self._tell("silent", process.id, f"{process.id} has not been heard for {now - process.heard_at:.0f} s")
            process.liveness = health

    def _tell_of_dead_letters(self) -> None:
        count = self._books.front.dead_letters - self._told_dead_letters
        if count > 0:
            self._told_dead_letters += count
            what = "1 request could" if count == 1 else f"{count} requests could"
            text = f"{what} not be answered; kept in {self._dead_letters_file}"
            self._tell("dead_letter", self._name, text)

    def _earliest(self) -> float | None:
        processes = self._books.processes.values()
        waiting: list[float | None] = [process.deadline for process in processes]
        waiting += [process.hello_at for process in processes]
        waiting += [drain.next_deadline() for drain in self._books.drains.values()]
        waiting += [operation.next_deadline() for operation in self._operations]
        return min((deadline for deadline in waiting if deadline is not None), default=None)

    # --- the state of the whole ---------------------------------------------------------------------------------------

    def _judge(self, now: float) -> None:
        """Has it come up; what is it waiting for; may clients come."""
        if self._state is ClusterState.STARTING:
            waiting = [process for process in self._books.processes.values() if process.state is not S.RUNNING]
            if not waiting and not self._moved:
                self._state = ClusterState.RUNNING
                self._show("")
                self._tell("running", self._name, f"running, {now - self._began_at:.2f} s after its start")
                self._out.append(CameUp())
            elif waiting:
                self._show(picture.waiting_for(waiting, self._books))
        readiness = picture.readiness(self._books, self._state)
        if readiness != self._told_readiness:
            self._told_readiness = readiness
            self._out.append(Broadcast(role_topic(Kind.SERVER), readiness))

    def _show(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            self._out.append(ShowProgress(text))

    def _tell(self, kind: str, subject: str, text: str, operator: str = "") -> None:
        self._out.append(Tell(kind, subject, text, operator))

    def _next_command(self) -> int:
        self._command += 1
        return self._command

    # --- orders -------------------------------------------------------------------------------------------------------

    def _asked(self, event: Asked, now: float) -> None:
        order = event.order
        refusal = self._impossible(order)
        if refusal is not None:
            self._refuse(event, *refusal)
            return
        self._moved = True
        if isinstance(order, Stop):
            self._stop(event, order, now)
            return
        accepted = orders.accept(order, event, self._books, self._next_command, now)
        if isinstance(accepted, orders.Refused):
            self._refuse(event, *accepted)
            return
        self._out += accepted.actions
        for operation in list(self._operations):
            self._overtake(operation, accepted.operation)
        self._operations.append(accepted.operation)
        for step in accepted.steps:
            self._apply(step, now)

    def _overtake(self, older: Operation, newer: Operation) -> None:
        if isinstance(older, Scaling) and isinstance(newer, Scaling) and older.pool == newer.pool:
            result = older.overtaken(newer.target)
            self._finish(older, result.status, result.body)

    def _impossible(self, order: Order) -> tuple[int, Refusal] | None:
        if self._left or self._failure is not None:
            return 409, Refusal(f"cluster {self._name} is ending")
        if isinstance(order, Stop):
            return None
        if self._stopping is not None and not isinstance(order, Kill):
            return 409, Refusal(f"cluster {self._name} is stopping", mend="Start it again with `primectl up -d`")
        if len(self._operations) >= OPERATIONS_AT_ONCE:
            return 409, Refusal(f"{OPERATIONS_AT_ONCE} orders are under way already", mend="Wait for some to end")
        return None

    def _refuse(self, event: Asked, status: int, refusal: Refusal) -> None:
        if event.asker is not None:
            self._out.append(Answer(event.asker, status, refusal))
        self._tell("refused", self._name, refusal.what, event.operator)

    def _stop(self, event: Asked, order: Stop, now: float) -> None:
        if self._stopping is not None:
            self._stopping.hasten(now, order.timeout_s, event.asker)
            return
        how = f"within {order.timeout_s:g} s" if order.timeout_s > 0 else "at once"
        self._tell("stopping", self._name, f"stopping {how}", event.operator)
        self._state = ClusterState.STOPPING
        self._out.append(CloseListeners())
        self._begin_stop(order.timeout_s, event.operator, event.asker)
        for operation in [o for o in self._operations if isinstance(o, Scaling | Rolling | Draining | Resuming)]:
            self._finish(operation, 409, Refusal(f"cluster {self._name} is stopping"))

    def _begin_stop(self, timeout_s: float, operator: str, asker: Asker | None) -> None:
        present = sum(process.alive and process.kind is not Kind.ZYGOTE for process in self._books.processes.values())
        self._stopping = Stopping(self._name, present, self._now, timeout_s, operator, asker, self._next_command)
        self._operations.append(self._stopping)

    def _take_turn(self, operation: Operation, turn: Turn, now: float) -> None:
        self._out += turn.actions
        for step in turn.steps:
            self._apply(step, now)
        if turn.result is not None:
            self._finish(operation, turn.result.status, turn.result.body)
        elif turn.progress is not None and turn.progress != self._progress.get(id(operation)):
            self._progress[id(operation)] = turn.progress
            self._out += [Answer(asker, 102, turn.progress) for asker in operation.askers]
            if operation is self._stopping:
                self._show(turn.progress.text)

    def _finish(self, operation: Operation, status: int, body: Outcome) -> None:
        self._operations.remove(operation)
        self._progress.pop(id(operation), None)
        self._moved = True
        self._out += [Answer(asker, status, body) for asker in operation.askers]
        kind, subject, text = in_words(body)
        if isinstance(body, Stopped):
            self._left = True
            if self._failure is None:
                self._tell(kind, self._name, text, operation.operator)
            self._out.append(Leave(body if self._failure is None else self._failure))
        else:
            self._tell(kind, subject or self._name, text, operation.operator)

    # --- what operators see -------------------------------------------------------------------------------------------

    def snapshot(self) -> ClusterSnapshot:
        """As of the last event; `time` and the shells' counters are filled in by the shell."""
        now = self._now
        return ClusterSnapshot(
            cluster=self._name,
            state=self._state,
            uptime_s=now - self._began_at if self._begun else 0.0,
            config=self._config_path,
            pools=picture.pools(self._books, now),
            processes=[picture.supervisor(self._myself, now), *picture.processes(self._books, now)],
            front=self._books.front.snapshot(self._listen, now),
            progress=self._shown,
            counters=dict(self.counters),
        )
