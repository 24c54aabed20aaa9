"""What is known of the jobs that a worker has begun, in this life and in earlier ones; `begun` writes and reads it."""

from __future__ import annotations

from msgspec import Struct

from primectl.wire.job import JobId

NONE = JobId(0)


class Begun(Struct, frozen=True):
    """The notes of one worker."""

    current: JobId
    """The job that it began last, 0 when it has said that it rests. Of a worker that is gone: what it ended in."""
    ids: frozenset[JobId]
    """The latest of those that may run only once. Whether they came to their end is not told."""
    complete_since: float
    """Monotonic seconds: what may run only once, was begun after this and is not in `ids` was not begun here. 0.0 while
    nothing is forgotten."""
    broken: frozenset[JobId]
    """The jobs in which earlier lives ended."""
    alive: bool = False
    """Whether a process of this name lives, told by a lock that the kernel releases at its end."""

    def lost(self) -> frozenset[JobId]:
        """Of a worker that is gone: what it may have begun without an end. A job is in here for good."""
        return self.broken | {self.current} if self.current else self.broken
