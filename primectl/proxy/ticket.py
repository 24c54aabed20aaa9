"""A job on its way through a pool: it waits in line or a worker holds it, until it ends."""

from __future__ import annotations

from math import inf

from msgspec import Struct

from primectl.wire.job import VALUE, JobId, WireJob

Address = bytes
"""The identity of a worker's work lane at the `out` socket."""
NOBODY = b""

GONE = WireJob(JobId(0), "", -inf, VALUE, False, b"")
"""What is left of a job that ended while it waited: its place in the line, and nothing of its payload."""


class Ticket(Struct, gc=False):
    """`arrived` stays with a job until it leaves the pool, however often it is dealt."""

    job: WireJob
    arrived: float
    holder: Address = NOBODY
    """The worker that has it; NOBODY while it waits."""
    solo: bool = False
    """To be dealt alone: a worker was lost that had begun it."""
    hollow: bool = False
    """A worker holds it for an earlier run of this proxy: only its id is known, until its server sends it again."""
    cancelled: bool = False
    """Its worker has been told that nobody waits for it any more."""
    streaming: bool = False
    """The first part of its answer is out."""
    spared: int = 0
    """How often its worker was lost and had not begun it."""

    @property
    def waits(self) -> bool:
        """No worker has it."""
        return self.holder == NOBODY


def hollow(job: JobId, holder: Address, now: float) -> Ticket:
    """For a job that a worker says it holds."""
    return Ticket(WireJob(job, "", inf, VALUE, False, b""), now, holder, hollow=True)
