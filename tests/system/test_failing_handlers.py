"""Whatever a handler does, its client is told at once and its pool serves on."""

from __future__ import annotations

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = """
[pools.plain]
handler = "cases:work"
"""


@pytest.mark.parametrize("case", ["fail", "leave", "starve", "nonsense"])
def test_an_exception_a_system_exit_a_memory_error_and_a_wrong_result_are_answered_500(
    cluster: ClusterOfCases, case: str
):
    with Asker(cluster.url) as asker:
        before = cluster.pool("plain")["failed"]
        for method in ("GET", "POST"):
            answer = asker.ask(f"/plain/{case}", method)
            assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
            assert b"Traceback" not in answer.body
            assert asker.ask("/plain/quick", method).json["attempt"] == 1
        wait_until(lambda: cluster.pool("plain")["failed"] == before + 2, what="both counted as failed")


def test_a_short_request_is_not_kept_waiting_by_requests_of_a_hundred_rounds_at_its_only_worker(
    cluster: ClusterOfCases,
):
    with Asker(cluster.url) as asker:
        long = [asker.begin(f"/plain/rounds?n={name}&left=100&s=0.005") for name in ("this", "that")]
        cluster.await_note("this 95")
        cluster.await_note("that 95")
        assert asker.ask("/plain/rounds?n=short&left=1&s=0").status == 200
        assert [begun.result().status for begun in long] == [200, 200]
        order = cluster.notes()
        between = order[order.index("short 1") + 1 : order.index("short 0")]
        assert len(between) <= 4, "it waits for what stood before it, then for its own second round"
        assert len(order) - order.index("short 0") > 50, "the long ones had most of their way before them"
        assert len(cluster.notes("this")) == len(cluster.notes("that")) == 101
