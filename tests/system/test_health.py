"""Workers that are dead inside are found and replaced; a long job is not mistaken for that."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = """
[pools.honest]
handler = "cases:work"
unresponsive_after = "2s"

[pools.poisoned]
handler = "cases:work"
unresponsive_after = "2s"

[pools.loaded]
handler = "cases:work"
unresponsive_after = "2s"

[pools.trapped]
handler = "cases:work"
unresponsive_after = "2s"

[pools.sleepy]
handler = "cases:work"
unresponsive_after = "2s"

[pools.deadlocked]
handler = "cases:work"
unresponsive_after = "2s"
max_attempts = 1

[pools.keyed]
handler = "cases:work"
affinity = "cases:key_of"
"""
SERVER = 'request_timeout = "60s"'


def told(cluster: ClusterOfCases, kind: str, subject: str) -> list[str]:
    return [event["text"] for event in cluster.events() if (event["kind"], event["subject"]) == (kind, subject)]


def process(cluster: ClusterOfCases, name: str) -> dict[str, Any]:
    return next(found for found in cluster.ps()["processes"] if found["id"] == name)


def test_a_job_that_holds_the_interpreters_lock_is_shown_with_its_request_and_never_killed(
    cluster: ClusterOfCases, asker: Asker
):
    begun = asker.begin("/honest/labour?s=16")
    pid = cluster.await_pid("labour")
    (text,) = wait_until(lambda: told(cluster, "silent", "honest.1"), what="a word about the silence")
    shown = wait_until(lambda: (seen := process(cluster, "honest.1"))["request"] and seen, what="its request")
    answer = begun.result()
    request = answer.headers["x-request-id"]
    assert (answer.status, answer.json["pid"]) == (200, pid)
    assert f"honest.1 is silent, but works: request {request} for " in text
    assert (shown["busy"], shown["request"]) == (True, request)
    assert shown["job_s"] > 2
    assert process(cluster, "honest.1")["pid"] == pid
    assert told(cluster, "unresponsive", "honest.1") == []


def test_a_worker_whose_interpreters_lock_is_held_by_a_thread_for_ever_is_replaced(
    cluster: ClusterOfCases, asker: Asker
):
    assert asker.ask("/poisoned/poison").status == 200
    pid = cluster.await_pid("poison")
    cluster.await_replaced("poisoned.1", pid)
    (text,) = told(cluster, "unresponsive", "poisoned.1")
    assert "runs no job and uses no processor: killed and replaced" in text
    assert asker.ask("/poisoned/quick").status == 200


def test_a_request_that_was_given_to_such_a_worker_is_answered_by_its_replacement(
    cluster: ClusterOfCases, asker: Asker
):
    pid = asker.ask("/loaded/poison").json["pid"]
    asker.ask("/trapped/sleep?s=1")  # its thread takes the lock soon after the answer
    answer = asker.ask("/loaded/count?n=once", "POST")
    assert (answer.status, cluster.notes("once")) == (200, ["once"])
    assert process(cluster, "loaded.1")["pid"] != pid
    assert len(told(cluster, "unresponsive", "loaded.1")) == 1


def test_a_worker_whose_main_thread_hangs_between_two_jobs_is_replaced_while_its_watchdog_reports(
    cluster: ClusterOfCases, asker: Asker
):
    pid = asker.ask("/trapped/trap").json["pid"]
    cluster.await_replaced("trapped.1", pid)
    (text,) = told(cluster, "unresponsive", "trapped.1")
    assert text.startswith("the main thread of trapped.1 has not woken up for ")
    assert asker.ask("/trapped/quick").status == 200


def test_a_handler_that_sleeps_far_beyond_the_limit_is_nobodys_business(cluster: ClusterOfCases, asker: Asker):
    begun = asker.begin("/sleepy/sleep?s=8&n=sleeper")
    pid = cluster.await_pid("sleeper")
    answer = begun.result()
    assert (answer.status, answer.json["pid"]) == (200, pid)
    assert told(cluster, "silent", "sleepy.1") == told(cluster, "unresponsive", "sleepy.1") == []


def test_a_deadlock_in_c_within_a_job_is_told_of_and_left_to_the_deadline(cluster: ClusterOfCases, asker: Asker):
    begun = asker.begin("/deadlocked/stuck")
    pid = cluster.await_pid("stuck")
    (text,) = wait_until(lambda: told(cluster, "silent", "deadlocked.1"), what="a word about the silence")
    assert text.startswith("deadlocked.1 is silent and waits in C: request ")
    assert text.endswith("; its deadline ends it")
    assert process(cluster, "deadlocked.1")["pid"] == pid
    os.kill(pid, signal.SIGKILL)
    assert begun.result().status == 502


def test_a_server_that_is_deadlocked_in_c_is_replaced(cluster: ClusterOfCases, asker: Asker):
    pid = cluster.pids()["server.1"]
    begun = asker.begin("/keyed/quick?k=lock")
    cluster.await_replaced("server.1", pid)
    (text,) = told(cluster, "unresponsive", "server.1")
    assert text.startswith("server.1 has not been heard for 1")
    assert text.endswith(" s and uses no processor: killed and replaced")
    assert isinstance(begun.exception(), OSError)
    assert asker.ask("/keyed/quick?k=north").status == 200


@pytest.mark.parametrize("name", ["honest.1", "proxy.honest", "server.1"])
def test_a_process_that_is_stopped_is_replaced(cluster: ClusterOfCases, name: str):
    pid = cluster.pids()[name]
    os.kill(pid, signal.SIGSTOP)
    cluster.await_replaced(name, pid)
    assert "(SIGSTOP)" in told(cluster, "suspended", name)[0]
