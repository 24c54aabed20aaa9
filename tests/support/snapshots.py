"""Builders of what an operator sees: each gives a likely value, and takes whatever the test is about."""

from __future__ import annotations

from typing import Any

from primectl.wire.stats import ClusterSnapshot, ClusterState, Event, FrontSnapshot, PoolSnapshot, ProcessSnapshot, Role

NOON = 1_760_000_000.0
"""The Unix time that built snapshots have by default."""


def a_pool(name: str = "compute", **changes: Any) -> PoolSnapshot:
    """A pool of four workers, one of them busy, with nothing waiting."""
    likely: dict[str, Any] = {
        "target": 4,
        "workers": 4,
        "busy": 1,
        "idle": 3,
        "in_flight": 1,
        "done": 120,
        "rate": 40.2,
        "arrival_rate": 40.2,
        "p50_ms": 0.4,
        "p99_ms": 2.1,
        "service_ms": 25.0,
        "utilisation": 0.25,
        "max_workers": 64,
        "max_queue": 20_000,
    }
    return PoolSnapshot(name=name, **(likely | changes))


def a_process(id: str = "compute.1", **changes: Any) -> ProcessSnapshot:  # noqa: A002  the name in the snapshot
    """A running process; its role and pool follow from its id."""
    name, _, number = id.rpartition(".")
    role = (
        Role.SUPERVISOR
        if id == "supervisor"
        else Role.SERVER
        if name == "server"
        else Role.PROXY
        if name == "proxy"
        else Role.WORKER
    )
    pool = number if role is Role.PROXY else name if role is Role.WORKER else ""
    likely: dict[str, Any] = {
        "role": role,
        "pool": pool,
        "pid": 4242,
        "state": "running",
        "uptime_s": 12.0,
        "jobs": 33,
        "cpu_percent": 3.1,
        "rss_bytes": 21_000_000,
        "heartbeat_age_s": 0.2,
    }
    return ProcessSnapshot(id=id, **(likely | changes))


def workers_of(pool: PoolSnapshot) -> list[ProcessSnapshot]:
    """The workers that the pool's figures speak of: busy ones first, then idle, starting, draining, failed."""
    states = (
        [("running", True)] * pool.busy
        + [("running", False)] * pool.idle
        + [("starting", False)] * pool.starting
        + [("draining", True)] * pool.draining
        + [("failed", False)] * pool.failed_workers
    )
    return [
        a_process(
            f"{pool.name}.{number}",
            pool=pool.name,
            role=Role.WORKER,
            state=state,
            busy=busy,
            job_s=0.04 if busy else 0.0,
        )
        for number, (state, busy) in enumerate(states, 1)
    ]


def a_cluster(*pools: PoolSnapshot, **changes: Any) -> ClusterSnapshot:
    """A running cluster of these pools (one, if none are given) with every process that they speak of."""
    pools = pools or (a_pool(),)
    processes = [a_process("supervisor"), a_process("server.1", jobs=0)]
    for pool in pools:
        processes.append(a_process(f"proxy.{pool.name}", pool=pool.name, role=Role.PROXY, jobs=0))
        processes += workers_of(pool)
    likely: dict[str, Any] = {
        "cluster": "prime",
        "state": ClusterState.RUNNING,
        "uptime_s": 353_000.0,
        "time": NOON,
        "config": "prime (built in)",
        "pools": list(pools),
        "processes": processes,
        "front": FrontSnapshot(
            listen="http://127.0.0.1:8002",
            connections=61,
            in_flight=3,
            requests=81_234,
            rate=118.4,
            error_rate=0.0,
            classes=(0, 0, 81_000, 0, 230, 4),
            p50_ms=2.1,
            p99_ms=12.0,
        ),
    }
    return ClusterSnapshot(**(likely | changes))


def an_event(number: int = 1, **changes: Any) -> Event:
    """Something that happened."""
    likely: dict[str, Any] = {
        "time": NOON - 100 + number,
        "kind": "scaled",
        "subject": "compute",
        "text": "2 → 4 workers in 0.1 s",
        "operator": "ana",
    }
    return Event(number=number, **(likely | changes))
