"""What keeps memory bounded: requests beyond a bound are refused or wait, clients that do not read wait, and a
connection leaves nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.asking import Asker, pipelined, read_answers
from tests.support.cluster import ClusterOfCases, wait_until
from tests.support.load import closed, get

MIB = 1 << 20
LARGE = 20 * MIB
READERS = 20
POOLS = """
[pools.plain]
handler = "cases:work"
workers = 2

[pools.large]
handler = "cases:work"
workers = 2
"""
INFLIGHT, QUEUE, BODY = 900, 50, bytes(20_000)
AT_ONCE = 16
"""Messages that a proxy reads before it looks again whether it is full; at `prefetch = 1` each brings one job."""
NARROW = f"""
[pools.first]
handler = "cases:first"
prefetch = 1
max_queue = {QUEUE}

[pools.second]
handler = "cases:work"
max_queue = {QUEUE}
"""
SERVER = "access_log = false"


@pytest.fixture(scope="module")
def narrow() -> Iterator[ClusterOfCases]:
    with ClusterOfCases(NARROW, f'max_inflight = {INFLIGHT}\nmax_inflight_size = "32MiB"') as cluster:
        cluster.up()
        yield cluster


def test_a_hundred_thousand_requests_on_one_connection_leave_nothing_behind(cluster: ClusterOfCases):
    async def many(requests: int) -> None:
        asks = itertools.repeat(get("/plain/size", b"0"))
        result = await closed(cluster.url, asks, connections=1, requests=requests, pipeline=200)
        assert (result.requests, result.wrong, result.failed, result.reconnects) == (requests, 0, 0, 0), result

    asyncio.run(many(5_000))
    before = {process: cluster.rss(process) for process in ("server.1", "proxy.plain", "plain.1")}
    asyncio.run(many(100_000))
    for process, rss in before.items():
        assert cluster.rss(process) < rss + 16 * MIB
    wait_until(lambda: cluster.ps()["server"]["in_flight"] == 0, what="nothing open")
    wait_until(lambda: cluster.pool("plain")["in_flight"] == cluster.pool("plain")["queued"] == 0, what="no job left")
    assert cluster.counter("server.1", "abandoned") == cluster.counter("proxy.plain", "cancelled") == 0


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
            assert asker.ask("/plain/quick").status == 200
            highest = max(highest, cluster.rss("server.1"))
        assert highest < before + READERS * LARGE // 2, f"{highest // MIB} MiB, {before // MIB} before"
    wait_until(lambda: cluster.rss("server.1") < before + 2 * LARGE, what="the memory of the server back")
    with Asker(cluster.url) as asker:
        assert len(asker.ask(f"/large/large?bytes={LARGE}").body) == LARGE


def test_a_full_pool_holds_back_the_pool_before_it_and_a_full_server_refuses(narrow: ClusterOfCases):
    clients, each = 25, 40
    with Asker(narrow.url) as asker, ExitStack() as stack:
        blocker = asker.begin("/second/gated?n=block")
        narrow.await_pid("block")
        sockets = [stack.enter_context(asker.connect()) for _ in range(clients)]
        for client, connection in enumerate(sockets):
            connection.sendall(pipelined([f"/first/size?n={client}"] * each, BODY))
        wait_until(lambda: narrow.pool("first")["queued"] >= QUEUE, what="a pool that is held back")
        wait_until(lambda: narrow.ps()["server"]["in_flight"] == INFLIGHT, what="a server that is full")
        wait_until(lambda: narrow.pool("second")["queued"] >= QUEUE, what="a full queue")
        assert narrow.pool("second")["queued"] <= QUEUE + AT_ONCE
        refused = asker.ask("/first/quick")
        assert (refused.status, refused.headers["content-type"]) == (503, "application/problem+json")
        assert int(refused.headers["retry-after"]) > 0
        narrow.open_gate("block")
        assert blocker.result().status == 200
        answers = [answer for connection in sockets for answer in read_answers(connection, each)]
    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.body for answer in answers if answer.status == 200} == {str(len(BODY)).encode()}
    assert sum(answer.status == 200 for answer in answers) >= INFLIGHT - 1


def test_a_server_refuses_what_would_be_too_many_bytes_of_open_requests(narrow: ClusterOfCases):
    with Asker(narrow.url) as asker:
        blocker = asker.begin("/second/gated?n=bytes")
        narrow.await_pid("bytes")
        begun = [asker.begin("/first/size", "POST", bytes(8 * MIB)) for _ in range(6)]
        wait_until(lambda: any(one.done() for one in begun), what="a refusal")
        assert asker.ask("/health").status == 200
        narrow.open_gate("bytes")
        answers = [one.result() for one in begun]
        assert blocker.result().status == 200
        assert {answer.status for answer in answers} == {200, 503}
        assert {answer.body for answer in answers if answer.status == 200} == {str(8 * MIB).encode()}
        assert asker.ask("/first/size", "POST", bytes(8 * MIB)).body == str(8 * MIB).encode(), "there is room again"
