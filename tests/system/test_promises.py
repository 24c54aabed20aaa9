"""Nothing accepted is lost: load with checked answers while the cluster is resized, killed, restarted and stopped."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.support.cluster import ClusterUnderTest, wait_until
from tests.support.load import Ask, Result, closed, get, primes

CONNECTIONS = 16


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest() as cluster:
        yield cluster.up()


class Load:
    """A load that runs until it is told to end."""

    def __init__(self, url: str, asks: Iterator[Ask] | None = None) -> None:
        self.over = asyncio.Event()
        self.task = asyncio.create_task(
            closed(url, asks or primes(), connections=CONNECTIONS, until=self.over, seconds=60)
        )

    async def end(self) -> Result:
        self.over.set()
        return await self.task


@asynccontextmanager
async def under_load(cluster: ClusterUnderTest) -> AsyncIterator[None]:
    """The body runs while clients ask; not one of them may notice."""
    load = Load(cluster.url)
    before = cluster.pool("compute")["done"]
    yield
    result = await load.end()
    assert (result.wrong, result.failed, result.refused) == (0, 0, 0), result
    assert result.requests > 100, result
    assert cluster.pool("compute")["done"] > before


async def operate(cluster: ClusterUnderTest, *words: str) -> str:
    """A command, while this process goes on with its load."""
    done = await asyncio.to_thread(cluster.cli, *words)
    return done.stdout


async def until(condition: Callable[[], object], what: str) -> None:
    """As `wait_until`, while this process goes on with its load."""
    await asyncio.to_thread(wait_until, condition, what=what)


async def test_a_pool_grows_and_shrinks_under_load(cluster: ClusterUnderTest):
    async with under_load(cluster):
        for size in (8, 1, 4, 2):
            await operate(cluster, "scale", f"compute={size}")
            pool = await asyncio.to_thread(cluster.pool, "compute")
            assert (pool["target"], pool["workers"]) == (size, size)


async def test_a_kill_broadcast_under_load_costs_no_request(cluster: ClusterUnderTest):
    async with under_load(cluster):
        for target, count in (("compute", 2), ("compute.1", 1), ("all", 3)):
            told = await operate(cluster, "kill", target, "--yes")
            assert f"KILL acknowledged by {count} of {count}" in told
            await until(lambda: cluster.ps()["processes"] and ready(cluster), "the replacements")


def ready(cluster: ClusterUnderTest) -> bool:
    return all(pool["workers"] == pool["target"] for pool in cluster.ps()["pools"])


async def test_sigkill_of_workers_under_load_costs_no_request(cluster: ClusterUnderTest):
    async with under_load(cluster):
        for worker in ("compute.1", "parse.1", "compute.2", "parse.1"):
            pid = (await asyncio.to_thread(cluster.pids))[worker]
            os.kill(pid, signal.SIGKILL)
            await until(lambda w=worker, p=pid: cluster.pids().get(w) not in (None, p) and ready(cluster), "a new one")


async def test_sigkill_of_a_proxy_under_load_costs_no_request(cluster: ClusterUnderTest):
    async with under_load(cluster):
        for proxy in ("proxy.compute", "proxy.parse"):
            pid = (await asyncio.to_thread(cluster.pids))[proxy]
            os.kill(pid, signal.SIGKILL)
            await until(lambda w=proxy, p=pid: cluster.pids().get(w) not in (None, p), "a new one")


async def test_a_rolling_restart_under_load_costs_no_request(cluster: ClusterUnderTest):
    async with under_load(cluster):
        for target in ("compute", "parse"):
            before = await asyncio.to_thread(cluster.pids)
            await operate(cluster, "restart", target)
            after = await asyncio.to_thread(cluster.pids)
            assert all(before[name] != after[name] for name in before if name.startswith(f"{target}."))


async def test_a_clean_stop_under_load_drops_no_request_that_was_let_in(cluster: ClusterUnderTest):
    load = Load(cluster.url)
    await until(lambda: cluster.pool("compute")["done"] > 100, "load")
    report = await asyncio.to_thread(cluster.down)
    result = await load.end()
    assert (result.wrong, result.failed) == (0, 0), result
    assert (report["cancelled"], report["killed"]) == (0, [])
    assert report["finished"] > 0


async def test_a_slow_request_is_finished_by_a_clean_stop():
    config = """
[cluster]
name = "{name}"
[server]
listen = "http://127.0.0.1:0"
[routes]
"/echo" = "echo"
[pools.echo]
handler = "primectl.handlers.echo:echo"
workers = 2
"""
    with ClusterUnderTest(config) as cluster:
        cluster.up()
        asks = iter([get("/echo?sleep=5"), get("/echo?sleep=5")])
        load = asyncio.create_task(closed(cluster.url, asks, connections=2, requests=2))
        await until(lambda: cluster.pool("echo")["busy"] == 2, "two busy workers")
        report = await asyncio.to_thread(cluster.down)
        result = await load
        assert (result.requests, result.wrong, result.failed) == (2, 0, 0)
        assert (report["finished"], report["cancelled"]) == (2, 0)


async def test_a_killed_server_is_replaced_and_nobody_is_refused_meanwhile(cluster: ClusterUnderTest):
    url = cluster.url
    pid = cluster.pids()["server.1"]
    os.kill(pid, signal.SIGKILL)
    result = await closed(url, itertools.islice(primes(), 50), connections=2, requests=50)
    assert (result.requests, result.wrong, result.failed, result.refused) == (50, 0, 0, 0)
    assert cluster.pids()["server.1"] != pid
    assert cluster.url == url


async def test_the_cluster_serves_on_when_the_supervisor_is_killed_and_the_next_one_takes_over(
    cluster: ClusterUnderTest,
):
    url = cluster.url
    supervisor = cluster.pids()["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    result = await closed(url, primes(), connections=CONNECTIONS, requests=1000)
    assert (result.requests, result.wrong, result.failed, result.refused) == (1000, 0, 0, 0), result
    await operate(cluster, "up", "-d")
    assert cluster.pids()["supervisor"] != supervisor
    assert ready(cluster)
