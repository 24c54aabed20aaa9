"""The whole cluster, as a core: events in, actions out.

How to think about it: `plan.reconcile` says which processes should start or leave, operations say it on an operator's
behalf, and both do so as steps. `lives` is the one place where a step moves a process, and where one is found to be
gone; `hearing` takes in what is reported and seen. After every event that moves anything, `_settle` asks plan and
operations again until nobody wants more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from primectl.config.model import Config
from primectl.wire.control import (
    DumpOrder,
    Kill,
    Progress,
    Refusal,
    Stop,
    Stopped,
    role_topic,
)
from primectl.wire.stats import (
    ClusterSnapshot,
    ClusterState,
)
from supervisor import changes, orders, picture, plan
from supervisor.books import Books
from supervisor.causes import Outcome, in_words
from supervisor.drains import Draining, Resuming
from supervisor.events import (
    Action,
    Answer,
    Asked,
    Asker,
    Begun,
    Broadcast,
    CameUp,
    CloseListeners,
    DumpTaken,
    Event,
    Exited,
    HandlerFailed,
    HandlerImported,
    Heard,
    Kind,
    Leave,
    Order,
    Probed,
    ShowProgress,
    Spawned,
    StartFailure,
    Subscribed,
    Ticked,
)
from supervisor.hearing import Hearing
from supervisor.lifecycle import ProcessState as S
from supervisor.lives import Lives
from supervisor.operations import Operation, Rolling, Scaling, Turn
from supervisor.output import Output
from supervisor.stopping import Stopping

BEAT_S = 1.0
"""How often servers are told whether the cluster is ready, and silence is looked for."""
OPERATIONS_AT_ONCE = 256
AT_REST = frozenset({S.RUNNING, S.BACKOFF, S.FAILED})


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
        self._name = config.cluster.name
        self._config_path = config_path
        self._out = Output()
        self._books = Books(config, pid, self._out.next_command)
        self._lives = Lives(
            self._books, self._out, incarnation=incarnation, jitter=jitter, on_start_failure=self._give_up_start
        )
        self._hearing = Hearing(self._books, self._out, self._lives, dead_letters_file)
        self._now = 0.0
        self._beat_at = 0.0
        self._begun = False
        self._left = False
        self._progress: dict[int, Progress] = {}
        """What each operation's askers were told last, by its identity."""
        self._shown = ""
        self.is_calm = False
        """Nobody waits for anything: no order is under way and every process is what it will be."""

    # --- the machine --------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in one event; what the supervisor must do, in order."""
        return self.handle_all((event,), now)

    def handle_all(self, events: Iterable[Event], now: float) -> list[Action]:
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
        return self._out.take()

    def next_deadline(self) -> float | None:
        """When to send `Ticked`; None before `Begun` and after `Leave`."""
        if not self._begun or self._left:
            return None
        return self._beat_at if self._out.deadline is None else min(self._out.deadline, self._beat_at)

    @property
    def is_stopping(self) -> bool:
        return self._books.stopping is not None

    def _happened(self, event: Event, now: float) -> None:
        match event:
            case Begun():
                self._begin(event.listen, now)
            case Ticked():
                self._ticked(now)
            case Spawned():
                self._lives.spawned(event)
            case Exited():
                process = self._books.current(event.process, event.incarnation)
                if process is not None and process.alive:
                    self._lives.ended(process, event.status, event.tail, now)
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
            case DumpTaken():
                self._hearing.dump_taken(event)
            case Asked():
                self._asked(event, now)
            case Heard():
                self._hearing.heard(event.envelope, now)
            case _:
                assert_never(event)

    def _begin(self, listen: str, now: float) -> None:
        self._begun = True
        self._out.moved = True
        self._books.listen = listen
        self._books.began_at = self._books.myself.began_at = now
        self._beat_at = now + BEAT_S
        self._out.tell("starting", self._name, f"starting, listening on {listen}", after=self._books.state)

    # --- wanted and actual --------------------------------------------------------------------------------------------

    def _wanted(self) -> plan.Wanted:
        whole = self._books.wanted()
        return whole if self._books.stopping is None else self._books.stopping.wanted(whole)

    def _settle(self, now: float) -> None:
        while self._out.moved and not self._left:
            self._out.moved = False
            # The stop comes last: whoever waits for the same deaths is answered before the supervisor leaves.
            for operation in sorted(self._books.operations, key=lambda operation: operation is self._books.stopping):
                self._take_turn(operation, operation.advance(self._books.processes, now), now)
            for step in plan.reconcile(self._wanted(), self._books.seen(now), now):
                self._lives.do(step, now)
            self._lives.fork_what_waits(now)
            self._lives.fail_what_waits_in_vain(now)
            self._judge(now)
        self._out.deadline = self._earliest()
        at_rest = all(process.state in AT_REST for process in self._books.processes.values())
        self.is_calm = at_rest and not self._books.operations

    # --- time ---------------------------------------------------------------------------------------------------------

    def _ticked(self, now: float) -> None:
        self._out.moved = True
        self._lives.tick(now)
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            self._books.told_readiness = None
            self._hearing.look_for_silence(now)
            self._hearing.tell_of_dead_letters()
        for drain in self._books.drains.values():
            self._out.extend(drain.tell_again(now))

    def _earliest(self) -> float | None:
        processes = self._books.processes.values()
        waiting: list[float | None] = [process.deadline for process in processes]
        waiting += [process.hello_at for process in processes]
        waiting += [drain.next_deadline() for drain in self._books.drains.values()]
        waiting += [operation.next_deadline() for operation in self._books.operations]
        return min((deadline for deadline in waiting if deadline is not None), default=None)

    # --- the state of the whole ---------------------------------------------------------------------------------------

    def _judge(self, now: float) -> None:
        """Has it come up; what is it waiting for; may clients come."""
        if self._books.state is ClusterState.STARTING:
            waiting = [process for process in self._books.processes.values() if process.state is not S.RUNNING]
            if not waiting and not self._out.moved:
                self._books.state = ClusterState.RUNNING
                self._show("")
                text = f"running, {now - self._books.began_at:.2f} s after its start"
                self._out.tell("running", self._name, text, before=ClusterState.STARTING, after=ClusterState.RUNNING)
                self._out.add(CameUp())
            elif waiting:
                self._show(picture.waiting_for(waiting, self._books))
        readiness = picture.readiness(self._books, self._books.state)
        if readiness != self._books.told_readiness:
            self._books.told_readiness = readiness
            self._out.add(Broadcast(role_topic(Kind.SERVER), readiness))

    def _give_up_start(self, failure: StartFailure) -> None:
        self._books.failure = failure
        self._out.moved = True
        before, self._books.state = self._books.state, ClusterState.FAILED
        self._out.tell("start_failed", self._name, failure.what, before=before, after=ClusterState.FAILED)
        self._out.add(CloseListeners())
        self._begin_stop(0.0, "", None)
        for operation in [operation for operation in self._books.operations if operation is not self._books.stopping]:
            self._finish(operation, 409, Refusal(f"the cluster does not come up: {failure.what}"))

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
            self._stop(event, order, now)
            return
        accepted = orders.accept(order, event, self._books, self._out.next_command, now)
        if isinstance(accepted, orders.Refused):
            self._refuse(event, *accepted)
            return
        self._out.extend(accepted.actions)
        for operation in list(self._books.operations):
            self._overtake(operation, accepted.operation)
        self._books.operations.append(accepted.operation)
        for step in accepted.steps:
            self._lives.do(step, now)

    def _overtake(self, older: Operation, newer: Operation) -> None:
        if isinstance(older, Scaling) and isinstance(newer, Scaling) and older.pool == newer.pool:
            result = older.overtaken(newer.target)
            self._finish(older, result.status, result.body)

    def _impossible(self, order: Order) -> tuple[int, Refusal] | None:
        if self._left or self._books.failure is not None:
            return 409, Refusal(f"cluster {self._name} is ending")
        if isinstance(order, Stop):
            return None
        if self._books.stopping is not None and not isinstance(order, Kill | DumpOrder):
            return 409, Refusal(f"cluster {self._name} is stopping", mend="Start it again with `primectl up -d`")
        if len(self._books.operations) >= OPERATIONS_AT_ONCE:
            return 409, Refusal(f"{OPERATIONS_AT_ONCE} orders are under way already", mend="Wait for some to end")
        return None

    def _refuse(self, event: Asked, status: int, refusal: Refusal) -> None:
        if event.asker is not None:
            self._out.add(Answer(event.asker, status, refusal))
        self._out.tell("refused", self._name, refusal.what, event.operator)

    def _stop(self, event: Asked, order: Stop, now: float) -> None:
        if self._books.stopping is not None:
            self._books.stopping.hasten(now, order.timeout_s, event.asker)
            return
        how = f"within {order.timeout_s:g} s" if order.timeout_s > 0 else "at once"
        before, self._books.state = self._books.state, ClusterState.STOPPING
        self._out.tell("stopping", self._name, f"stopping {how}", event.operator, before=before, after="stopping")
        self._out.add(CloseListeners())
        self._begin_stop(order.timeout_s, event.operator, event.asker)
        for operation in [o for o in self._books.operations if isinstance(o, Scaling | Rolling | Draining | Resuming)]:
            self._finish(operation, 409, Refusal(f"cluster {self._name} is stopping"))

    def _begin_stop(self, timeout_s: float, operator: str, asker: Asker | None) -> None:
        present = sum(process.alive and process.kind is not Kind.ZYGOTE for process in self._books.processes.values())
        self._books.stopping = Stopping(
            self._name, present, self._now, timeout_s, operator, asker, self._out.next_command
        )
        self._books.operations.append(self._books.stopping)

    def _take_turn(self, operation: Operation, turn: Turn, now: float) -> None:
        self._out.extend(turn.actions)
        for step in turn.steps:
            self._lives.do(step, now)
        if turn.result is not None:
            self._finish(operation, turn.result.status, turn.result.body)
        elif turn.progress is not None and turn.progress != self._progress.get(id(operation)):
            self._progress[id(operation)] = turn.progress
            self._out.extend([Answer(asker, 102, turn.progress) for asker in operation.askers])
            if operation is self._books.stopping:
                self._show(turn.progress.text)

    def _finish(self, operation: Operation, status: int, body: Outcome) -> None:
        self._books.operations.remove(operation)
        self._progress.pop(id(operation), None)
        self._out.moved = True
        self._out.extend([Answer(asker, status, body) for asker in operation.askers])
        kind, subject, text = in_words(body)
        if isinstance(body, Stopped):
            self._left = True
            if self._books.failure is None:
                self._out.tell(kind, self._name, text, operation.operator, before=self._books.state, after="stopped")
            self._out.add(Leave(body if self._books.failure is None else self._books.failure))
        else:
            self._out.tell(kind, subject or self._name, text, operation.operator)

    # --- what operators see -------------------------------------------------------------------------------------------

    def snapshot(self) -> ClusterSnapshot:
        """As of the last event; `time` and the shells' counters are filled in by the shell."""
        now = self._now
        return ClusterSnapshot(
            cluster=self._name,
            state=self._books.state,
            uptime_s=now - self._books.began_at if self._begun else 0.0,
            config=self._config_path,
            pools=picture.pools(self._books, now),
            processes=[picture.supervisor(self._books.myself, now), *picture.processes(self._books, now)],
            front=self._books.front.snapshot(self._books.listen, now),
            progress=self._shown,
            counters=dict(self._out.counters),
        )
