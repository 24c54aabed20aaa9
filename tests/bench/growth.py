"""Does a request cost more with more connections, with more workers, or after many requests?

    python -m tests.bench.growth [--seconds 3]                 connections and workers
    python -m tests.bench.growth --requests 10000000           uptime: memory of every process at start and end

The cost is the CPU time of all processes of the cluster, as the kernel counts it, divided by the requests: it leaves
out what the load generator takes, and hardly depends on what else the machine does. One connection alone costs more a
request, since nothing can be batched.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import resource
from typing import Any

import psutil

from tests.bench.report import report
from tests.bench.throughput import TWO_POOLS
from tests.support.cluster import ClusterUnderTest
from tests.support.load import Result, closed, primes

CONNECTIONS = (1, 8, 64, 512, 2000)
WORKERS = (1, 4, 16, 64)
USUAL = 64
ROUND = 250_000
"""Requests between two looks at the memory."""
MIB = 1 << 20


def cpu_s(cluster: ClusterUnderTest) -> float:
    """CPU seconds that all processes of the cluster have taken."""
    times = [psutil.Process(pid).cpu_times() for pid in cluster.pids().values()]
    return sum(time.user + time.system for time in times)


def load(url: str, connections: int, **limit: Any) -> Result:
    result = asyncio.run(closed(url, primes(), connections=connections, **limit))
    assert (result.wrong, result.failed) == (0, 0), result
    return result


def cost(cluster: ClusterUnderTest, connections: int, seconds: float) -> tuple[dict[str, float], int]:
    """µs of CPU a request, and its rate; how many requests there were."""
    url = cluster.url
    load(url, connections, seconds=min(seconds, 0.5))  # warm up
    before = cpu_s(cluster)
    result = load(url, connections, seconds=seconds)
    used = cpu_s(cluster) - before
    told = {"cpu_us": round(used / result.requests * 1e6, 1), "rate": result.rate, "p99_ms": result.p99_ms}
    return told, result.requests


def by_connections_and_workers(seconds: float) -> None:
    with ClusterUnderTest(TWO_POOLS) as cluster:
        cluster.up()
        for connections in CONNECTIONS:
            figures, n = cost(cluster, connections, seconds)
            report("growth", "connections", {"connections": connections, "compute_workers": 4}, figures, n=n)
        for workers in WORKERS:
            cluster.cli("scale", f"compute={workers}")
            figures, n = cost(cluster, USUAL, seconds)
            report("growth", "workers", {"connections": USUAL, "compute_workers": workers}, figures, n=n)


def by_uptime(requests: int) -> None:
    with ClusterUnderTest(TWO_POOLS) as cluster:
        url = cluster.up().url
        pids = cluster.pids()

        def rss_mib() -> dict[str, float]:
            return {name: round(psutil.Process(pid).memory_info().rss / MIB, 2) for name, pid in pids.items()}

        load(url, USUAL, requests=min(ROUND, requests))  # caches and pools of memory fill first
        begun, first = rss_mib(), cpu_s(cluster)
        done, per_request = 0, []
        for size in itertools.chain(itertools.repeat(ROUND, requests // ROUND), filter(None, [requests % ROUND])):
            before = cpu_s(cluster)
            load(url, USUAL, requests=size)
            per_request.append((cpu_s(cluster) - before) / size)
            done += size
        figures = {
            "rss_start_mib": begun,
            "rss_end_mib": rss_mib(),
            "cpu_us": round((cpu_s(cluster) - first) / done * 1e6, 1),
            "cpu_us_first_round": round(per_request[0] * 1e6, 1),
            "cpu_us_last_round": round(per_request[-1] * 1e6, 1),
        }
        report("growth", "uptime", {"connections": USUAL, "requests": done}, figures, n=done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each of the measurements")
    parser.add_argument("--requests", type=int, default=0, help="how many to send for the uptime, 0 for none of that")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.requests:
        by_uptime(options.requests)
    else:
        by_connections_and_workers(options.seconds)


if __name__ == "__main__":
    main()
