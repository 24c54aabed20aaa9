"""What a pool that cannot keep up does to memory: 20,000 requests at once, far more than its workers can do.

    python -m tests.bench.slow_pool [--requests 20000] [--body 0]

Four workers of 2 ms a job. The server lets `max_inflight` (10,000) in and answers the rest 503 at once; all that were
let in are answered. Memory of server and proxy before, at its height (looked at ten times a second), and afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator

import psutil

from tests.bench.report import report
from tests.support.cluster import ClusterUnderTest
from tests.support.load import Ask, Result, closed, get, post

CONNECTIONS = 500
LOOK_S = 0.1
SETTLE_S = 1.0
MIB = 1 << 20
CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"
access_log = false

[routes]
"/slow" = "slow"

[pools.slow]
handler = "slow:slow"
workers = 4
"""
SLOW = """
import time

from primectl import Response


def slow(request, job):
    time.sleep(0.002)
    return Response.text("done")
"""


async def run(url: str, pids: dict[str, int], requests: int, body: int) -> tuple[Result, dict[str, dict[str, float]]]:
    """What clients saw, and the memory in MiB by process: before, height, after."""

    def rss() -> dict[str, float]:
        return {name: psutil.Process(pid).memory_info().rss / MIB for name, pid in pids.items()}

    before, height = rss(), rss()
    refused = frozenset({503})
    ask = post("/slow", bytes(body), b"done", refused) if body else get("/slow", b"done")._replace(bears=refused)
    asks: Iterator[Ask] = (ask for _ in range(requests))
    each = requests // CONNECTIONS
    going = asyncio.create_task(closed(url, asks, connections=CONNECTIONS, requests=requests, pipeline=each))
    while not going.done():
        await asyncio.wait([going], timeout=LOOK_S)
        height = {name: max(height[name], now) for name, now in rss().items()}
    await asyncio.sleep(SETTLE_S)
    after = rss()
    return going.result(), {
        name: {"before": round(before[name], 1), "height": round(height[name], 1), "after": round(after[name], 1)}
        for name in pids
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--body", type=int, default=0, help="bytes that each request brings, by POST")
    options = parser.parse_args()
    with ClusterUnderTest(CONFIG, files={"slow.py": SLOW}) as cluster:
        url = cluster.up().url
        pids = {name: pid for name, pid in cluster.pids().items() if name in ("server.1", "proxy.slow")}
        result, memory = asyncio.run(run(url, pids, options.requests, options.body))
    # A refusal in the middle of a body closes the connection: what was pipelined behind it is not answered.
    assert result.wrong == 0, result
    assert options.body or not result.failed, result
    figures = {
        "answered": result.requests - result.borne,
        "refused_503": result.borne,
        "cut": result.failed,
        "max_ms": result.max_ms,
    }
    parameters = {"requests": options.requests, "connections": CONNECTIONS, "body_bytes": options.body}
    report("slow_pool", "memory", parameters, {**figures, "rss_mib": memory}, n=result.requests)


if __name__ == "__main__":
    main()
