"""The order that asks processes where their threads are, and makes one text of what each says.

A process is asked by DUMP. One that does not answer at once has no thread that could (code in C holds the interpreter's
lock), or does not listen yet, or is a zygote, which never does: the shell has it write its stacks by a signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from primectl.control.excerpt import excerpt
from primectl.wire.control import Dump, Dumps, ProcessDump, Progress, process_topic
from supervisor.events import SUPERVISOR, Action, Broadcast, Kind, TakeDump
from supervisor.lifecycle import READY
from supervisor.operations import ALONGSIDE, Processes, Result, Turn, names
from supervisor.process import Process

ANSWER_S = 0.5
"""For a process to answer DUMP; then it gets the signal."""
TEXT_BYTES = 64 << 10
WHOLE_BYTES = 8 << 20
"""Of all texts of one order; of more than 128 processes each has less to say."""

ASKED, SIGNALLED, NONE = "asked", "signal", "none"
"""How a dump was got."""


class Dumping:
    """Processes that were asked where their threads are, until each has said so or cannot."""

    kind = "dump"
    wish = ""
    occupies = ALONGSIDE

    def __init__(
        self,
        target: str,
        processes: Iterable[Process],
        command: int,
        now: float,
        timeout_s: float,
    ) -> None:
        self.target = target
        self._command = command
        self._began = now
        self._timeout_s = timeout_s
        self._lives: dict[str, int] = {}
        self._found: dict[str, ProcessDump] = {}
        self._unasked: list[str] = []
        """Who cannot be asked, or has not answered: to be sent the signal."""
        self._signal_at: float | None = now + ANSWER_S
        for process in processes:
            self._lives[process.id] = process.incarnation
            if process.id == SUPERVISOR or (process.alive and (process.kind is Kind.ZYGOTE or not _hears(process))):
                self._unasked.append(process.id)
            elif not process.alive:
                self._find(process.id, f"it does not run: {process.state}", NONE)

    def ask(self) -> list[Action]:
        """What is to be done at once."""
        asked = [name for name in self._lives if name not in self._found and name not in self._unasked]
        return [
            *(Broadcast(process_topic(name), Dump(self._command)) for name in asked),
            *(TakeDump(name, self._lives[name]) for name in self._unasked),
        ]

    def answered(self, process: str, incarnation: int, command: int, text: str) -> None:
        """A process has said where its threads are."""
        if command == self._command and self._lives.get(process) == incarnation:
            self._find(process, text, ASKED)

    def taken(self, process: str, incarnation: int, text: str, how: str) -> None:
        """The shell has got a dump, or says why it has not. What the process said itself counts more."""
        if self._lives.get(process) == incarnation and process not in self._found:
            self._find(process, newest_last(text) if how == SIGNALLED else text, how)

    def _find(self, process: str, text: str, how: str) -> None:
        share = max(1 << 10, min(TEXT_BYTES, WHOLE_BYTES // len(self._lives))) if self._lives else TEXT_BYTES
        self._found[process] = ProcessDump(process, excerpt(text, share), how)

    def advance(self, processes: Processes, now: float) -> Turn:
        for name in self._missing():
            if name != SUPERVISOR and not _lives(processes, name, self._lives[name]):
                self._find(name, "it has ended", NONE)
        if now >= self._began + self._timeout_s:
            for name in self._missing():
                self._find(name, f"it has not answered within {self._timeout_s:g} s", NONE)
        missing = self._missing()
        if not missing:
            dumps = [self._found[name] for name in self._lives]
            return Turn(result=Result(200, Dumps(self.target, dumps, now - self._began)))
        actions: tuple[Action, ...] = ()
        if self._signal_at is not None and now >= self._signal_at:
            self._signal_at = None
            actions = tuple(TakeDump(name, self._lives[name]) for name in missing if name not in self._unasked)
        total = len(self._lives)
        progress = Progress(f"waiting for the stacks of {names(missing)}", total - len(missing), total)
        return Turn(actions=actions, progress=progress)

    def _missing(self) -> list[str]:
        return [name for name in self._lives if name not in self._found]

    def next_deadline(self) -> float:
        end = self._began + self._timeout_s
        return end if self._signal_at is None else min(end, self._signal_at)


def _hears(process: Process) -> bool:
    return process.state in READY


def _lives(processes: Mapping[str, Process], name: str, incarnation: int) -> bool:
    process = processes.get(name)
    return process is not None and process.incarnation == incarnation and process.alive


def newest_last(text: str) -> str:
    """What faulthandler wrote, newest frame first, in the order of all other stacks."""
    told: list[str] = []
    frames: list[str] = []
    for line in text.splitlines():
        if line.startswith("  "):
            frames.append(line)
            continue
        told += reversed(frames)
        frames = []
        told.append(_titled(line))
    told += reversed(frames)
    return "\n".join(told).strip("\n")


def _titled(line: str) -> str:
    """`Current thread 0x…` is whichever the signal happened to interrupt; the interpreter's lock is not meant."""
    title = line.removesuffix(" (most recent call first):")
    return title if title == line else title.replace("Current thread", "thread").replace("Thread", "thread")
