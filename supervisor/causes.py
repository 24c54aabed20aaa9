"""Why a process ended, in a line for people; and how orders ended, for the event log."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from primectl.wire.control import (
    ALL,
    Applied,
    Drained,
    Dumps,
    Killed,
    Refusal,
    Reloaded,
    Reopened,
    Restarted,
    Resumed,
    Scaled,
    Stopped,
)
from supervisor.words import counted, processes

_ENTRY = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARN) ")
"""A log line that tells of business as usual, and so explains no end."""
LAST_LINES = 20
LAST_BYTES = 8 << 10
"""Of a log, kept with the event of its process's end."""


OUT_OF_MEMORY = "out of memory"
_NO_MEMORY = re.compile(r"^[ |]*MemoryError\b")
_LAST_WORDS = 5
"""How many lines from its end a MemoryError is looked for: others may follow it from what fails in its wake."""


def cause_of(status: int | None, tail: tuple[str, ...], *, oom: bool = False) -> str:
    """`status`, `tail` and `oom` as in `events.Exited`; the last line of the log joins in when the process ended by
    its own fault."""
    if status is None:
        return "ended, nobody saw how"
    if status < 0:
        killed = f"killed by {signal_name(-status)}"
        return f"{killed}: {OUT_OF_MEMORY}" if oom or _ran_out(tail) else killed
    last = next((line.strip(" |") for line in reversed(tail) if line.strip(" |")), "")
    if not last or _ENTRY.match(last):
        return f"exit status {status}"
    short = f"{OUT_OF_MEMORY}: " if _ran_out(tail) else ""
    return f"exit status {status}: {short}{last[:200]}"


def _ran_out(tail: tuple[str, ...]) -> bool:
    return any(_NO_MEMORY.match(line) for line in tail[-_LAST_WORDS:])


def last_words(tail: Sequence[str]) -> tuple[str, ...]:
    """The end of a log as it is kept with an event: the last lines, 20 and 8 KiB at most, a longer line cut."""
    kept: list[str] = []
    room = LAST_BYTES
    for line in reversed(tail[-LAST_LINES:]):
        data = line.encode()
        if len(data) > room and kept:
            break
        kept.append(data[:room].decode(errors="ignore"))
        room -= len(data)
    return tuple(reversed(kept))


def signal_name(number: int) -> str:
    """SIGKILL for 9; "signal 64" for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


Outcome = Scaled | Killed | Restarted | Reloaded | Drained | Resumed | Dumps | Stopped | Refusal | Applied | Reopened


def in_words(outcome: Outcome) -> tuple[str, str, str]:
    """An order's end as an event: its kind, its subject ("" for the cluster) and a text."""
    match outcome:
        case Scaled():
            text = f"{outcome.pool} has {outcome.after} workers (was {outcome.before}), {outcome.seconds:.2f} s"
            return "scaled", outcome.pool, text
        case Killed():
            text = f"KILL acknowledged by {len(outcome.acknowledged)} of {len(outcome.addressed)}"
            forced = f", {len(outcome.forced)} by SIGKILL" if outcome.forced else ""
            return "killed", outcome.target, f"{text}{forced}; they held {counted(outcome.lost_jobs, 'job')}"
        case Restarted():
            return "restarted", outcome.target, f"{processes(len(outcome.processes))} restarted"
        case Reloaded():
            who = "every pool" if outcome.target == ALL else outcome.target
            workers = counted(len(outcome.processes), "worker")
            return "reloaded", outcome.target, f"{who} runs the new code: {workers}, {outcome.seconds:.2f} s"
        case Applied():
            made = f"{counted(len(outcome.changes), 'change')} made, {outcome.seconds:.2f} s"
            return "applied", "", made if outcome.changes else "nothing to change"
        case Drained():
            return "drained", outcome.target, f"{outcome.target} holds nothing any more, {outcome.seconds:.2f} s"
        case Resumed():
            return "resumed", outcome.target, f"{outcome.target} takes jobs again"
        case Dumps():
            return "dumped", outcome.target, f"the stacks of {processes(len(outcome.dumps))} were shown"
        case Reopened():
            return "reopened", outcome.target, f"{counted(len(outcome.processes), 'log')} opened anew"
        case Stopped():
            killed = f", {len(outcome.killed)} killed" if outcome.killed else ""
            text = f"stopped: {counted(outcome.finished, 'request')} finished, {outcome.cancelled} cancelled{killed}"
            return "stopped", "", text
        case Refusal():
            return "gave_up", "", outcome.what
