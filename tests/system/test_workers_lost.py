"""Workers that are killed or stopped, with and without a job: what becomes of the request, of its pool, of its
neighbours."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, alive, wait_until

POOLS = """
[pools.get]
handler = "cases:work"

[pools.post]
handler = "cases:work"

[pools.middle]
handler = "cases:work"
workers = 2

[pools.deadly]
handler = "cases:work"
workers = 2

[pools.litter]
handler = "cases:work"

[pools.neighbour]
handler = "cases:work"

[pools.halted]
handler = "cases:work"
workers = 1
"""
SERVER = 'request_timeout = "8s"'


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_job_that_comes_after_an_idle_worker_was_killed_is_not_lost_with_the_dead(
    cluster: ClusterOfCases, asker: Asker, method: str
):
    pool = method.lower()
    for number in range(3):  # more would pass for a crash loop
        os.kill(cluster.pids()[f"{pool}.1"], signal.SIGKILL)
        asked = f"{method} {number} after a kill"
        answer = asker.ask(f"/{pool}/count?n={asked.replace(' ', '%20')}", method, b"")
        assert (answer.status, answer.body.decode()) == (200, asked)
        assert cluster.notes(asked) == [asked]


def test_a_request_whose_worker_is_killed_in_the_middle_is_run_again_by_another(cluster: ClusterOfCases, asker: Asker):
    begun = asker.begin("/middle/gated?n=again")
    os.kill(pid := cluster.await_pid("again"), signal.SIGKILL)
    cluster.open_gate("again")
    answer = begun.result()
    assert (answer.status, answer.json["attempt"]) == (200, 2)
    assert answer.json["pid"] == cluster.await_pid("again", 2) != pid


def test_a_post_whose_worker_is_killed_in_the_middle_is_answered_502_and_never_run_again(
    cluster: ClusterOfCases, asker: Asker
):
    begun = asker.begin("/middle/gated?n=once", "POST")
    os.kill(pid := cluster.await_pid("once"), signal.SIGKILL)
    cluster.open_gate("once")
    answer = begun.result()
    assert (answer.status, answer.headers["content-type"]) == (502, "application/problem+json")
    assert asker.ask("/middle/quick", "POST").status == 200
    assert cluster.notes("once") == [f"once begins in {pid}"]


def test_a_request_that_kills_every_worker_it_meets_is_answered_502_kept_as_a_dead_letter_and_its_pool_serves_on(
    cluster: ClusterOfCases, asker: Asker
):
    neighbours = [asker.begin(f"/deadly/count?n=neighbour{number}") for number in range(10)]
    killer = asker.begin("/deadly/die?n=killer")
    neighbours += [asker.begin(f"/deadly/count?n=neighbour{number}") for number in range(10, 20)]
    answer = killer.result()
    assert (answer.status, answer.headers["content-type"]) == (502, "application/problem+json")
    assert cluster.notes("killer") == ["killer dies"] * 3, "max_attempts"
    assert [begun.result().status for begun in neighbours] == [200] * 20
    assert asker.ask("/deadly/quick").status == 200
    wait_until(lambda: cluster.pool("deadly")["retried"] >= 2, what="its retries counted")
    letters = (Path(cluster.place.state) / "dead-letters.jsonl").read_text().splitlines()
    assert [json.loads(letter)["target"] for letter in letters if "killer" in letter] == ["/deadly/die?n=killer"]


def test_the_job_of_a_stopped_worker_is_answered_by_its_deadline_and_the_worker_is_replaced(
    cluster: ClusterOfCases, asker: Asker
):
    begun = asker.begin("/halted/gated?n=halted")
    os.kill(pid := cluster.await_pid("halted"), signal.SIGSTOP)
    cluster.open_gate("halted")
    assert begun.result().status in (200, 504)
    cluster.await_replaced("halted.1", pid)
    assert asker.ask("/halted/quick").status == 200


@pytest.mark.parametrize("end", ["SIGKILL", "kill", "restart"])
def test_what_a_handler_has_started_ends_with_its_worker_wherever_it_went(
    cluster: ClusterOfCases, asker: Asker, end: str
):
    def litter(pool: str) -> list[int]:
        assert asker.ask(f"/{pool}/litter?n={pool}{end}").status == 200
        notes = [cluster.await_note(f"{pool}{end} {name} is ") for name in ("child", "session", "daemon", "copy")]
        return [int(note.split()[-1]) for note in notes]

    pid = cluster.pids()["litter.1"]
    left, neighbours = litter("litter"), litter("neighbour")
    assert all(map(alive, [*left, *neighbours]))
    if end == "SIGKILL":
        os.kill(pid, signal.SIGKILL)
    else:
        cluster.cli(end, "litter.1", *(["--yes"] if end == "kill" else []))
    wait_until(lambda: not any(map(alive, left)), what="all of them to end")
    cluster.await_replaced("litter.1", pid)
    assert all(map(alive, neighbours))
    os.kill(cluster.pids()["neighbour.1"], signal.SIGKILL)
    wait_until(lambda: not any(map(alive, neighbours)), what="those of the neighbour to end too")
