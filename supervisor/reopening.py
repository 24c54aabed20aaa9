"""The order that has logs opened by their names, or rotated: each process does so itself, and says that it has."""

from __future__ import annotations

from collections.abc import Iterable

from primectl.wire.control import Progress, Refusal, Reopen, Reopened, process_topic
from supervisor.events import SUPERVISOR, Action, Broadcast, Kind, ReopenLog
from supervisor.lifecycle import READY
from supervisor.operations import ALONGSIDE, Processes, Result, Turn, names
from supervisor.process import Process


class Reopening:
    """Processes that were asked, until each has acknowledged or is gone."""

    kind = "reopen"
    wish = ""
    occupies = ALONGSIDE

    def __init__(
        self, target: str, processes: Iterable[Process], command: int, rotate: bool, now: float, timeout_s: float
    ) -> None:
        members = list(processes)
        self.target = target
        self._command = command
        self._rotate = rotate
        self._began = now
        self._timeout_s = timeout_s
        # One that is starting opens its log by name anyway.
        self._lives = {p.id: p.incarnation for p in members if p.id == SUPERVISOR or p.state in READY}
        self._deaf = {p.id for p in members if p.id == SUPERVISOR or p.kind is Kind.ZYGOTE}
        """Who does not listen to commands: asked by the shell, and taken at its word."""
        self._done = {name for name in self._lives if name in self._deaf}

    def ask(self) -> list[Action]:
        """What is to be done at once."""
        return [
            ReopenLog(name, incarnation, self._rotate)
            if name in self._deaf
            else Broadcast(process_topic(name), Reopen(self._command, self._rotate))
            for name, incarnation in self._lives.items()
        ]

    def acknowledged(self, process: str, incarnation: int, command: int) -> None:
        if command == self._command and self._lives.get(process) == incarnation:
            self._done.add(process)

    def advance(self, processes: Processes, now: float) -> Turn:
        waiting = []
        for name, incarnation in list(self._lives.items()):
            if name not in self._done:
                process = processes.get(name)
                if process is None or process.incarnation != incarnation or not process.alive:
                    del self._lives[name]
                else:
                    waiting.append(name)
        if not waiting:
            return Turn(result=Result(200, Reopened(self.target, sorted(self._done), now - self._began)))
        if now >= self._began + self._timeout_s:
            what = f"{names(waiting)} did not say within {self._timeout_s:g} s that the log is another file"
            return Turn(result=Result(504, Refusal(what, mend="They do it as soon as they hear of it")))
        total = len(self._lives)
        return Turn(progress=Progress(f"waiting for {names(waiting)}", total - len(waiting), total))

    def next_deadline(self) -> float:
        return self._began + self._timeout_s
