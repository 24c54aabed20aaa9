"""Servers that are killed: what late answers do, whom it costs a connection, and several servers at once."""

from __future__ import annotations

import http.client
import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.support.asking import ANSWER_S, Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = """
[pools.plain]
handler = "cases:work"
workers = 4
"""
CONNECTIONS = 24


def a_cluster(processes: int) -> Iterator[ClusterOfCases]:
    with ClusterOfCases(POOLS, f"processes = {processes}") as cluster:
        cluster.up()
        yield cluster


one_server = pytest.fixture(lambda: (yield from a_cluster(1)), name="one_server")
two_servers = pytest.fixture(lambda: (yield from a_cluster(2)), name="two_servers")


def test_answers_for_a_server_that_was_killed_reach_nobody_and_the_next_server_serves_on(one_server: ClusterOfCases):
    with Asker(one_server.url) as asker:
        cut = [asker.begin(f"/plain/gated?n=late{number}") for number in range(4)]
        for number in range(4):
            one_server.await_pid(f"late{number}")
        pid = one_server.pids()["server.1"]
        os.kill(pid, signal.SIGKILL)
        for begun in cut:
            with pytest.raises((OSError, http.client.HTTPException)):
                begun.result()
        # These wait in the backlog, then behind the four that work for nobody and whose answers come in between.
        asked = [f"own{number}" for number in range(100)]
        begun = [asker.begin(f"/plain/count?n={name}") for name in asked]
        one_server.await_replaced("server.1", pid)
        for number in range(4):
            one_server.open_gate(f"late{number}")
        answers = [(answer.status, answer.body.decode()) for answer in (own.result() for own in begun)]
        assert answers == [(200, name) for name in asked]
        wait_until(lambda: one_server.counter("server.1", "stray_answers") == 4, what="the late answers counted")
    assert sorted(one_server.notes("own")) == sorted(asked)


def server_of(answer: http.client.HTTPResponse) -> str:
    """The run of a server that gave this answer: the first half of the request's id."""
    return str(answer.headers["x-request-id"])[:4]


def test_with_several_servers_answers_find_theirs_and_the_loss_of_one_costs_only_its_own_connections(
    two_servers: ClusterOfCases,
):
    with ExitStack() as stack, Asker(two_servers.url) as asker:
        served: dict[str, list[http.client.HTTPConnection]] = defaultdict(list)
        for number in range(CONNECTIONS):
            connection = http.client.HTTPConnection(*asker.address, timeout=ANSWER_S)
            stack.enter_context(closing(connection))
            for again in range(3):
                connection.request("GET", f"/plain/count?n={number}.{again}")
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, f"{number}.{again}".encode())
            served[server_of(answer)].append(connection)
        assert len(served) == 2, "both servers have got connections"

        pid = two_servers.pids()["server.2"]
        os.kill(pid, signal.SIGKILL)
        two_servers.await_replaced("server.2", pid)
        lost: dict[str, int] = defaultdict(int)
        for server, connections in served.items():
            for connection in connections:
                connection.auto_open = 0
                try:
                    connection.request("GET", "/plain/count?n=on")
                    assert connection.getresponse().read() == b"on"
                except (OSError, http.client.HTTPException):
                    lost[server] += 1
        assert len(lost) == 1
        ((server, number),) = lost.items()
        assert number == len(served[server])
        assert {answer.status for answer in asker.ask_all(["/plain/quick"] * CONNECTIONS)} == {200}
