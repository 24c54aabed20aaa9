"""What keeps memory bounded: requests beyond a bound are refused or wait, clients that do not read wait, and a
connection leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, wait_until
from tests.support.load import closed, get

MIB = 1 << 20
LARGE = 20 * MIB
READERS = 20
POOLS = """
[pools.work]
handler = "cases:work"
workers = 2

[pools.large]
handler = "cases:work"
workers = 2
"""
NARROW = """
[pools.first]
handler = "cases:first"
max_queue = 50

[pools.second]
handler = "cases:work"
max_queue = 20
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterOfCases]:
    with ClusterOfCases(POOLS, "access_log = false") as cluster:
        cluster.up()
        yield cluster


@pytest.fixture
def narrow() -> Iterator[ClusterOfCases]:
    with ClusterOfCases(NARROW, 'max_inflight = 2000\nmax_inflight_size = "32MiB"') as cluster:
        cluster.up()
        yield cluster


def test_a_hundred_thousand_requests_on_one_connection_leave_nothing_behind(cluster: ClusterOfCases):
    async def many(requests: int) -> None:
        asks = (get(f"/work/count?n={number % 10}", str(number % 10).encode()) for number in range(requests))
        result = await closed(cluster.url, asks, connections=1, requests=requests, pipeline=200)
        assert (result.requests, result.wrong, result.failed, result.reconnects) == (requests, 0, 0, 0), result

    asyncio.run(many(5_000))
    before = {process: cluster.rss(process) for process in ("server.1", "proxy.work", "work.1")}
    asyncio.run(many(100_000))
    for process, rss in before.items():
        assert cluster.rss(process) < rss + 16 * MIB
    wait_until(lambda: cluster.ps()["server"]["in_flight"] == 0, what="nothing open")
    wait_until(lambda: cluster.pool("work")["in_flight"] == cluster.pool("work")["queued"] == 0, what="no job left")


def test_clients_that_do_not_read_a_large_answer_take_bounded_memory_and_nobody_elses_time(cluster: ClusterOfCases):
    before = cluster.rss("server.1")
    with Asker(cluster.url) as asker, ExitStack() as stack:
        for _ in range(READERS):
            client = socket.socket()
            stack.enter_context(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(asker.address)
            client.sendall(f"GET /large/large?bytes={LARGE} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        highest = before
        for _ in range(50):
            assert asker.ask("/work/quick").status == 200
            highest = max(highest, cluster.rss("server.1"))
        assert highest < before + READERS * LARGE // 2, f"{highest // MIB} MiB, {before // MIB} before"
    wait_until(lambda: cluster.rss("server.1") < before + 2 * LARGE, what="the memory of the server back")
    with Asker(cluster.url) as asker:
        assert len(asker.ask(f"/large/large?bytes={LARGE}").body) == LARGE


def test_a_full_pool_holds_back_the_pool_before_it_and_a_full_server_refuses(narrow: ClusterOfCases):
    with Asker(narrow.url) as asker, ExitStack() as stack:
        blocker = asker.begin("/second/sleep?n=block&s=3")
        narrow.await_pid("block")
        clients = [stack.enter_context(asker.connect()) for _ in range(25)]
        for client, connection in enumerate(clients):
            asks = (f"GET /first/count?n=of{client}.{n} HTTP/1.1\r\nHost: test\r\n\r\n" for n in range(100))
            connection.sendall("".join(asks).encode())
        refused = wait_until(lambda: None if (told := asker.ask("/second/quick")).status == 200 else told)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert narrow.pool("second")["queued"] <= 20 + 64, "its bound, and one batch"
        assert blocker.result().status == 200
