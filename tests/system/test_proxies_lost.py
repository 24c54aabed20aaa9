"""Proxies that are killed with jobs queued and running, or are away when jobs arrive."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = "".join(
    f"""
[pools.{pool}]
handler = "cases:work"
workers = 1
"""
    for pool in ("get", "post", "both", "away")
)
QUEUED = 20
SERVER = 'request_timeout = "20s"'


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_proxy_killed_with_queued_jobs_loses_none_of_them_and_runs_none_twice(
    cluster: ClusterOfCases, asker: Asker, method: str
):
    pool = method.lower()
    running = asker.begin(f"/{pool}/gated?n={pool}", method)
    cluster.await_pid(pool)
    queued = [asker.begin(f"/{pool}/count?n={pool}{number}", method) for number in range(QUEUED)]
    wait_until(lambda: cluster.pool(pool)["queued"] == QUEUED, what="a queue")
    os.kill(pid := cluster.pids()[f"proxy.{pool}"], signal.SIGKILL)
    cluster.await_replaced(f"proxy.{pool}", pid)
    # Were it to finish before the new proxy has heard of it, a GET might run again.
    wait_until(
        lambda: (told := cluster.pool(pool))["queued"] == QUEUED and told["busy"] == 1, what="a proxy that knows"
    )
    cluster.open_gate(pool)
    assert [begun.result().status for begun in [running, *queued]] == [200] * (1 + QUEUED)
    assert len(cluster.notes(f"{pool} begins")) == 1, "the worker went on with it"
    assert sorted(cluster.notes(pool)[1:]) == sorted(f"{pool}{number}" for number in range(QUEUED))


def test_a_post_is_not_run_twice_when_its_proxy_and_its_worker_are_killed_together(
    cluster: ClusterOfCases, asker: Asker
):
    running = asker.begin("/both/gated?n=both", "POST")
    pid = cluster.await_pid("both")
    queued = [asker.begin(f"/both/count?n=both{number}", "POST") for number in range(5)]
    wait_until(lambda: cluster.pool("both")["queued"] == 5, what="a queue")
    proxy = cluster.pids()["proxy.both"]
    os.kill(pid, signal.SIGKILL)
    os.kill(proxy, signal.SIGKILL)
    cluster.open_gate("both")
    assert running.result().status in (502, 503, 504)
    assert {begun.result().status for begun in queued} <= {200, 502, 503, 504}
    assert asker.ask("/both/count?n=afterwards", "POST").status == 200
    assert cluster.notes("both begins") == [f"both begins in {pid}"]
    ran = [note for note in cluster.notes("both") if note[4:].isdigit()]
    assert len(ran) == len(set(ran))


def test_requests_that_come_while_their_proxy_is_away_wait_for_the_next(cluster: ClusterOfCases, asker: Asker):
    pid = cluster.pids()["proxy.away"]
    os.kill(pid, signal.SIGKILL)
    begun = [asker.begin(f"/away/count?n=away{number}", ("GET", "POST")[number % 2]) for number in range(QUEUED)]
    assert [one.result().status for one in begun] == [200] * QUEUED
    ran = Counter(cluster.notes("away"))
    assert set(ran) == {f"away{number}" for number in range(QUEUED)}
    # A server sends all again to a proxy that is new, also what that one has finished meanwhile: GETs may run twice.
    assert all(ran[f"away{number}"] == 1 for number in range(1, QUEUED, 2))
    cluster.await_replaced("proxy.away", pid)
