"""Pools that have no worker for a while: jobs wait for a bounded time, in bounded memory, not beyond their client."""

from __future__ import annotations

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = """
[pools.never]
handler = "cases:work"
workers = 0
worker_timeout = "500ms"

[pools.soon]
handler = "cases:work"
workers = 0
worker_timeout = "20s"

[pools.late]
handler = "cases:work"
workers = 0
worker_timeout = "20s"

[pools.heavy]
handler = "cases:work"
workers = 0
worker_timeout = "20s"
"""
MIB = 1 << 20
BODY = bytes(2 * MIB)
BODIES = 50


def test_a_pool_that_stays_without_workers_answers_503_with_retry_after(cluster: ClusterOfCases, asker: Asker):
    for method in ("GET", "POST"):
        answer = asker.ask("/never/quick", method)
        assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
        assert int(answer.headers["retry-after"]) > 0
    wait_until(lambda: cluster.pool("never")["queued"] == 0, what="an empty queue")


def test_requests_wait_for_a_worker_that_comes_in_time(cluster: ClusterOfCases, asker: Asker):
    begun = [asker.begin("/soon/quick", ("GET", "POST")[number % 2]) for number in range(10)]
    wait_until(lambda: cluster.pool("soon")["queued"] == 10, what="a queue")
    cluster.cli("scale", "soon=1")
    assert [one.result().status for one in begun] == [200] * 10


def test_a_worker_that_joins_late_runs_no_abandoned_job(cluster: ClusterOfCases, asker: Asker):
    with asker.sent(f"/late/count?n=abandoned{number}" for number in range(20)):
        wait_until(lambda: cluster.pool("late")["queued"] == 20, what="a queue")
    wait_until(lambda: cluster.pool("late")["queued"] == 0, what="an empty queue")
    cluster.cli("scale", "late=1")
    assert asker.ask("/late/count?n=awaited").status == 200
    assert cluster.notes("abandoned") == []


def test_large_requests_that_waited_for_no_worker_leave_no_memory_behind(cluster: ClusterOfCases, asker: Asker):
    processes = ("server.1", "proxy.heavy")

    def queue_and_leave() -> None:
        with asker.sent(["/heavy/size"] * BODIES, "POST", BODY):
            wait_until(lambda: cluster.pool("heavy")["queued"] == BODIES, what="a queue")
        wait_until(lambda: cluster.pool("heavy")["queued"] == 0, what="an empty queue")

    before = {process: cluster.rss(process) for process in processes}
    for _ in range(2):
        queue_and_leave()
    for process in processes:
        wait_until(
            lambda name=process: cluster.rss(name) < before[name] + BODIES * len(BODY) // 4,
            what=f"the memory of {process} back near {before[process] // MIB} MiB",
        )
    cluster.cli("scale", "heavy=1")
    answer = asker.ask("/heavy/size", "POST", BODY)
    assert (answer.status, answer.body) == (200, str(len(BODY)).encode())
