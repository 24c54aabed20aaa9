"""What is shown of the books: pools, processes, whether clients may come, what a start waits for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from primectl.config.topology import proxy_id
from primectl.wire.control import Readiness
from primectl.wire.stats import ClusterState, PoolSnapshot, ProcessSnapshot, Role
from supervisor.aggregate import STALE_S
from supervisor.books import Books
from supervisor.events import Kind
from supervisor.lifecycle import READY
from supervisor.lifecycle import ProcessState as S
from supervisor.operations import names
from supervisor.process import Process

LAST_LINES = 10
LINE_LENGTH = 200
LOGS_OF = 8
"""Processes whose last lines are shown: when more than these have failed, they fail alike."""


def pools(books: Books, now: float) -> list[PoolSnapshot]:
    """In the order of the config file."""
    return [_pool(books, pool, now) for pool in books.config.pools]


def processes(books: Books, now: float) -> list[ProcessSnapshot]:
    """Servers, then pool by pool its proxy and its workers by number, the recorder; no zygotes."""
    shown = [process for process in books.processes.values() if process.kind is not Kind.ZYGOTE]
    shown.sort(key=_reading_order(list(books.config.pools)))
    failed = [process.id for process in shown if process.state is S.FAILED][:LOGS_OF]
    return [_process(books, process, now, LAST_LINES if process.id in failed else 0) for process in shown]


def supervisor(myself: Process, now: float) -> ProcessSnapshot:
    return ProcessSnapshot(
        id=myself.id,
        role=Role.SUPERVISOR,
        pid=myself.pid,
        state=S.RUNNING,
        uptime_s=now - myself.began_at,
        cpu_percent=myself.cpu_percent,
        rss_bytes=myself.rss_bytes,
    )


def readiness(books: Books, state: ClusterState) -> Readiness:
    """What `ready_path` shall say: every pool that shall have workers takes jobs."""
    if state is not ClusterState.RUNNING:
        return Readiness(False, f"the cluster is {state}")
    for pool, target in books.targets.items():
        if not target:
            continue
        proxy = books.processes.get(proxy_id(pool))
        if proxy is None or proxy.state is not S.RUNNING:
            return Readiness(False, f"pool {pool} has no proxy")
        if books.drains[pool].whole:
            return Readiness(False, f"pool {pool} is draining")
        there = [worker for worker in books.workers(pool) if worker.state is S.RUNNING]
        if not there:
            return Readiness(False, f"pool {pool} has no worker")
        if all(map(books.is_drained, there)):
            return Readiness(False, f"all workers of pool {pool} are draining")
    return Readiness(True)


def waiting_for(waiting: Sequence[Process], books: Books) -> str:
    """How far a start is, in words."""
    importing = [process.pool for process in waiting if process.kind is Kind.ZYGOTE]
    shown = [process.id for process in waiting if process.kind is not Kind.ZYGOTE]
    total = sum(process.kind is not Kind.ZYGOTE for process in books.processes.values())
    text = f"{total - len(shown)} of {total} processes ready"
    if importing:
        return f"{text}, importing the handler of {names(importing)}"
    return f"{text}, waiting for {names(shown)}" if shown else text


def _pool(books: Books, pool: str, now: float) -> PoolSnapshot:
    settings = books.config.pools[pool]
    workers = books.workers(pool)
    there = [worker for worker in workers if worker.state in READY]
    busy = sum(books.is_busy(worker, now) for worker in there)
    base = PoolSnapshot(
        name=pool,
        target=books.targets[pool],
        workers=len(there),
        busy=busy,
        idle=len(there) - busy,
        starting=sum(worker.state in (S.STARTING, S.BACKOFF) for worker in workers),
        draining=sum(books.shown_state(worker) is S.DRAINING for worker in workers),
        failed_workers=sum(worker.state is S.FAILED for worker in workers),
        max_workers=settings.max_workers,
        max_queue=settings.max_queue,
        configured=settings.workers,
        state="draining" if books.drains[pool].whole else "running",
        trouble=_trouble(books, pool, now),
    )
    return books.pools[pool].snapshot(base, now)


def _trouble(books: Books, pool: str, now: float) -> str:
    """What keeps a pool from getting new workers."""
    zygote = books.processes.get(books.zygotes.get(pool, ""))
    if zygote is None:
        return ""
    if zygote.state is S.FAILED:
        mend = f"`primectl restart {pool}` tries again"
        return f"no new workers, its handler cannot be imported: {zygote.cause}; {mend}"
    if zygote.state is S.BACKOFF and _retry_in_s(zygote, now) > 0:
        return f"no new workers until its handler is imported: {zygote.cause}"
    return ""


def _retry_in_s(process: Process, now: float) -> float:
    if process.state is not S.BACKOFF or process.deadline is None:
        return 0.0
    return max(0.0, process.deadline - now)


def _process(books: Books, process: Process, now: float, last_lines: int) -> ProcessSnapshot:
    alive, busy = process.alive, books.is_busy(process, now)
    ready_s = process.ready_s(now) if alive else None
    return ProcessSnapshot(
        id=process.id,
        role=process.kind.role,
        pool=process.pool,
        pid=process.pid if alive else 0,
        state=books.shown_state(process),
        busy=busy,
        uptime_s=now - process.began_at if alive else 0.0,
        restarts=process.restarts,
        jobs=process.jobs,
        cpu_percent=process.cpu_percent if alive else 0.0,
        rss_bytes=process.rss_bytes if alive else 0,
        job_s=_job_s(books, process, now) if busy else 0.0,
        heartbeat_age_s=max(0.0, now - process.heard_at) if process.state in READY else 0.0,
        cause=process.cause,
        counters={name: count for name, count in process.counters.items() if count} if alive else {},
        crashes=process.crashes.crashes(ready_s, books.config.supervisor),
        retry_in_s=_retry_in_s(process, now),
        last_lines=[line[:LINE_LENGTH] for line in process.last_lines[-last_lines:]] if last_lines else [],
        request=process.health.request if busy else "",
        generation=process.generation if process.kind is Kind.WORKER else 0,
    )


def _job_s(books: Books, process: Process, now: float) -> float:
    """Its own word, unless that is old."""
    return process.job_s if now - process.heard_at < STALE_S else books.held_s(process, now)


def _reading_order(pools: list[str]) -> Callable[[Process], tuple[int, int, int]]:
    rank = {pool: index for index, pool in enumerate(pools)}

    def key(process: Process) -> tuple[int, int, int]:
        if process.kind is Kind.SERVER:
            return 0, 0, process.number
        if process.kind is Kind.RECORDER:
            return 1 + len(rank), 0, 0
        return 1 + rank[process.pool], int(process.kind is Kind.WORKER), process.number

    return key
