"""What is known of the health of one life of a process; `health` judges by it.

A silent process is looked at once a second: what its threads have done, what its notes say that it runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

LOOKS = 6
ENOUGH_LOOKS = 3
"""Before one is taken for dead: it may be the supervisor that was stopped, and reports are on their way."""
BUSY = 0.05
"""Share of a core that a thread uses which works, however many share it."""
WAITS_PER_S = 100
"""A thread that goes to sleep so often waits for the interpreter's lock (each millisecond, in a worker). It takes up to
a tenth of a core, and is no work."""


class Finding(Enum):
    """What is wrong with a process, as far as anything is."""

    WELL = "well"
    WORKS = "silent, but works"
    WAITS = "silent, and waits in its job"
    DEAD = "dead inside"


class Thread(NamedTuple):
    """A thread at one moment."""

    cpu_s: float
    sleeps: int
    """How often it has given up the processor by itself."""
    wants: bool
    """It runs, or would if there were a core for it, or waits for a disk; or a debugger holds it."""


def works(before: Mapping[int, Thread], after: Mapping[int, Thread], elapsed_s: float) -> bool:
    """Whether any of the threads has done anything between two looks."""
    for number, now in after.items():
        then = before.get(number)
        if then is None or (now.sleeps - then.sleeps) / elapsed_s > WAITS_PER_S:
            continue
        if now.wants or (now.cpu_s - then.cpu_s) / elapsed_s >= BUSY:
            return True
    return False


class Health:
    """What is known of the health of one life of a process."""

    __slots__ = ("_looks", "has_worked", "pulse_s", "request", "runs", "told")

    def __init__(self) -> None:
        self.pulse_s = 0.0
        """For how long its main thread has not answered, by its own word."""
        self.request = ""
        """Of the job that it runs."""
        self.runs: bool | None = None
        """Whether it runs a job, by the notes that it leaves; None while it speaks for itself, or keeps none."""
        self.told = Finding.WELL
        """What operators know of it."""
        self.has_worked = False
        """It is known for jobs that keep it silent: it is told of once, not with each job."""
        self._looks: deque[bool] = deque(maxlen=LOOKS)

    def heard(self) -> None:
        """It is not silent."""
        self.runs = None
        self._looks.clear()

    def looked(self, working: bool | None, request: str | None) -> None:
        """What a look has shown: whether it has worked since the last one, None at the first; the request that it runs,
        "" for none, None where it keeps no notes."""
        if working is not None:
            self._looks.append(working)
        if request is not None:
            self.runs, self.request = request != "", request

    @property
    def works(self) -> bool | None:
        """At half of the last looks at least; None while there are too few."""
        return None if len(self._looks) < ENOUGH_LOOKS else 2 * sum(self._looks) >= len(self._looks)
