"""The clean stop: front to back, so that whatever was accepted is finished by those behind it.

    servers    stop accepting and finish what is open          while the rest still serves, and is still replaced
    workers    hand back, finish, leave; zygotes close
    proxies    leave, empty

What is still wanted shrinks from step to step; `plan.reconcile` does the rest. When the time is over, force grows:

    at the deadline     servers answer 503 to what is left
    1 s later           SIGTERM to all
    0.5 s later         SIGKILL to all
    5 s later           the supervisor leaves what even SIGKILL does not end (it hangs in the kernel)
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from enum import IntEnum

from msgspec import structs

from primectl.wire.control import ALL, KillNow, Progress, Retire, Stopped, role_topic
from supervisor.events import Action, Broadcast, Kind, Signal
from supervisor.operations import ALONGSIDE, Processes, Result, Turn, names
from supervisor.plan import Force, Step, Wanted
from supervisor.process import Process

LAST_ANSWERS_S = 1.0
TERM_S = 0.5
GIVE_UP_S = 5.0


class Phase(IntEnum):
    """Whose turn it is to leave."""

    SERVERS = 0
    WORKERS = 1
    PROXIES = 2


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
        next_command: Callable[[], int],
    ) -> None:
        self.target = cluster
        self.deadline = now + timeout_s
        self.finished: dict[str, int] = {}
        """By server: requests answered since the drain began, as the server counted them."""
        self.cancelled: dict[str, int] = {}
        self._processes = processes
        self._began = now
        self._next_command = next_command
        self._phase = Phase.SERVERS
        self._pressure = Pressure.KILL if timeout_s <= 0 else Pressure.GENTLE
        self._more_at = self.deadline if timeout_s > 0 else now + GIVE_UP_S
        self._announced = timeout_s > 0
        self._killed: list[str] = []

    def hasten(self, now: float, timeout_s: float) -> None:
        """Another order to stop: the earlier deadline holds; 0 kills at once."""
        if timeout_s <= 0 and self._pressure < Pressure.KILL:
            self._pressure = Pressure.KILL
            self._more_at = now + GIVE_UP_S
            self._announced = False
        elif self._pressure is Pressure.GENTLE:
            self.deadline = min(self.deadline, now + timeout_s)
            self._more_at = self.deadline

    def wanted(self, whole: Wanted) -> Wanted:
        """What should still run."""
        if self._pressure >= Pressure.TERM or self._phase is Phase.PROXIES:
            return Wanted()
        if self._phase is Phase.WORKERS:
            return Wanted(proxies=whole.proxies)
        return structs.replace(whole, servers=0)

    def advance(self, processes: Processes, now: float) -> Turn:
        alive = [process for process in processes.values() if process.alive]
        self._next_phase(alive)
        actions = self._press(alive, now)
        if not alive or self._pressure is Pressure.GIVEN_UP:
            return Turn(actions=tuple(actions), result=Result(200, self._report(now)))
        steps: list[Step] = []
        if self._pressure is Pressure.KILL:
            fresh = [process for process in alive if not process.forced]
            steps = [Force(process.id) for process in fresh]
            self._killed += [process.id for process in fresh if process.kind is not Kind.ZYGOTE]
        return Turn(tuple(steps), tuple(actions), self._progress(alive))

    def _next_phase(self, alive: list[Process]) -> None:
        if self._phase is Phase.SERVERS and not any(process.kind is Kind.SERVER for process in alive):
            self._phase = Phase.WORKERS
        if self._phase is Phase.WORKERS and not any(process.kind is Kind.WORKER for process in alive):
            self._phase = Phase.PROXIES

    def _press(self, alive: list[Process], now: float) -> list[Action]:
        actions: list[Action] = []
        if not self._announced:
            self._announced = True
            actions.append(Broadcast(ALL, KillNow(self._next_command())))
        if now < self._more_at:
            return actions
        if self._pressure is Pressure.GENTLE and self._phase is Phase.SERVERS:
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
        elif self._phase is Phase.SERVERS:
            servers = [process.id for process in left if process.kind is Kind.SERVER]
            text = f"{names(servers)} finish what is open"
        elif self._phase is Phase.WORKERS:
            workers = [process.id for process in left if process.kind is Kind.WORKER]
            text = f"{len(workers)} workers finish and leave"
        else:
            text = "proxies leave"
        return Progress(text, gone, self._processes)

    def _report(self, now: float) -> Stopped:
        return Stopped(
            self.target,
            sum(self.finished.values()),
            sum(self.cancelled.values()),
            self._processes,
            self._killed,
            now - self._began,
        )

    def next_deadline(self) -> float:
        return self._more_at
