"""Requests that nobody waits for any more, because their time is over or their client has left, free their worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.asking import Asker, pipelined, read_answers
from tests.support.cluster import ClusterOfCases, wait_until

ABANDONED = 100

POOLS = """
[pools.late]
handler = "cases:work"
kill_after = "1s"

[pools.sleep]
handler = "cases:work"

[pools.spin]
handler = "cases:work"

[pools.nap]
handler = "cases:napping"

[pools.hard]
handler = "cases:work"
kill_after = "500ms"

[pools.many]
handler = "cases:work"
"""


@pytest.fixture
def hasty() -> Iterator[ClusterOfCases]:
    with ClusterOfCases(POOLS.partition("[pools.sleep]")[0], 'request_timeout = "1s"') as cluster:
        cluster.up()
        yield cluster


def test_a_request_that_takes_too_long_is_answered_504_and_its_worker_takes_the_next(hasty: ClusterOfCases):
    with Asker(hasty.url) as asker:
        for case in ("sleep", "spin"):
            late = asker.ask(f"/late/{case}?n={case}&s=60")
            assert (late.status, late.headers["content-type"]) == (504, "application/problem+json")
            assert late.json["request_id"] == late.headers["x-request-id"]
            assert asker.ask("/late/quick").json["pid"] == hasty.await_pid(case), "the same worker, free again"
        pid = hasty.pids()["late.1"]
        assert asker.ask("/late/stuck").status == 504
        assert hasty.await_replaced("late.1", pid) != pid
        wait_until(lambda: asker.ask("/late/quick").status == 200, what="a worker that is not stuck")


@pytest.mark.parametrize("pool", ["sleep", "spin", "nap"])
def test_a_hundred_abandoned_requests_do_not_delay_the_next(cluster: ClusterOfCases, asker: Asker, pool: str):
    """In C that waits, in pure Python that never waits, in a coroutine: each would take a minute, a request may take
    half of that."""
    with asker.sent(f"/{pool}/{pool}?n={pool}&s=60" for _ in range(ABANDONED)):
        pid = cluster.await_pid(pool)
    answer = asker.ask(f"/{pool}/{'nap' if pool == 'nap' else 'quick'}?s=0&n=next")
    assert answer.status == 200
    assert answer.json["pid"] == pid, "the worker was interrupted, not replaced"
    assert len(cluster.notes(f"{pool} begins")) < 10, "what had not begun is dropped"


@pytest.mark.parametrize("case", ["stuck", "stubborn"])
def test_a_worker_that_does_not_let_go_of_an_abandoned_request_is_killed_and_replaced(
    cluster: ClusterOfCases, asker: Asker, case: str
):
    """In C, holding the interpreter's lock; in Python, deaf to whatever is raised in it."""
    with asker.sent([f"/hard/{case}"]):
        pid = cluster.await_pid(case)
    assert asker.ask("/hard/quick").json["pid"] != pid
    cluster.await_replaced("hard.1", pid)
    assert cluster.notes(case) == [f"{case} begins in {pid}"], "nobody ran it again"


def test_one_client_that_leaves_among_thousands_of_requests_costs_no_other_its_answer(
    cluster: ClusterOfCases, asker: Asker
):
    clients, each = 30, 64  # as many as a connection may have open
    blocker = asker.begin("/many/gated?n=block")
    cluster.await_pid("block")
    sockets = [asker.connect() for _ in range(clients)]
    lonely = asker.send("/many/count?n=lonely")
    for client, connection in enumerate(sockets):
        connection.sendall(pipelined(f"/many/count?n=of{client}.{n}" for n in range(each)))
    wait_until(lambda: cluster.ps()["server"]["in_flight"] == 1 + clients * each + 1, what="all of them open")
    lonely.close()
    wait_until(lambda: cluster.counter("proxy.many", "cancelled") == 1, what="the cancel")
    cluster.open_gate("block")
    for client, connection in enumerate(sockets):
        with connection:
            answers = read_answers(connection, each)
        assert [answer.body.decode() for answer in answers] == [f"of{client}.{n}" for n in range(each)]
    assert blocker.result().status == 200
    assert cluster.notes("lonely") == []
    assert len(cluster.notes("of")) == clients * each
