"""How long a process may be silent. Silence is shown and told, not punished.

A process reports from a thread of its own, so silence means a stopped process (SIGSTOP), a starved machine, or a
handler that holds the interpreter's lock in C. The last may be honest work on a large number: killing it would lose
what the operator waits for, so that decision is the operator's.
"""

from __future__ import annotations

from enum import StrEnum

LATE_S = 3.0
"""Three reports of the slowest reporter, a worker, which sends one a second."""
LOST_S = 10.0


class Liveness(StrEnum):
    HEALTHY = "healthy"
    LATE = "late"
    LOST = "lost"


def liveness(silent_s: float) -> Liveness:
    """What silence of so many seconds means."""
    if silent_s < LATE_S:
        return Liveness.HEALTHY
    return Liveness.LATE if silent_s < LOST_S else Liveness.LOST
