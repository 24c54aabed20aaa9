"""The life of one process, as a table. What the table lacks is illegal: it raises, and nothing moves.

    starting ──BecameReady──▶ running ──RetireAsked──▶ draining ──Ended──▶ exited ──StartAsked──▶ starting
       │                        │                          │
       ├────────Ended───────────┴──▶ backoff               └──KillAsked──▶ stopping ──Ended──▶ exited
       │                              │   │
       │◀──────────RetryDue───────────┘   └──RetriesSpent──▶ failed ──StartAsked──▶ starting

An end that was asked for leads to `exited`, from where a process that is still wanted starts again at once; an end
that nobody asked for leads to `backoff`. Guards are events (`RetriesSpent`), so the table is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum

from primectl.errors import IllegalTransition


class ProcessState(StrEnum):
    """The names that operators see; those of Supervisor where it has one."""

    STARTING = "starting"
    """Asked for, not yet READY."""
    RUNNING = "running"
    DRAINING = "draining"
    """Asked to finish what it has and leave."""
    STOPPING = "stopping"
    """Told to leave at once."""
    BACKOFF = "backoff"
    """Ended by itself; waits to be started again."""
    EXITED = "exited"
    """Not there, as was asked."""
    FAILED = "failed"
    """Ended by itself too often; waits for an operator."""


class Change(Enum):
    """What moves a process from one state to another."""

    START_ASKED = "start asked"
    ADOPTED = "adopted"
    """It runs already: an earlier supervisor has started it."""
    BECAME_READY = "became ready"
    RETIRE_ASKED = "retire asked"
    KILL_ASKED = "kill asked"
    ENDED = "ended"
    RETRY_DUE = "retry due"
    RETRIES_SPENT = "retries spent"
    NOT_WANTED = "not wanted"


S = ProcessState
C = Change

TRANSITIONS: Mapping[ProcessState, Mapping[Change, ProcessState]] = {
    S.STARTING: {
        C.BECAME_READY: S.RUNNING,
        C.RETIRE_ASKED: S.DRAINING,
        C.KILL_ASKED: S.STOPPING,
        C.ENDED: S.BACKOFF,
    },
    S.RUNNING: {C.RETIRE_ASKED: S.DRAINING, C.KILL_ASKED: S.STOPPING, C.ENDED: S.BACKOFF},
    S.DRAINING: {C.KILL_ASKED: S.STOPPING, C.ENDED: S.EXITED},
    S.STOPPING: {C.ENDED: S.EXITED},
    S.BACKOFF: {C.RETRY_DUE: S.STARTING, C.RETRIES_SPENT: S.FAILED, C.NOT_WANTED: S.EXITED},
    S.EXITED: {C.START_ASKED: S.STARTING, C.ADOPTED: S.STARTING},
    S.FAILED: {C.START_ASKED: S.STARTING, C.NOT_WANTED: S.EXITED},
}

# Tuples: a member is found by identity, where a set would call Enum.__hash__, which is Python, each time.
ALIVE = (S.STARTING, S.RUNNING, S.DRAINING, S.STOPPING)
"""States in which a process exists, or is about to."""
READY = (S.RUNNING, S.DRAINING)
"""States in which a worker may hold jobs."""
LEAVING = (S.DRAINING, S.STOPPING)


def after(state: ProcessState, change: Change) -> ProcessState:
    """The state that `change` leads to. Raises IllegalTransition for a pair that the table lacks."""
    try:
        return TRANSITIONS[state][change]
    except KeyError:
        raise IllegalTransition(f"a process that is {state} cannot take {change.value!r}") from None
