"""The sentence that names the bottleneck, and what a new size would change: operational laws in words.

Utilisation law: busy workers = arrival rate × mean service time, so workers needed = that / 0.9.
Little's law: time to work off a queue = queue / (rate out - rate in). Both from ten seconds of measurements, so they
are estimates and say so where it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from msgspec import Struct

from primectl.wire.stats import ClusterSnapshot, ClusterState, PoolSnapshot
from tui.present import units
from tui.present.clean import clean
from tui.present.journal import STOPPED

AIM = 0.9
"""Utilisation to size for: above it, waiting times of random arrivals grow without a bound."""
PATIENCE_S = 2.0
"""How long the first word of a supervisor may take before its silence is worth a sentence."""


class Advice(Struct, frozen=True):
    """What to know, what to do about it; `pool` is the one that it is about. `urgent`: something is wrong."""

    text: str
    remedy: str = ""
    pool: str = ""
    urgent: bool = False


class Estimate(Struct, frozen=True):
    """A pool at another size. `drain_s`: until today's queue is gone; None when it would never be."""

    utilisation: float | None
    drain_s: float | None


def needed(pool: PoolSnapshot) -> int:
    """Workers that the pool's arrivals need at 90 % use; 0 while nothing was measured."""
    return ceil(pool.arrival_rate * pool.service_ms / 1e3 / AIM - 1e-9)


def estimate(pool: PoolSnapshot, workers: int) -> Estimate:
    """The pool with `workers`, if jobs keep arriving and taking as long as they do."""
    if pool.service_ms <= 0:
        return Estimate(None, 0.0 if not pool.queued else None)
    if workers <= 0:
        return Estimate(None, 0.0 if not pool.queued and pool.arrival_rate <= 0 else None)
    service_s = pool.service_ms / 1e3
    spare = workers / service_s - pool.arrival_rate
    if not pool.queued:
        drain: float | None = 0.0
    else:
        drain = pool.queued / spare if spare > 1e-9 else None
    return Estimate(pool.arrival_rate * service_s / workers, drain)


def advise(snapshot: ClusterSnapshot, growth: Mapping[str, float]) -> Advice:
    """The one thing that an operator should know now."""
    if snapshot.state is not ClusterState.RUNNING:
        state = f"The cluster is {snapshot.state.value}"
        progress = clean(snapshot.progress)
        return Advice(f"{state}: {progress}" if progress else f"{state}.", urgent=snapshot.state is ClusterState.FAILED)
    by_pressure = sorted(snapshot.pools, key=_pressure, reverse=True)
    return next(
        (
            advice
            for advice in (
                *(_draining(pool) for pool in snapshot.pools),
                *(_without_workers(pool) for pool in snapshot.pools),
                *(_without_new_workers(pool) for pool in snapshot.pools),
                *(_bottleneck(pool, growth.get(pool.name, 0.0)) for pool in by_pressure),
                *(_with_failures(pool, snapshot) for pool in snapshot.pools),
                _unrecorded(snapshot),
            )
            if advice
        ),
        _calm(snapshot),
    )


def advise_in_silence(known: bool, silent_s: float) -> Advice:
    """When there is no news: what that means for the cluster, and how it comes back."""
    if not known and silent_s <= PATIENCE_S:
        return Advice("Waiting for the first word of the supervisor.")
    since = units.duration(silent_s)
    return Advice(
        f"No word from the supervisor for {since}. Servers and workers go on without it; "
        "`primectl up -d` starts all anew.",
        urgent=True,
    )


def serving(pool: PoolSnapshot) -> int:
    """Workers that take jobs."""
    return max(0, pool.workers - pool.draining)


def _draining(pool: PoolSnapshot) -> Advice | None:
    """About a pool that an operator has set aside: somebody shall not forget it."""
    name = clean(pool.name)
    if pool.state == "draining":
        left = pool.queued + pool.in_flight
        todo = f"{units.plural(left, 'job')} to finish" if left else "it is empty"
        return Advice(f"{name} is draining, {todo}; what comes for it is answered 503.", "D resume", pool.name, True)
    if pool.queued and pool.workers and not serving(pool):
        waiting = units.plural(pool.queued, "job waits", "jobs wait")
        return Advice(f"All workers of {name} are draining and {waiting}.", "D resume", pool.name, True)
    return None


def _without_workers(pool: PoolSnapshot) -> Advice | None:
    if pool.workers - pool.failed_workers - pool.starting > 0 or not (pool.queued or pool.target):
        return None
    name = clean(pool.name)
    if pool.starting:
        return Advice(f"{name} has no worker yet, {units.plural(pool.starting, 'is', 'are')} starting.", pool=pool.name)
    waiting = f", {units.plural(pool.queued, 'job waits', 'jobs wait')}" if pool.queued else ""
    if pool.target:
        return Advice(f"{name} has no working worker{waiting}.", "6 logs", pool.name, urgent=True)
    return Advice(f"{name} is scaled to 0{waiting}.", "s scale", pool.name, urgent=True)


def _without_new_workers(pool: PoolSnapshot) -> Advice | None:
    return Advice(f"{clean(pool.name)}: {clean(pool.trouble)}.", pool=pool.name, urgent=True) if pool.trouble else None


def _with_failures(pool: PoolSnapshot, snapshot: ClusterSnapshot) -> Advice | None:
    if not pool.failed_workers:
        return None
    failed = [process for process in snapshot.processes if process.pool == pool.name and process.state == "failed"]
    cause = clean(failed[0].cause) if failed and failed[0].cause else ""
    who = clean(failed[0].id) if len(failed) == 1 else f"{pool.failed_workers} workers of {clean(pool.name)}"
    return Advice(f"{who} failed{': ' + cause if cause else '.'}", "3 workers", pool.name, urgent=True)


def _unrecorded(snapshot: ClusterSnapshot) -> Advice | None:
    if snapshot.journal.state != STOPPED:
        return None
    return Advice(f"Requests are not recorded: {clean(snapshot.journal.trouble)}.", urgent=True)


def _pressure(pool: PoolSnapshot) -> tuple[float, int]:
    return pool.utilisation, pool.queued


def _bottleneck(pool: PoolSnapshot, growing: float) -> Advice | None:
    """About a pool whose workers are all in use while jobs wait, or whose queue grows."""
    if not (pool.queued and (pool.utilisation >= AIM or growing > 0.5 or not pool.idle)):
        return None
    if pool.queued <= pool.workers and growing <= 0.5:
        return None
    name = clean(pool.name)
    wanted = needed(pool)
    there = serving(pool)
    if wanted <= there and growing <= 0.5:
        drain = estimate(pool, there).drain_s
        if drain is None:
            return Advice(f"{name}: {pool.queued} jobs wait and all {there} workers are busy.", "s scale", pool.name)
        return Advice(f"{name} works off {pool.queued} waiting jobs, ~{units.duration(drain)} to go.", pool=pool.name)
    if wanted > there:
        most = f" (it may have {pool.max_workers})" if 0 < pool.max_workers < wanted else ""
        text = (
            f"{name} is the bottleneck: {units.rate(pool.arrival_rate)}/s at {units.milliseconds(pool.service_ms)} "
            f"needs {units.plural(wanted, 'worker')} at 90% use{most}, it has {there}."
        )
    else:
        text = f"{name} falls behind: {pool.queued} jobs wait, {pool.busy} of {there} workers are busy."
    if growing > 0.5:
        text += f" Queue grows {units.rate(growing)}/s"
        if pool.max_queue > pool.queued:
            left = units.duration((pool.max_queue - pool.queued) / growing)
            text += f" and is full ({units.count(pool.max_queue)}) in ~{left}"
        text += "."
    return Advice(text, "s scale", pool.name, urgent=True)


def _calm(snapshot: ClusterSnapshot) -> Advice:
    if not snapshot.pools:
        return Advice("The cluster has no pools.")
    busiest = max(snapshot.pools, key=_pressure)
    if busiest.utilisation < 0.005 and snapshot.front.rate < 0.05:
        where = f" Ask it at {clean(snapshot.front.listen)}" if snapshot.front.listen else ""
        return Advice(f"Everything is ready and idle.{where}")
    return Advice(f"Every pool keeps up; the busiest is {clean(busiest.name)} at {units.share(busiest.utilisation)}.")
