"""§ The one loop: gather what happened, ask the core, perform what it says.

Children outlive this process when it fails: an error here is logged and ends the supervisor, never the cluster.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, assert_never

import msgspec
import setproctitle
import uvloop
from msgspec import structs

from primectl.clock import Clock, SystemClock
from primectl.config.model import Config, ServerConfig
from primectl.config.topology import ClusterFile, Place
from primectl.control.child import log_limits
from primectl.control.client import operator_name
from primectl.control.log import ProcessLog
from primectl.errors import ConfigError, StartFailed
from primectl.wire import frames
from primectl.wire.control import (
    ALL,
    Refusal,
    ReloadOrder,
    Reopen,
    ReopenOrder,
    Reply,
    Request,
    Stop,
    Stopped,
    process_topic,
)
from primectl.wire.stats import STATE, ClusterSnapshot, EventPublished, ReportEnvelope, SnapshotPublished
from supervisor import adopt, api, kernel, runtime, sharing
from supervisor.arrival import OURSELVES, Arrival
from supervisor.channel import EVENTS, LOGS, SNAPSHOTS, Channel
from supervisor.cluster import Cluster
from supervisor.doors import Doors
from supervisor.eventlog import EventLog
from supervisor.events import (
    SUPERVISOR,
    Action,
    Answer,
    ApplyOrder,
    Asked,
    Asker,
    Begun,
    BindListeners,
    Broadcast,
    CameUp,
    CloseFormerListeners,
    CloseListeners,
    CloseZygote,
    ConfigNotWritten,
    DropListeners,
    EssentialFailure,
    Event,
    Exec,
    Exited,
    Fork,
    Heard,
    KeepListeners,
    Kind,
    Leave,
    ListenersBound,
    ListenersRefused,
    Look,
    Order,
    RemovePool,
    ReopenLog,
    ShowProgress,
    Signal,
    SignalStray,
    Spawned,
    StartFailure,
    Subscribed,
    TakeDump,
    Tell,
    Ticked,
    UseListeners,
    WriteConfig,
)
from supervisor.examine import Examiner
from supervisor.handon import JournalLink
from supervisor.hangup import Meaning, Terminal
from supervisor.keeping import Keeping
from supervisor.lastcall import LastCall
from supervisor.lending import Lending
from supervisor.listen import Listeners
from supervisor.logkeeper import LogKeeper
from supervisor.logtail import LogTail
from supervisor.notify import Notify
from supervisor.probe import Probe
from supervisor.questions import Questions
from supervisor.recording import JOURNAL
from supervisor.reload import RELOAD_FAILED
from supervisor.spawn import PROGRAMS, Programs, Spawner
from supervisor.stackfile import StackFiles
from supervisor.statefile import State
from supervisor.watch import Watch
from supervisor.zygotes import Zygotes

ROUND_S = 0.25
"""How often the feed goes out, and some of the processes are looked at."""
HOUSEKEEPING_ROUNDS = 4
BETWEEN_SNAPSHOTS_S = 0.05
"""At least, however many consoles come at once."""
LAST_WAIT_S = 1.0
"""For children that even SIGKILL does not end at once."""
EVENTS_A_TURN = 1000
ALARMING = frozenset(
    {"crashed", "fatal", "silent", "start_failed", "stuck", "suspended", "unresponsive", "dead_letter"}
)
"""Events that the log has as warnings."""
FAULT = 70
"""Exit status of a supervisor that failed itself (EX_SOFTWARE of sysexits.h)."""


class ClusterFailed(StartFailed):
    """Everything was ended; `detail` has the last lines of the log of the process whose fault it was."""

    def __init__(self, what: str, where: str, mend: str, detail: tuple[str, ...]) -> None:
        super().__init__(what, where, mend)
        self.detail = detail


class ClusterDidNotStart(ClusterFailed):
    """Before it was up."""


class EssentialFailed(ClusterFailed):
    """What it cannot do without has failed, so it was stopped cleanly."""


class Hooks(msgspec.Struct, frozen=True):
    """What the one who starts a supervisor wants to know of it."""

    on_progress: Callable[[str], None]
    on_ready: Callable[[ClusterSnapshot, CameUp], None]
    report: Callable[[Stopped], None]


def serve(
    config: Config,
    place: Place,
    config_path: str,
    import_path: str,
    *,
    on_progress: Callable[[str], None] = lambda _: None,
    on_ready: Callable[[ClusterSnapshot, CameUp], None] = lambda _, __: None,
    report: Callable[[Stopped], None] = lambda _: None,
    capture: bool = False,
    programs: Programs = PROGRAMS,
    watch: bool = False,
) -> int:
    """Run a cluster until it is stopped; 0 when cleanly. Blocking, for the main thread of a process.

    SIGINT or SIGTERM once stop it cleanly, twice at once; so does the end of its terminal, while a SIGHUP that somebody
    sends reloads all pools, as with `watch` a change of their handlers' files does. Raises CommandRefused when it runs
    already, ConfigError and StartFailed when it cannot start, EssentialFailed when it has ended itself; nothing is left
    then. `capture` makes the supervisor's log the process's stdout and stderr too; `programs` is what to run for each
    kind of process.
    """
    cluster = ClusterFile(place, config, config_path, import_path)
    clock = SystemClock()
    sharing.group_for(place, config)  # refused before anything is made
    runtime.prepare_folders(place)
    lock = runtime.Lock(place)
    log = ProcessLog(place.log_file("supervisor"), log_limits(config.supervisor), capture=capture)
    setproctitle.setproctitle(f"primectl: {config.cluster.name}/supervisor")
    clean = False
    try:
        estate = _take_over(place, config, log, clock)
        wanted, cluster = cluster, cluster if estate is None or estate.cluster is None else estate.cluster
        try:
            doors = Doors(_listeners(cluster.config.server, estate))
        except (ConfigError, StartFailed) as error:
            log.error(str(error))
            clean = estate is None
            raise
        kernel.become_subreaper()
        sharing.settle_folders(cluster)
        if estate is None:
            runtime.write_cluster_file(cluster)
        hooks = Hooks(on_progress, on_ready, report)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            supervisor = Supervisor(
                cluster, doors, log, clock, runner.get_loop(), hooks, programs, estate, watch, _changed(cluster, wanted)
            )
            try:
                outcome = runner.run(supervisor.run())
            except Exception:
                log.error("the supervisor failed; its processes go on", traceback.format_exc())
                return FAULT
        doors.remove()
        clean = True
        if isinstance(outcome, StartFailure):
            mend = f"`primectl logs {outcome.process}` or {place.log_file(outcome.process)} tells more"
            raise ClusterDidNotStart(outcome.what, "", mend, outcome.detail)
        if isinstance(outcome, EssentialFailure):
            log.error(f"the cluster has ended: {outcome.what}", "\n".join(outcome.detail))
            mend = f"`primectl logs {outcome.process}` tells more"
            raise EssentialFailed(outcome.what, "", mend, outcome.detail)
        report(outcome)
        return 0
    finally:
        if clean:
            runtime.remove_files(place, lock)
        else:
            lock.release()


def _take_over(place: Place, config: Config, log: ProcessLog, clock: Clock) -> adopt.Estate | None:
    """What an earlier supervisor has left, if the cluster goes on with it; what it shall not go on with is ended."""
    estate = adopt.Estate(place)
    if not estate.alive:
        return None
    if config.supervisor.orphans == "adopt" and estate.cluster is not None:
        return estate
    with estate:
        log.warn(f"ended what an earlier supervisor had left running: {', '.join(estate.end(clock))}")
    return None


def _changed(running: ClusterFile, wanted: ClusterFile) -> Order | None:
    """The order to take another config than the one that a cluster runs, whose operators' sizes stay."""
    if (running.config, running.import_path) == (wanted.config, wanted.import_path):
        return None
    return ApplyOrder(wanted.config, wanted.config_path, wanted.import_path, keep_sizes=True)


def _listeners(server: ServerConfig, estate: adopt.Estate | None) -> Listeners:
    """Bound, unless servers that live have them. Where none does, they are bound where clients have known them."""
    if estate is None:
        return Listeners(server.listen, server.processes)
    found = Listeners(estate.state.listen or server.listen, server.processes, bound=estate.has_server)
    found.listen = server.listen
    return found


def _first_incarnation(clock: Clock, estate: adopt.Estate | None) -> int:
    """Above all earlier ones: the wall clock grows, in milliseconds, which leaves room for what we count up. Should it
    have been set back, those that run tell how far it had been."""
    known = [entry.incarnation for entry in estate.state.processes] if estate is not None else []
    return max(int(clock.wall() * 1000), *known, 0)


class Supervisor:
    """The shells around one `Cluster`, and the loop that joins them."""

    def __init__(
        self,
        cluster: ClusterFile,
        doors: Doors,
        log: ProcessLog,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        hooks: Hooks,
        programs: Programs,
        estate: adopt.Estate | None,
        watch: bool,
        then: Order | None,
    ) -> None:
        """`estate` is what an earlier supervisor has left and this one takes over, `then` the order that is carried out
        once that is done."""
        self._place = cluster.place
        self._doors = doors
        self._log = log
        self._clock = clock
        self._loop = loop
        self._hooks = hooks
        self._inbox: deque[Event] = deque()
        self._awake = asyncio.Event()
        self._outcome: Stopped | StartFailure | EssentialFailure | None = None
        self._fault: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rounds = 0
        self._estate = estate
        with ExitStack() as opened:
            self._eventlog = EventLog(self._place.events_file)
            opened.callback(self._eventlog.close)
            self._channel = Channel(
                loop,
                self._place,
                log,
                clock,
                on_report=self._on_report,
                on_listener=lambda process: self._emit(Subscribed(process)),
                on_request=self._on_request,
                on_feed=self._on_feed,
            )
            opened.callback(self._channel.close)
            if watch:
                watched = Watch(loop, cluster, self._on_files, self._on_watch_failure)
                opened.callback(watched.close)
                log.info(f"watches {', '.join(watched.folders)}: changed code is reloaded")
            self._closing = opened.pop_all()
        self._spawner = Spawner(loop, cluster, doors, self._emit, programs, kernel.raise_open_files(), log)
        self._zygotes = Zygotes(loop, self._spawner, self._place.log_file, self._emit, log)
        self._stack_files = StackFiles(loop, self._place, self._spawner, self._emit)
        self._examiner = Examiner(self._place, clock)
        self._notify = Notify(os.environ, clock, log)
        self._closing.callback(self._notify.close)
        self._probe = Probe(clock)
        self._logtail = LogTail(self._place)
        self._log_keeper = LogKeeper(self._place, clock, self._have_rotated)
        self._questions = Questions(
            loop, clock, self._place, lambda: self._config.pools, self._snapshot, self._eventlog, self._reply
        )
        self._journal = JournalLink(
            loop,
            self._place,
            recorder=lambda: self._cluster.recorder(),
            reply=self._channel.reply,
            complain=self._channel.complain,
        )
        self._closing.callback(self._journal.close)
        self._snapshot_due = False
        self._snapshot_at = -BETWEEN_SNAPSHOTS_S
        self._listened_to: set[bytes] = set()
        self._last_call: LastCall | None = None
        self._cluster = Cluster(
            cluster.config,
            config_path=cluster.config_path,
            import_path=cluster.import_path,
            dead_letters_file=self._place.dead_letters_file,
            incarnation=_first_incarnation(clock, estate),
            pid=os.getpid(),
            jitter=random.random,  # an operator's luck, no secret
            first_operation=self._eventlog.last_operation + 1,
        )
        self._keeping = Keeping(
            self._place,
            self._cluster,
            self._spawner,
            doors,
            left=State(kernel.boot_id(), [], began=clock.wall()) if estate is None else estate.state,
            on_fault=self._on_state_fault,
        )
        self._arrival = Arrival(
            then,
            order=self._order,
            on_progress=hooks.on_progress,
            on_ready=lambda outcome: hooks.on_ready(self._snapshot(), outcome),
        )
        self._lending = None if estate is None else Lending(loop, self._place, doors, self._emit, log)

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def run(self) -> Stopped | StartFailure | EssentialFailure:
        """Until nothing is left to supervise. Whatever a callback raises is raised here, with the children alive."""
        self._loop.set_exception_handler(self._on_fault)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._on_signal, signal.Signals(number))
        # As PID 1 of a container all orphans are ours, not only those of our processes: they come by hundreds. Not by
        # the loop, which keeps this signal for children of its own kind.
        signal.signal(signal.SIGCHLD, lambda *_: self._loop.call_soon_threadsafe(self._reap))
        self._loop.add_signal_handler(
            signal.SIGUSR1, lambda: self._emit(Asked(ReopenOrder(), "SIGUSR1", at=self._clock.wall()))
        )
        self._loop.add_signal_handler(signal.SIGHUP, self._on_sighup, Terminal())
        self._probe.add(SUPERVISOR, 0, os.getpid())
        self._go_round()
        # Before all that has come already: what is said of processes means nothing to who does not know them.
        self._inbox.appendleft(self._begin())
        self._awake.set()
        try:
            while self._outcome is None:
                await self._awake.wait()
                self._awake.clear()
                if self._fault is not None:
                    raise self._fault
                self._turn()
            self._end_what_is_left()
            if self._last_call is not None:
                await self._last_call.over
            return self._outcome
        finally:
            self._close()

    def _turn(self) -> None:
        """Gather, ask, perform."""
        events = [self._inbox.popleft() for _ in range(min(len(self._inbox), EVENTS_A_TURN))]
        self._ask(*events)
        if self._inbox:
            self._awake.set()
        deadline = self._cluster.next_deadline()
        if deadline is not None and self._clock.monotonic() >= deadline:
            self._ask(Ticked())
            deadline = self._cluster.next_deadline()
        self._channel.be_calm(self._cluster.is_calm)
        self._keeping.keep_processes()
        if self._notify.wanted:
            self._notify.tell(self._cluster.standing())
        self._wake_at(deadline)

    def _begin(self) -> Event:
        """A cluster of our own, or one that runs already."""
        if self._estate is None:
            return Begun(self._doors.url)
        event = adopt.took_over(self._estate, self._doors.url, self._clock)
        for survivor in self._estate.hand_over():
            self._spawner.adopt(survivor)
            self._probe.add(survivor.entry.id, survivor.entry.incarnation, survivor.entry.pid)
        return event

    def _on_state_fault(self, text: str) -> None:
        if not self._channel.counters.get("state_not_written"):
            self._log.error(text)
        self._channel.count("state_not_written")

    def _ask(self, *events: Event) -> None:
        for event in events:
            self._bookkeeping(event)
        actions = self._cluster.handle_all(events, self._clock.monotonic())
        self._keeping.keep_orders()
        # What is only written down comes last: the deaths of 64 workers are with their proxy before one is logged.
        for action in sorted(actions, key=lambda action: isinstance(action, Tell)):
            self._perform(action)
        self._publish_events()

    def _emit(self, event: Event) -> None:
        if isinstance(event, Exited):
            # What it said last is read first: a server's final count, the births that a zygote has told.
            self._channel.drain_reports()
            self._zygotes.hear_out(event.process, event.incarnation)
            if self._lending is not None:
                self._lending.receive()
        self._inbox.append(event)
        self._awake.set()

    def _wake_at(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            wait_s = max(0.0, deadline - self._clock.monotonic())
            self._timer = self._loop.call_later(wait_s, self._awake.set)

    def _go_round(self) -> None:
        """All that is done regularly, in one wake-up: with 64 idle workers, waking up is most of what we cost."""
        self._loop.call_later(ROUND_S, self._go_round)
        self._rounds += 1
        self._channel.look_in()
        self._look()
        self._feed()
        self._notify.be_heard()
        if self._rounds % HOUSEKEEPING_ROUNDS == 0:
            self._keep_house()

    def _bookkeeping(self, event: Event) -> None:
        if isinstance(event, Spawned):
            self._probe.add(event.process, event.incarnation, event.pid)
        elif isinstance(event, Exited):
            self._probe.remove(event.process, event.incarnation)
            self._journal.ended(event.process, event.incarnation)
            self._reap()

    def _perform(self, action: Action) -> None:
        match action:
            case Broadcast():
                self._channel.broadcast(action.topic, action.command)
            case Exec():
                (self._zygotes.exec if action.kind is Kind.ZYGOTE else self._spawner.exec)(action)
            case Fork():
                self._zygotes.fork(action)
            case Signal():
                self._spawner.signal(action.process, action.incarnation, action.number)
            case SignalStray():
                if self._spawner.kill_stray(action.pid, action.process):
                    self._log.warn(f"ended process {action.pid}, which went by {action.process} and was in no book")
            case Look():
                self._look_closer(action)
            case TakeDump():
                self._stack_files.take(action)
            case ReopenLog():
                self._reopen(action)
            case CloseZygote():
                self._zygotes.close(action)
            case CloseListeners():
                self._doors.close_others()
                self._last_call = LastCall(self._loop, self._doors.listeners, action.unserved)
            case BindListeners():
                self._emit(self._bound(action))
            case UseListeners():
                self._doors.use()
            case DropListeners():
                self._doors.drop()
            case CloseFormerListeners():
                self._doors.close_former()
            case KeepListeners():
                self._doors.keep(action.processes)
            case WriteConfig():
                self._write_config(action)
            case RemovePool():
                runtime.remove_pool(self._place, action.pool)
            case Answer() if action.asker == OURSELVES:
                self._arrival.answered(action)
            case Answer():
                self._reply(action.asker, action.status, action.body)
            case Tell():
                self._tell(action)
            case ShowProgress():
                self._hooks.on_progress(action.text)
            case CameUp():
                self._arrival.came_up(action)
            case Leave():
                self._outcome = action.outcome
                self._awake.set()
            case _:
                assert_never(action)

    def _bound(self, order: BindListeners) -> ListenersBound | ListenersRefused:
        try:
            return ListenersBound(self._doors.bind(order.listen, order.processes))
        except (ConfigError, StartFailed) as error:
            return ListenersRefused(Refusal(error.what, error.where, error.mend))

    def _write_config(self, order: WriteConfig) -> None:
        """Where the disk is full the old one stays, for the processes as for us."""
        cluster = ClusterFile(self._place, order.config, order.config_path, order.import_path)
        try:
            sharing.open_folders(cluster)
            runtime.write_cluster_file(cluster)
        except ConfigError as error:
            self._emit(ConfigNotWritten(error.what))
            return
        except OSError as error:
            self._log.error(f"{self._place.cluster_file} cannot be written: {error.strerror}")
            self._emit(ConfigNotWritten(error.strerror or str(error)))
            return
        self._spawner.cluster = cluster
        self._log.configure(log_limits(order.config.supervisor))

    @property
    def _config(self) -> Config:
        """The one that counts."""
        return self._spawner.cluster.config

    def _reopen(self, order: ReopenLog) -> None:
        if order.process != SUPERVISOR:
            self._zygotes.reopen(order)
            return
        self._log.reopen(rotate=order.rotate)
        self._eventlog.reopen()

    def _have_rotated(self, process: str) -> None:
        """All logs together are too large, and this is the largest that is written."""
        self._log.info(f"all logs together are too large: that of {process} is rotated")
        incarnation = self._cluster.present()[process]
        if process == SUPERVISOR or process.startswith("zygote."):
            self._reopen(ReopenLog(process, incarnation, rotate=True))
        else:
            self._channel.broadcast(process_topic(process), Reopen(0, rotate=True))

    def _order(self, order: Order, asker: Asker) -> None:
        """In the name of whoever has started us."""
        self._emit(Asked(order, operator_name(), asker, self._clock.wall()))

    def _tell(self, tell: Tell) -> None:
        self._eventlog.add(self._clock.wall(), tell)
        if tell.kind == STATE:
            return
        by = f" (by {tell.operator})" if tell.operator else ""
        if tell.kind == RELOAD_FAILED:
            self._log.error(f"{tell.text}{by}", "\n".join(tell.lines))
        else:
            alarming = tell.kind in ALARMING or (tell.kind == JOURNAL and tell.cause)
            level = self._log.warn if alarming else self._log.info
            level(f"{tell.text}{by}")

    def _publish_events(self) -> None:
        """A turn's events are one write and one message."""
        events = self._eventlog.flush()
        if events and EVENTS in self._listened_to:
            self._channel.publish(EVENTS, EventPublished(events[0], events[1:]))

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _on_report(self, envelope: ReportEnvelope) -> None:
        self._emit(Heard(envelope))

    def _on_signal(self, number: signal.Signals) -> None:
        """The first stops cleanly, a second kills at once."""
        timeout_s = 0.0 if self._cluster.is_stopping else self._config.supervisor.stop_timeout
        self._log.info(f"{number.name} received")
        self._emit(Asked(Stop(timeout_s), number.name, at=self._clock.wall()))

    def _on_sighup(self, terminal: Terminal) -> None:
        """Bash sends it once more after its terminal has gone, so a stop that is under way is not hastened by it."""
        meaning = terminal.sighup()
        if self._cluster.is_stopping or meaning is Meaning.NOTHING:
            self._log.info("SIGHUP received, nothing to do")
        elif meaning is Meaning.STOP:
            self._log.info("the terminal has gone")
            self._on_signal(signal.SIGHUP)
        else:
            self._log.info("SIGHUP received")
            self._emit(Asked(ReloadOrder(ALL), signal.SIGHUP.name, at=self._clock.wall()))

    def _on_files(self, paths: list[str]) -> None:
        """Files have changed that are watched."""
        code = [path for path in paths if path.endswith(".py")]
        if len(code) < len(paths):
            self._log.warn("the config file has changed: `primectl apply` makes the cluster follow it")
        if code:
            more = f" and {len(code) - 3} more" if len(code) > 3 else ""
            self._log.info(f"changed: {', '.join(map(os.path.basename, code[:3]))}{more}")
            self._emit(Asked(ReloadOrder(ALL), "up --reload", at=self._clock.wall()))

    def _on_watch_failure(self, why: str) -> None:
        self._log.error(f"files are not watched: {why}")

    def _on_request(self, address: bytes, request: Request) -> None:
        asked = api.read(request)
        asker = Asker(address, request.id)
        if isinstance(asked, api.Refused):
            self._channel.count("requests_refused")
            self._reply(asker, asked.status, asked.refusal)
        elif isinstance(asked, ApplyOrder) and asked.dry_run:
            found = self._cluster.dry_run(asked)
            self._reply(asker, 409 if isinstance(found, Refusal) else 200, found)
        elif isinstance(asked, api.JournalQuery):
            self._journal.ask(asker, request, asked)
        elif isinstance(asked, api.Query):
            self._questions.ask(asker, asked)
        else:
            self._emit(Asked(asked, api.operator(request), asker, self._clock.wall()))

    def _reply(self, asker: Asker, status: int, body: msgspec.Struct) -> None:
        self._channel.reply(asker.address, Reply(asker.request, status, frames.raw(body)))

    def _on_feed(self, topic: bytes, listened_to: bool) -> None:
        if not listened_to:
            self._listened_to.discard(topic)
            if topic == LOGS:
                self._logtail.close()
            return
        self._listened_to.add(topic)
        if topic == SNAPSHOTS and not self._snapshot_due:
            # In a turn of its own: the core may not have begun yet. A burst of listeners is one snapshot.
            self._snapshot_due = True
            wait_s = max(0.0, self._snapshot_at + BETWEEN_SNAPSHOTS_S - self._clock.monotonic())
            self._loop.call_later(wait_s, self._publish_snapshot)
        elif topic == LOGS:
            self._logtail.open()

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._fault = context.get("exception") or RuntimeError(context["message"])
        self._awake.set()

    # --- what goes out by itself --------------------------------------------------------------------------------------

    def _snapshot(self) -> ClusterSnapshot:
        self._ask(Ticked())
        snapshot = self._cluster.snapshot()
        counters = {
            **snapshot.counters,
            **self._channel.counters,
            "zygote_malformed": self._zygotes.malformed,
            "log_lines_dropped": self._log.dropped,
            "logs_removed": self._log_keeper.removed,
            "logs_emptied": self._log_keeper.emptied,
            "events_dropped": self._eventlog.dropped,
        }
        counters = {name: count for name, count in counters.items() if count}
        return structs.replace(snapshot, time=self._clock.wall(), counters=counters)

    def _publish_snapshot(self) -> None:
        self._snapshot_due = False
        self._snapshot_at = self._clock.monotonic()
        self._channel.publish(SNAPSHOTS, SnapshotPublished(self._snapshot()))

    def _feed(self) -> None:
        if SNAPSHOTS in self._listened_to:
            self._publish_snapshot()
        if LOGS in self._listened_to and (lines := self._logtail.read()) is not None:
            self._channel.publish(LOGS, lines)

    def _look_closer(self, order: Look) -> None:
        found = self._spawner.find(order.process, order.incarnation)
        if found is not None:
            self._emit(self._examiner.look(order, found.pid, is_worker=found.kind is Kind.WORKER))

    def _look(self) -> None:
        for probed in self._probe.turn():
            self._emit(probed)

    def _keep_house(self) -> None:
        self._spawner.look_for_oom_kills()
        self._log.tend()
        self._log_keeper.look(self._config.supervisor, self._cluster.present())
        self._reap()

    def _reap(self) -> None:
        if not self._zygotes.are_forking:
            self._spawner.reap_strays()

    # --- the end ------------------------------------------------------------------------------------------------------

    def _end_what_is_left(self) -> None:
        self._zygotes.close_all()
        self._spawner.end_adopted(LAST_WAIT_S)
        self._spawner.close()
        if ended := kernel.end_descendants(LAST_WAIT_S):
            self._log.warn(f"ended {ended} processes that handlers had left behind")

    def _close(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if self._timer is not None:
            self._timer.cancel()
        self._logtail.close()
        self._zygotes.close_all()
        self._spawner.close()
        if self._lending is not None:
            self._lending.close()
        self._closing.close()
        self._doors.close()
