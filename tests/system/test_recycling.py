"""Workers are replaced after max_jobs, max_age or max_rss under load, and no request fails for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = """
[pools.three]
handler = "cases:work"
workers = 3
max_jobs = 50

[pools.one]
handler = "cases:work"
workers = 1
max_jobs = 50

[pools.exec]
handler = "cases:work"
workers = 2
max_jobs = 50
spawn = "exec"

[pools.aged]
handler = "cases:work"
workers = 2
max_age = "2s"

[pools.fat]
handler = "cases:work"
max_rss = "80MiB"
"""


def recycled(cluster: ClusterOfCases, pool: str) -> list[dict[str, str]]:
    return [
        event for event in cluster.events() if event["kind"] == "recycled" and event["subject"].startswith(f"{pool}.")
    ]


@pytest.mark.parametrize("pool", ["three", "one", "exec"])
def test_no_request_fails_while_workers_are_replaced_under_load(cluster: ClusterOfCases, asker: Asker, pool: str):
    def ask_until_enough(client: int) -> list[tuple[int, int]]:
        method, answers = ("GET", "POST")[client % 2], []
        while len(recycled(cluster, pool)) < 4:
            answer = asker.ask(f"/{pool}/quick", method)
            answers.append((answer.status, answer.json["pid"] if answer.status == 200 else 0))
        return answers

    with ThreadPoolExecutor(4) as clients:
        answers = [answer for found in clients.map(ask_until_enough, range(4)) for answer in found]
    assert {status for status, _ in answers} == {200}
    assert len({pid for _, pid in answers}) >= 4
    assert "jobs (max_jobs = 50)" in recycled(cluster, pool)[0]["cause"]
    kinds = {event["kind"] for event in cluster.json("events", "-n", "1000")["events"]}
    assert not kinds & {"crashed", "fatal", "stuck", "unresponsive"}


def test_a_job_that_runs_when_its_worker_has_grown_old_is_finished_first(cluster: ClusterOfCases, asker: Asker):
    begun = [asker.begin(f"/aged/gated?n=old{number}") for number in (1, 2)]
    pids = {cluster.await_pid(f"old{number}") for number in (1, 2)}
    wait_until(lambda: recycled(cluster, "aged"), what="a worker to be recycled")
    for number in (1, 2):
        cluster.open_gate(f"old{number}")
    assert {answer.result().json["pid"] for answer in begun} == pids
    wait_until(lambda: not pids & set(cluster.pids().values()), what="both to be replaced")


def test_a_worker_that_has_grown_is_replaced(cluster: ClusterOfCases, asker: Asker):
    pid = asker.ask("/fat/hoard?mib=100").json["pid"]
    cluster.await_replaced("fat.1", pid)
    assert "MiB (max_rss = 80MiB)" in recycled(cluster, "fat")[0]["cause"]
    assert asker.ask("/fat/quick").status == 200
