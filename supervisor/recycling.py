"""Workers that have run long enough: which of them are replaced now, and why.

A worker over a bound of its pool (`max_jobs`, `max_rss`, `max_age`) is retired as by an operator: it finishes what it
has, and a new one takes its place. Staggered twice: each worker's bounds lie up to a tenth below the pool's, by its
number, so that those that began together do not end together; and a pool gives up one at a time, from eight workers on
an eighth, and the next only when all others run.
"""

from __future__ import annotations

from typing import NamedTuple

from primectl.config.model import PoolConfig
from primectl.config.units import show_duration, show_size
from primectl.wire.stats import ClusterState
from supervisor.books import Books
from supervisor.lifecycle import ProcessState as S
from supervisor.operations import Scaling
from supervisor.process import Process

SPREAD = 0.1
GOLDEN = 0.618_034
"""Its multiples, without their whole part, lie evenly between 0 and 1 however many there are."""
SMALL_POOL = 8
GROWN_S = 10.0
"""A worker that is too large when it is this young would be so again at once; it is left alone until then."""


class Due(NamedTuple):
    """A worker to be replaced. `cause` is short, `by` how far it is over its bound: 1.0 is at it."""

    process: Process
    text: str
    cause: str
    by: float


def due(books: Books, now: float) -> list[Due]:
    """Who is to be retired now; nobody while the cluster is not whole. To be asked now and then."""
    if books.state is not ClusterState.RUNNING or books.stopping is not None:
        return []
    occupied = {pool for operation in books.desk.operations for pool in operation.occupies}
    occupied |= {operation.pool for operation in books.desk.operations if isinstance(operation, Scaling)}
    return [
        found
        for pool, settings in books.config.pools.items()
        if (settings.max_jobs or settings.max_rss or settings.max_age) and pool not in occupied
        for found in _due_in(pool, settings, books, now)
    ]


def _due_in(pool: str, settings: PoolConfig, books: Books, now: float) -> list[Due]:
    zygote = books.zygotes.get(pool)
    if zygote is not None and (zygote not in books.processes or books.processes[zygote].state is not S.RUNNING):
        return []  # nobody could take its place
    staying = [worker for worker in books.workers(pool) if not worker.leaving]
    if any(worker.state not in (S.RUNNING, S.FAILED) for worker in staying):
        return []
    over = [found for worker in staying if (found := _over(worker, settings, now)) is not None]
    at_once = 1 if len(staying) < SMALL_POOL else len(staying) // SMALL_POOL
    return sorted(over, key=lambda found: (-found.by, found.process.number))[:at_once]


def _over(worker: Process, settings: PoolConfig, now: float) -> Due | None:
    """Whether one that runs is over a bound, the first that it is over."""
    if worker.state is not S.RUNNING or worker.ready_at is None:
        return None
    age_s = now - worker.ready_at
    rss = worker.rss_bytes if age_s >= GROWN_S else 0
    share = bound_share(worker.number)
    for key, figure, bound, told, limit in (
        ("max_jobs", worker.jobs, settings.max_jobs, f"has run {worker.jobs} jobs", str(settings.max_jobs)),
        ("max_rss", rss, settings.max_rss, f"takes {rss / (1 << 20):.1f} MiB", show_size(settings.max_rss)),
        ("max_age", age_s, settings.max_age, f"is {age_s:.0f} s old", show_duration(settings.max_age)),
    ):
        if bound and figure >= max(1, bound * share):
            cause = f"it {told} ({key} = {limit})"
            return Due(worker, f"{worker.id} is replaced when it has finished: {cause}", cause, figure / bound)
    return None


def bound_share(number: int) -> float:
    """What part of its pool's bounds the worker of this number has."""
    return 1.0 - SPREAD * (number * GOLDEN % 1.0)
