"""`primectl drain` and `resume`: a pool or a worker takes no more, finishes what it has, and is shown so."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = """
[pools.whole]
handler = "cases:work"
workers = 2

[pools.single]
handler = "cases:work"
workers = 2
"""


def shown(cluster: ClusterOfCases, process: str) -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in cluster.ps()["processes"] if p["id"] == process)
    return found


def test_a_drained_pool_finishes_what_it_has_and_refuses_what_comes_until_it_is_resumed(
    cluster: ClusterOfCases, asker: Asker
):
    running = [asker.begin(f"/whole/gated?n=had{number}") for number in range(2)]
    for number in range(2):
        cluster.await_pid(f"had{number}")
    queued = [asker.begin("/whole/quick", "POST") for _ in range(10)]
    wait_until(lambda: cluster.pool("whole")["queued"] == 10, what="a queue")
    with ThreadPoolExecutor() as threads:
        drained = threads.submit(cluster.cli, "drain", "whole")
        wait_until(lambda: cluster.pool("whole")["state"] == "draining", what="a pool that drains")
        assert asker.ask("/whole/quick").status == 503
        for number in range(2):
            cluster.open_gate(f"had{number}")
        drained.result()
    assert [begun.result().status for begun in [*running, *queued]] == [200] * 12
    assert cluster.pool("whole")["state"] == "draining"
    refused = asker.ask("/whole/quick")
    assert (refused.status, refused.headers["content-type"]) == (503, "application/problem+json")
    assert int(refused.headers["retry-after"]) > 0
    assert asker.ask("/single/quick").status == 200, "other pools are not touched"

    pid = cluster.pids()["proxy.whole"]
    os.kill(pid, signal.SIGKILL)
    cluster.await_replaced("proxy.whole", pid)
    wait_until(lambda: asker.ask("/whole/quick").status == 503, what="a new proxy that knows of it")

    cluster.cli("resume", "whole")
    wait_until(lambda: asker.ask("/whole/quick").status == 200, what="a pool that serves again")
    assert cluster.pool("whole")["state"] == "running"


def test_a_drained_worker_gets_nothing_more_and_neither_does_its_replacement_until_it_is_resumed(
    cluster: ClusterOfCases, asker: Asker
):
    def served_by() -> set[str]:
        return {answer.json["worker"] for answer in asker.ask_all(["/single/sleep?s=0.02"] * 20)}

    assert served_by() == {"single.1", "single.2"}
    cluster.cli("drain", "single.1")
    assert shown(cluster, "single.1")["state"] == "draining"
    assert served_by() == {"single.2"}

    pid = cluster.pids()["single.1"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: cluster.pids().get("single.1") not in (None, 0, pid), what="a replacement")
    wait_until(lambda: shown(cluster, "single.1")["state"] == "draining", what="the drain of the replacement")
    assert served_by() == {"single.2"}

    cluster.cli("resume", "single.1")
    wait_until(lambda: served_by() == {"single.1", "single.2"}, what="both at work")
