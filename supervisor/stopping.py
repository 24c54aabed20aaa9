"""The clean stop: front to back, so that whatever was accepted is finished by those behind it.

    delay      readiness is gone, all go on serving             for `server.drain_delay`, if there is one
    servers    stop accepting and finish what is open          while the rest still serves, and is still replaced
    workers    hand back, finish, leave; zygotes close
    proxies    leave, empty
    recorder   writes the rest, leaves

What is still wanted shrinks from step to step; `plan.reconcile` does the rest. When the time is over, force grows:

    at the deadline     servers answer 503 to what is left, which cancels it
    1 s later           SIGTERM to all; sooner when no server is left: nobody waits for anything then
    0.5 s later         SIGKILL to all
    5 s later           the supervisor leaves what even SIGKILL does not end (it hangs in the kernel)
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from enum import IntEnum

from msgspec import structs

from primectl.wire.control import ALL, KillNow, Progress, Retire, Stopped, role_topic
from supervisor.events import Action, Broadcast, CloseListeners, Kind, Signal
from supervisor.lifecycle import ProcessState as S
from supervisor.operations import ALONGSIDE, Processes, Result, Turn, names
from supervisor.plan import Force, Step, Wanted
from supervisor.process import Process
from supervisor.tally import Tally

LAST_ANSWERS_S = 1.0
WRAP_UP_S = 0.25
"""For workers whose jobs have been cancelled, when their time is over and the servers have gone."""
TERM_S = 0.5
WRITE_S = 3.0
"""For the recorder to write what it was told last."""
GIVE_UP_S = 5.0


class Phase(IntEnum):
    """Whose turn it is to leave."""

    DELAY = 0
    SERVERS = 1
    WORKERS = 2
    PROXIES = 3
    RECORDER = 4


class Pressure(IntEnum):
    """How it is asked."""

    GENTLE = 0
    LAST_ANSWERS = 1
    TERM = 2
    KILL = 3
    GIVEN_UP = 4


class Stopping:
    """The stop under way; there is at most one, and further orders to stop join it."""

    kind = "stop"
    wish = ""
    occupies = ALONGSIDE

    def __init__(
        self,
        cluster: str,
        processes: int,
        now: float,
        timeout_s: float,
        delay_s: float,
        next_command: Callable[[], int],
        sockets: int = 1,
    ) -> None:
        """`delay_s` is how long all go on serving at first; it counts to `timeout_s`. `sockets` are listening."""
        self._sockets = sockets
        self.target = cluster
        self.deadline = now + timeout_s
        self.tally = Tally()
        self._processes = processes
        self._began = now
        self._next_command = next_command
        self._phase = Phase.DELAY
        self._serve_until = now + min(delay_s, timeout_s)
        self._last_words_by: float | None = None
        self._pressure = Pressure.KILL if timeout_s <= 0 else Pressure.GENTLE
        self._more_at = self.deadline if timeout_s > 0 else now + GIVE_UP_S
        self._announced = timeout_s > 0
        self._killed: dict[str, None] = {}
        """In the order of their deaths."""

    def hasten(self, now: float, timeout_s: float) -> None:
        """Another order to stop: the earlier deadline holds; 0 kills at once."""
        if timeout_s <= 0 and self._pressure < Pressure.KILL:
            self._pressure = Pressure.KILL
            self._more_at = now + GIVE_UP_S
            self._announced = False
        elif self._pressure is Pressure.GENTLE:
            self.deadline = self._more_at = min(self.deadline, now + timeout_s)
            self._serve_until = min(self._serve_until, self.deadline)

    def wanted(self, whole: Wanted) -> Wanted:
        """What should still run."""
        if self._pressure >= Pressure.TERM or self._phase is Phase.RECORDER:
            return Wanted()
        if self._phase is Phase.PROXIES:
            return Wanted(recorder=whole.recorder)
        if self._phase is Phase.WORKERS:
            return Wanted(proxies=whole.proxies, recorder=whole.recorder)
        return whole if self._phase is Phase.DELAY else structs.replace(whole, servers=0)

    def advance(self, processes: Processes, now: float) -> Turn:
        actions = self._close(processes, now)
        alive = [process for process in processes.values() if process.alive]
        self._next_phase(alive, now)
        actions += self._press(alive, now)
        self._last_words_by = self.tally.waits_until(now)
        if self._pressure is Pressure.GIVEN_UP or not (alive or self._last_words_by):
            return Turn(actions=tuple(actions), result=Result(200, self._report(now)))
        steps: list[Step] = []
        if self._pressure is Pressure.KILL:
            steps = [Force(process.id) for process in alive if not process.forced]
        for process in alive:
            if process.kind is not Kind.ZYGOTE and (process.forced or self._pressure is Pressure.KILL):
                self._killed.setdefault(process.id)
        return Turn(tuple(steps), tuple(actions), self._progress(alive))

    def _close(self, processes: Processes, now: float) -> list[Action]:
        """At the end of the delay: nobody new."""
        if self._phase is not Phase.DELAY or (now < self._serve_until and self._pressure < Pressure.KILL):
            return []
        self._phase = Phase.SERVERS
        servers = [process for process in processes.values() if process.kind is Kind.SERVER]
        # One that is replaced shares its socket with a stand-in, whose number tells (`serverroll`).
        served = {server.number % self._sockets for server in servers if server.state is S.RUNNING}
        unserved = (server.id for server in servers if server.number % self._sockets not in served)
        return [CloseListeners(tuple(unserved))]

    def _next_phase(self, alive: list[Process], now: float) -> None:
        if self._phase is Phase.SERVERS and not any(process.kind is Kind.SERVER for process in alive):
            self._phase = Phase.WORKERS
            if self._pressure is Pressure.LAST_ANSWERS:
                self._more_at = min(self._more_at, now + WRAP_UP_S)
        if self._phase is Phase.WORKERS and not any(process.kind is Kind.WORKER for process in alive):
            self._phase = Phase.PROXIES
        if self._phase is Phase.PROXIES and not any(process.kind is Kind.PROXY for process in alive):
            self._phase = Phase.RECORDER
            self._more_at = min(self._more_at, now + WRITE_S)

    def _press(self, alive: list[Process], now: float) -> list[Action]:
        actions: list[Action] = []
        if not self._announced:
            self._announced = True
            actions.append(Broadcast(ALL, KillNow(self._next_command())))
        if now < self._more_at:
            return actions
        if self._pressure is Pressure.GENTLE and self._phase <= Phase.SERVERS:
            self._pressure = Pressure.LAST_ANSWERS
            self._more_at = now + LAST_ANSWERS_S
            actions.append(Broadcast(role_topic(Kind.SERVER), Retire(self._next_command(), 0.0)))
        elif self._pressure < Pressure.TERM:
            self._pressure = Pressure.TERM
            self._more_at = now + TERM_S
            actions += [Signal(process.id, process.incarnation, signal.SIGTERM) for process in alive if process.pid]
        elif self._pressure is Pressure.TERM:
            self._pressure = Pressure.KILL
            self._more_at = now + GIVE_UP_S
        else:
            self._pressure = Pressure.GIVEN_UP
        return actions

    def _progress(self, alive: list[Process]) -> Progress:
        left = [process for process in alive if process.kind is not Kind.ZYGOTE]
        gone = max(0, self._processes - len(left))
        if self._pressure >= Pressure.KILL:
            text = f"killing {names(process.id for process in left)}"
        elif self._phase is Phase.DELAY:
            text = f"not ready any more, goes on accepting for {self._serve_until - self._began:g} s"
        elif self._phase is Phase.SERVERS:
            servers = [process.id for process in left if process.kind is Kind.SERVER]
            text = f"{names(servers)} finish what is open"
        elif self._phase is Phase.WORKERS:
            workers = [process.id for process in left if process.kind is Kind.WORKER]
            text = f"{len(workers)} workers finish and leave"
        elif self._phase is Phase.PROXIES:
            text = "proxies leave"
        else:
            text = "the recorder writes what is left"
        return Progress(text, gone, self._processes)

    def _report(self, now: float) -> Stopped:
        return Stopped(
            self.target,
            self.tally.finished,
            self.tally.cancelled,
            self._processes,
            list(self._killed),
            now - self._began,
        )

    def next_deadline(self) -> float:
        waiting = [self._more_at]
        if self._phase is Phase.DELAY:
            waiting.append(self._serve_until)
        if self._last_words_by is not None:
            waiting.append(self._last_words_by)
        return min(waiting)
