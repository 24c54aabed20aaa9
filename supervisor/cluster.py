"""The whole cluster, as a core: events in, actions out.

How to think about it: `plan.reconcile` says which processes should start or leave, operations say it on an operator's
behalf, and both do so as steps. `lives` is the one place where a step moves a process, and where one is found to be
gone; `hearing` takes in what is reported and seen. After every event that moves anything, `_settle` asks plan and
operations again until nobody wants more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from msgspec import structs

from primectl.config.model import Config
from primectl.wire.control import (
    Applied,
    DumpOrder,
    Kill,
    Refusal,
    ReopenOrder,
    Stop,
    Stopped,
    role_topic,
)
from primectl.wire.stats import (
    ClusterSnapshot,
    ClusterState,
)
from supervisor import changes, orders, picture, plan, recycling
from supervisor.adoption import Adoption
from supervisor.applying import planned
from supervisor.books import Books
from supervisor.desk import WAITERS_AT_ONCE, Entry, numbered
from supervisor.essential import lost
from supervisor.events import (
    Action,
    Answer,
    ApplyOrder,
    Asked,
    Begun,
    Broadcast,
    CameUp,
    ConfigNotWritten,
    DumpTaken,
    EssentialFailure,
    Event,
    Exited,
    HandlerFailed,
    HandlerImported,
    Heard,
    Kind,
    Leave,
    Lent,
    ListenersBound,
    ListenersRefused,
    Looked,
    Order,
    Probed,
    ShowProgress,
    Spawned,
    StartFailure,
    Subscribed,
    Tell,
    Ticked,
    TookOver,
)
from supervisor.hearing import Hearing
from supervisor.lifecycle import ProcessState as S
from supervisor.lives import Lives
from supervisor.memory import Memory
from supervisor.operations import Killing, Result, Turn
from supervisor.output import Output
from supervisor.process import Process
from supervisor.recording import Recording
from supervisor.standing import Standing, standing
from supervisor.stopping import Stopping

BEAT_S = 1.0
"""How often servers are told whether the cluster is ready, and silence is looked for."""
ROUTINE = (Ticked, Heard, Probed, Looked)
"""Events that come all the time, and by themselves change nothing that the next supervisor must know."""
AT_REST = (S.RUNNING, S.BACKOFF, S.FAILED)


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
        first_operation: int = 1,
        import_path: str = "",
    ) -> None:
        """`incarnation` is above that of every earlier supervisor of the cluster, and so is `first_operation`, which
        numbers the first order; `jitter` gives numbers of 0 to 1."""
        self._name = config.cluster.name
        self._out = Output()
        self._books = Books(config, pid, self._out.next_command, first_operation, config_path, import_path)
        self._recording = Recording(self._books, self._out)
        self._adoption = Adoption(self._books, self._out, self._recording)
        self._lives = Lives(
            self._books,
            self._out,
            self._adoption,
            incarnation=incarnation,
            jitter=jitter,
            on_start_failure=self._give_up_start,
        )
        self._hearing = Hearing(self._books, self._out, self._adoption, self._lives, self._recording, dead_letters_file)
        self._now = 0.0
        self._beat_at = 0.0
        self._begun = False
        self._left = False
        self._shown = ""
        self.is_calm = False
        """Nobody waits for anything: no order is under way and every process is what it will be."""
        self.changed = False
        """What the next supervisor must know may have changed; whoever writes it down says when that is done."""

    # --- the machine --------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in one event; what the supervisor must do, in order."""
        return self.handle_all((event,), now)

    def handle_all(self, events: Sequence[Event], now: float) -> list[Action]:
        """Take in what happened in one turn of the loop, and settle once: 64 workers become READY in a few turns."""
        self._now = now
        for event in events:
            if isinstance(event, Heard):
                self._hearing.heard(event.envelope, now)
            else:
                self._happened(event, now)
        if self._out.moved and self._begun and not self._left:
            self._settle(now)
        changes.tell(self._books, self._out)
        actions = self._out.take()
        # What changes in the course of routine is told: a state, a size, a drain.
        self.changed |= any(type(event) not in ROUTINE for event in events) or any(type(a) is Tell for a in actions)
        return actions

    def next_deadline(self) -> float | None:
        """When to send `Ticked`; None before `Begun` and after `Leave`."""
        if not self._begun or self._left:
            return None
        return self._beat_at if self._out.deadline is None else min(self._out.deadline, self._beat_at)

    @property
    def is_stopping(self) -> bool:
        return self._books.stopping is not None

    @property
    def is_adopting(self) -> bool:
        """Not all is settled yet of what an earlier supervisor has left."""
        return self._adoption.is_under_way

    def _happened(self, event: Event, now: float) -> None:
        match event:
            case Begun():
                self._begin(event.listen, now)
            case TookOver():
                self._take_over(event, now)
            case Lent():
                self._adoption.lent(event)
            case Ticked():
                self._ticked(now)
            case Spawned():
                self._lives.spawned(event)
            case Exited():
                process = self._books.current(event.process, event.incarnation)
                if process is not None and process.alive:
                    oom = event.oom and not process.forced
                    self._lives.ended(process, event.status, event.tail, now, oom=oom, job=event.job)
            case HandlerImported():
                zygote = self._books.current(event.process, event.incarnation)
                if zygote is not None and zygote.state is S.STARTING:
                    self._lives.became_ready(zygote, now)
            case HandlerFailed():
                self._lives.handler_failed(event)
            case Subscribed():
                self._lives.subscribed(event.process, now)
            case Probed():
                self._hearing.probed(event, now)
            case Looked():
                self._hearing.looked(event)
            case DumpTaken():
                self._hearing.dump_taken(event)
            case Asked():
                self._asked(event, now)
            case Heard():
                self._hearing.heard(event.envelope, now)
            case ListenersBound() | ListenersRefused():
                self._books.binding = event
                self._out.moved = True
            case ConfigNotWritten():
                self._books.not_written = event.why
                self._out.moved = True
            case _:
                assert_never(event)

    def _begin(self, listen: str, now: float) -> None:
        self._begun = True
        self._out.moved = True
        self._books.listen = listen
        self._recording.begin(now)
        self._books.began_at = self._books.myself.began_at = now
        self._beat_at = now + BEAT_S
        self._out.tell("starting", self._name, f"starting, listening on {listen}", after=self._books.state)

    def _take_over(self, event: TookOver, now: float) -> None:
        """Go on with a cluster that runs already: whatever fails now ends no cluster."""
        self._begun = True
        self._out.moved = True
        self._books.listen = event.listen
        self._recording.begin(now)
        self._books.began_at, self._books.myself.began_at = event.began_at, now
        self._books.state = ClusterState.RUNNING
        self._beat_at = now + BEAT_S
        self._lives.take_over(event, now)

    # --- wanted and actual --------------------------------------------------------------------------------------------

    def _wanted(self) -> plan.Wanted:
        whole = self._books.wanted()
        if self._adoption.spares_zygotes:
            whole = structs.replace(whole, zygotes={})
        return whole if self._books.stopping is None else self._books.stopping.wanted(whole)

    def _settle(self, now: float) -> None:
        while self._out.moved and not self._left:
            self._out.moved = False
            for entry in self._books.desk.in_line():
                self._begin_order(entry, now)
            # The stop comes last: whoever waits for the same deaths is answered before the supervisor leaves.
            for entry in sorted(self._books.desk.under_way, key=lambda entry: entry.operation is self._books.stopping):
                self._take_turn(entry, entry.operation.advance(self._books.processes, now), now)
            self._out.extend(self._books.desk.expire(now))
            self._out.extend(self._books.desk.look_at_line())
            for step in plan.reconcile(self._wanted(), self._books.seen(now), now):
                self._lives.do(step, now)
            self._lives.fork_what_waits(now)
            self._lives.fail_what_waits_in_vain(now)
            self._judge(now)
        self._out.deadline = self._earliest()
        at_rest = all(process.state in AT_REST for process in self._books.processes.values())
        self.is_calm = at_rest and not self._books.desk.entries

    # --- time ---------------------------------------------------------------------------------------------------------

    def _ticked(self, now: float) -> None:
        self._out.moved = True
        self._lives.tick(now)
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            self._books.told_readiness = None
            self._hearing.judge_health(now)
            self._hearing.tell_of_dead_letters()
            self._recording.tell(now)
            self._hearing.forget_strangers()
            self._recycle(now)
        for drain in self._books.drains.values():
            self._out.extend(drain.tell_again(now))

    def _recycle(self, now: float) -> None:
        for due in recycling.due(self._books, now):
            self._out.tell("recycled", due.process.id, due.text, cause=due.cause)
            self._lives.do(plan.Recycle(due.process.id), now)

    def _earliest(self) -> float | None:
        processes = self._books.processes.values()
        waiting: list[float | None] = [process.deadline for process in processes]
        waiting += [process.hello_at for process in processes]
        waiting += [drain.next_deadline() for drain in self._books.drains.values()]
        waiting.append(self._books.desk.next_deadline())
        waiting.append(self._adoption.next_deadline())
        return min((deadline for deadline in waiting if deadline is not None), default=None)

    # --- the state of the whole ---------------------------------------------------------------------------------------

    def _judge(self, now: float) -> None:
        """Has it come up; what is it waiting for; may clients come."""
        if self._books.state is ClusterState.STARTING:
            waiting = self._awaited(now)
            if not waiting and not self._out.moved:
                self._books.state = ClusterState.RUNNING
                self._show("")
                text = f"running, {now - self._books.began_at:.2f} s after its start"
                self._out.tell("running", self._name, text, before=ClusterState.STARTING, after=ClusterState.RUNNING)
                self._out.add(CameUp(unrecorded=self._recording.unrecorded(now)))
            elif waiting:
                self._show(picture.waiting_for(waiting, self._books))
        elif self._books.state is ClusterState.RUNNING and (failure := lost(self._books)) is not None:
            self._end_without(failure)
        if self._adoption.is_under_way and not self._out.moved:
            outcome = self._adoption.judge(now)
            self._show(outcome if isinstance(outcome, str) else "")
            if isinstance(outcome, CameUp):
                self._out.add(outcome)
        readiness = picture.readiness(self._books, self._books.state)
        unsure = not readiness.ready and self._adoption.may_be_ready(now)
        if readiness != self._books.told_readiness and not unsure:
            self._books.told_readiness = readiness
            self._out.add(Broadcast(role_topic(Kind.SERVER), readiness))

    def _awaited(self, now: float) -> list[Process]:
        """Whom a start waits for; the recorder for a while only."""
        processes = self._books.processes.values()
        waiting = [
            process for process in processes if process.state is not S.RUNNING and process.kind is not Kind.RECORDER
        ]
        recorder = self._books.recorder
        return [*waiting, recorder] if recorder is not None and self._recording.holds_up(recorder, now) else waiting

    def _give_up_start(self, failure: StartFailure) -> None:
        self._books.failure = failure
        self._out.moved = True
        before, self._books.state = self._books.state, ClusterState.FAILED
        self._out.tell("start_failed", self._name, failure.what, before=before, after=ClusterState.FAILED)
        self._begin_stop(Asked(Stop(0.0), ""), 0.0, 0.0)
        self._end_orders(f"the cluster does not come up: {failure.what}", but=())

    def _end_without(self, failure: EssentialFailure) -> None:
        """Nobody is served any more: stop cleanly, so that whoever watches this supervisor takes over."""
        self._books.failure = failure
        self._out.tell("fatal", self._name, failure.what, cause=failure.what, lines=failure.detail)
        self._stop(Asked(Stop(self._books.config.supervisor.stop_timeout), ""))

    def _show(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            self._out.add(ShowProgress(text))

    # --- orders -------------------------------------------------------------------------------------------------------

    def _asked(self, event: Asked, now: float) -> None:
        order = event.order
        refusal = self._impossible(order)
        if refusal is not None:
            self._refuse(event, *refusal)
            return
        self._out.moved = True
        if isinstance(order, Stop):
            self._stop(event)
            return
        accepted = orders.accept(order, event, self._books, self._out.next_command, now)
        if isinstance(accepted, orders.Refused):
            self._refuse(event, *accepted)
            return
        desk = self._books.desk
        joined = desk.join(event, accepted.operation, now)
        if joined is not None:
            self._out.extend(joined)
        else:
            entry, actions = desk.take(event, accepted.operation, now)
            self._out.extend(actions)
            if entry.behind is not None:
                return
            self._out.extend(numbered(entry, accepted.actions))
        for step in accepted.steps:
            self._lives.do(step, now)

    def _begin_order(self, entry: Entry, now: float) -> None:
        """Of one that has waited, as things are now."""
        order = entry.order(now)
        assert not isinstance(order, Stop)
        accepted = orders.accept(order, entry.asked, self._books, self._out.next_command, now)
        if isinstance(accepted, orders.Refused):
            self._out.extend(self._books.desk.finish(entry, Result(*accepted)))
            return
        self._books.desk.begin(entry, accepted.operation)
        self._out.extend(numbered(entry, accepted.actions))
        for step in accepted.steps:
            self._lives.do(step, now)

    def _impossible(self, order: Order) -> tuple[int, Refusal] | None:
        if self._left or self._books.state is ClusterState.FAILED:
            return 409, Refusal(f"cluster {self._name} is ending")
        if isinstance(order, Stop):
            return None
        if self._books.stopping is not None and not isinstance(order, Kill | DumpOrder | ReopenOrder):
            return 409, Refusal(f"cluster {self._name} is stopping", mend="Start it again with `primectl up -d`")
        if self._books.desk.is_full:
            return 409, Refusal(f"{WAITERS_AT_ONCE} orders are under way already", mend="Wait for some to end")
        return None

    def _refuse(self, event: Asked, status: int, refusal: Refusal) -> None:
        if event.asker is not None:
            self._out.add(Answer(event.asker, status, refusal))
        self._out.tell("refused", self._name, refusal.what, event.operator)

    def _stop(self, event: Asked) -> None:
        assert isinstance(event.order, Stop)
        timeout_s = event.order.timeout_s
        if self._books.stopping is not None:
            self._books.stopping.hasten(self._now, timeout_s)
            self._books.desk.wait(self._books.desk.entry_of(self._books.stopping), event, self._now)
            return
        how = f"within {timeout_s:g} s" if timeout_s > 0 else "at once"
        # Nobody balances load over a cluster that has not come up, or has lost what it cannot do without.
        serves = self._books.state is ClusterState.RUNNING and self._books.failure is None
        delay_s = self._books.config.server.drain_delay if serves else 0.0
        before, self._books.state = self._books.state, ClusterState.STOPPING
        entry = self._begin_stop(event, timeout_s, delay_s)
        stopping = Tell("stopping", self._name, f"stopping {how}", event.operator, before, ClusterState.STOPPING)
        self._out.extend(numbered(entry, [stopping]))
        self._end_orders(f"cluster {self._name} is stopping", but=(Killing,))

    def _begin_stop(self, asked: Asked, timeout_s: float, delay_s: float) -> Entry:
        present = sum(process.alive and process.kind is not Kind.ZYGOTE for process in self._books.processes.values())
        self._books.stopping = Stopping(
            self._name,
            present,
            self._now,
            timeout_s,
            delay_s,
            self._out.next_command,
            self._books.config.server.processes,
        )
        entry, actions = self._books.desk.take(asked, self._books.stopping, self._now)
        self._out.extend(actions)
        return entry

    def _end_orders(self, why: str, but: tuple[type, ...]) -> None:
        """The stop leaves nobody waiting."""
        for entry in list(self._books.desk.entries):
            if not isinstance(entry.operation, (Stopping, *but)):
                self._out.extend(self._books.desk.finish(entry, Result(409, Refusal(why))))

    def _take_turn(self, entry: Entry, turn: Turn, now: float) -> None:
        self._out.extend(numbered(entry, turn.actions))
        for step in turn.steps:
            self._lives.do(step, now)
        self._out.extend(self._books.desk.took(entry, turn, self._books.state))
        if turn.result is not None:
            self._out.moved = True
            if isinstance(turn.result.body, Stopped):
                self._left = True
                stopped = structs.replace(turn.result.body, operation=entry.number)
                self._out.add(Leave(self._books.failure or stopped))
        elif entry.operation is self._books.stopping and turn.progress is not None:
            self._show(turn.progress.text)

    # --- what the next supervisor must know ---------------------------------------------------------------------------

    def memory(self) -> Memory:
        """What operators have changed."""
        return self._books.memory()

    def record(self, process: str, incarnation: int) -> Process | None:
        """The record of this life of a process; not to be changed."""
        return self._books.current(process, incarnation)

    def recorder(self) -> int | Refusal:
        """The incarnation of the recorder that can be asked, or why none can."""
        return self._recording.recorder(self._now)

    def dry_run(self, order: ApplyOrder) -> Applied | Refusal:
        """What applying a config would change; nothing does."""
        plan = planned(order, self._books)
        return plan.refusal or Applied(list(plan.changes), False, 0.0)

    def present(self) -> dict[str, int]:
        """Every process that the cluster has, the supervisor too, and its incarnation."""
        processes = (self._books.myself, *self._books.processes.values())
        return {process.id: process.incarnation for process in processes}

    # --- what operators see -------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        """For a service manager."""
        return standing(self._books, self._shown)

    def snapshot(self) -> ClusterSnapshot:
        """As of the last event; `time` and the shells' counters are filled in by the shell."""
        now = self._now
        return ClusterSnapshot(
            cluster=self._name,
            state=self._books.state,
            uptime_s=now - self._books.began_at if self._begun else 0.0,
            config=self._books.config_path,
            pools=picture.pools(self._books, now),
            processes=[picture.supervisor(self._books.myself, now), *picture.processes(self._books, now)],
            front=self._books.front.snapshot(self._books.listen, now),
            progress=self._shown,
            counters=dict(self._out.counters),
            operations=self._books.desk.snapshot(now),
            journal=self._recording.snapshot(now),
        )
