"""One process that the supervisor keeps: its state, what is known of it, and when it next wants attention.

A record outlives the process: `compute.3` that crashed and was started again is the same record with a later
incarnation. Only `cluster` changes one; operations read them.
"""

from __future__ import annotations

from typing import NamedTuple

from supervisor.events import Birthright, Kind, Survivor
from supervisor.lifecycle import ALIVE, Change, ProcessState, after
from supervisor.plan import Seen
from supervisor.restart import CrashRecord
from supervisor.vitals import Health


class Moved(NamedTuple):
    """A process has changed its state."""

    process: Process
    before: ProcessState
    after: ProcessState


class Process:
    """The record of one process id. Times are monotonic seconds."""

    __slots__ = (
        "acknowledged",
        "adopted",
        "asked_for",
        "began_at",
        "blamed",
        "busy",
        "cause",
        "counters",
        "cpu_percent",
        "crashed",
        "crashes",
        "deadline",
        "doom",
        "extra",
        "forced",
        "generation",
        "health",
        "heard_at",
        "heeded",
        "hello_at",
        "id",
        "incarnation",
        "is_known",
        "job_s",
        "jobs",
        "kind",
        "last_lines",
        "leaving",
        "moves",
        "number",
        "pid",
        "pool",
        "ready_at",
        "restarts",
        "retire_command",
        "rss_bytes",
        "sequence",
        "state",
        "stopped_at",
        "timed_out",
        "zygote",
    )

    def __init__(self, process: str, kind: Kind, pool: str, number: int, moves: list[Moved] | None = None) -> None:
        """`moves` is where its changes of state are noted, for the event log."""
        self.id = process
        self.moves = moves
        self.kind = kind
        self.pool = pool
        self.number = number
        self.state = ProcessState.EXITED
        self.incarnation = 0
        self.restarts = 0
        self.cause = ""
        self.crashes = CrashRecord()
        self.crashed = False
        """It ended by itself and has not been READY since."""
        self.leaving = False
        """No longer wanted: when it has ended, the record goes too."""
        self.extra = False
        """A worker above the size of its pool, for the time of a reload."""
        self.generation = 0
        """Of the code that its present or latest life runs; see `generations`."""
        self.zygote = ""
        """The one that forks this worker; "" when it has an interpreter of its own."""
        self.blamed = False
        """Its latest life ended by a fault of its own: a crash that counts, or it was not READY in time."""
        self.last_lines: tuple[str, ...] = ()
        """What it said before it last ended by itself: the end of its log or of a traceback."""
        self._forget_life()

    def _forget_life(self) -> None:
        """What belongs to one life only."""
        self.pid = 0
        self.adopted = False
        """An earlier supervisor has started it: it is no child of ours, and nobody learns its exit status."""
        self.is_known = False
        """It was READY under that supervisor, which has told the others so."""
        self.asked_for = False
        """Its fork or exec has been ordered; a worker without waits for its zygote."""
        self.began_at = 0.0
        self.ready_at: float | None = None
        self.deadline: float | None = None
        """When the cluster must look at it: not READY in time, due for a retry, deaf to a command."""
        self.hello_at: float | None = None
        self.heeded = 0
        """The last command that it has acknowledged."""
        """When to repeat HELLO; None before it listens and once it is READY."""
        self.timed_out = False
        self.forced = False
        """SIGKILL was ordered for this life."""
        self.doom = ""
        """Why, when it was not an operator who wanted it."""
        self.stopped_at: float | None = None
        """Since when it is known to be stopped (SIGSTOP), None while it is not."""
        self.retire_command = 0
        self.acknowledged = False
        self.heard_at = 0.0
        self.sequence = 0
        self.health = Health()
        self.jobs = 0
        self.busy = False
        self.job_s = 0.0
        self.counters: dict[str, int] = {}
        self.cpu_percent = 0.0
        self.rss_bytes = 0

    @property
    def alive(self) -> bool:
        """Whether there is a process, or is about to be."""
        return self.state in ALIVE

    def ready_s(self, now: float) -> float | None:
        """How long this life has been READY; None while it was not."""
        return None if self.ready_at is None else now - self.ready_at

    @property
    def birthright(self) -> Birthright:
        return Birthright(self.id, self.incarnation)

    def change(self, change: Change) -> None:
        """Move by the table; raises IllegalTransition and leaves the state as it was."""
        before = self.state
        self.state = after(before, change)
        if self.moves is not None:
            self.moves.append(Moved(self, before, self.state))

    def begin(self, incarnation: int, now: float, change: Change) -> None:
        """Another life, by START_ASKED or RETRY_DUE."""
        self.change(change)
        if self.incarnation:
            self.restarts += 1
        self._forget_life()
        self.blamed = False
        self.incarnation = incarnation
        self.began_at = now

    def adopt(self, survivor: Survivor, now: float) -> None:
        """A life that an earlier supervisor has begun and that goes on."""
        self.change(Change.ADOPTED)
        self.incarnation = survivor.incarnation
        self.restarts = survivor.restarts
        self.leaving = survivor.leaving
        self.pid = survivor.pid
        self.adopted = self.asked_for = True
        self.is_known = survivor.state is not ProcessState.STARTING
        self.began_at = survivor.began_at
        self.heard_at = now

    def seen(self, busy: bool, drained: bool) -> Seen:
        """What `plan` needs to know of it."""
        may_wait = self.state in (ProcessState.BACKOFF, ProcessState.EXITED)
        retry_at = self.deadline if may_wait else None
        return Seen(
            self.id, self.kind, self.pool, self.number, self.state, busy, self.leaving, retry_at, drained, self.extra
        )
