"""What was asked of a real cluster and what became of it, as `primectl requests` tells."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from tests.support.asking import Answered, Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = """
[pools.plain]
handler = "cases:work"
workers = 1

[pools.killed]
handler = "cases:work"
workers = 2

[pools.deadly]
handler = "cases:work"
workers = 2
"""


def listed(cluster: ClusterOfCases, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.json("requests", *words)["requests"]
    return found


def recorded(cluster: ClusterOfCases, answer: Answered) -> dict[str, Any]:
    """The one request that had this answer, once it is written."""
    request = answer.headers["x-request-id"]
    found = wait_until(lambda: listed(cluster, "--where", f"id={request}"), what=f"the row of {request}")
    assert len(found) == 1
    row: dict[str, Any] = found[0]
    return row


def test_an_answer_has_a_row_with_its_way_through_the_pools(cluster: ClusterOfCases, asker: Asker):
    answer = asker.ask("/plain/sleep?s=0.03&n=shown")
    row = recorded(cluster, answer)
    assert (row["method"], row["target"], row["status"]) == ("GET", "/plain/sleep?s=0.03&n=shown", 200)
    assert (row["pool"], row["worker"], row["server"], row["attempts"]) == ("plain", "plain.1", "server.1", 1)
    assert (row["size"], row["problem"]) == (len(answer.body), "")
    [hop] = row["hops"]
    assert (hop["pool"], hop["worker"], hop["failed"]) == ("plain", "plain.1", False)
    assert row["ms"] >= hop["queued_ms"] + hop["served_ms"]
    assert hop["served_ms"] >= 30


def test_a_post_is_shown_with_its_body_and_redacted_headers(cluster: ClusterOfCases, asker: Asker):
    with asker.connect() as client:
        client.sendall(
            b"POST /plain/count HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer secret\r\nContent-Length: 9\r\n"
            b"Connection: close\r\n\r\nthe body!"
        )
        with client.makefile("rb") as stream:
            head = stream.read().decode().lower()
    request = head.partition("x-request-id: ")[2].split()[0]
    wait_until(lambda: listed(cluster, "--where", f"id={request}"), what="the row")
    told = cluster.cli("requests", "show", request).stdout
    assert told.startswith(f"{request} POST /plain/count 200 OK ")
    assert "\nauthorization: ‹redacted 13 B›\n" in told
    assert "secret" not in told
    assert told.count("\nthe body!") == 2  # asked, and answered
    assert "\n plain.1 " in told
    entry = cluster.json("requests", "show", request)
    assert (entry["request"]["body"], entry["answer"]["body"]) == ("the body!", "the body!")
    assert entry["redacted"] == ["header authorization"]


def test_what_the_server_answers_itself_and_a_handler_that_raises_are_told_apart(cluster: ClusterOfCases, asker: Asker):
    nowhere = recorded(cluster, asker.ask("/nowhere"))
    assert (nowhere["status"], nowhere["pool"], nowhere["worker"], nowhere["hops"]) == (404, "", "server.1", [])
    failed = recorded(cluster, asker.ask("/plain/fail"))
    assert (failed["status"], [hop["failed"] for hop in failed["hops"]]) == (500, [True])
    assert failed["problem"] != ""
    ids = [row["id"] for row in listed(cluster, "--where", "status=404,5xx and (path=/nowhere or path=/plain/fail)")]
    assert ids == [failed["id"], nowhere["id"]]


def test_a_request_whose_worker_was_killed_says_so(cluster: ClusterOfCases, asker: Asker):
    begun = asker.begin("/killed/gated?n=lost")
    os.kill(cluster.await_pid("lost"), signal.SIGKILL)
    cluster.open_gate("lost")
    row = recorded(cluster, begun.result())
    assert (row["status"], row["attempts"]) == (200, 2)
    assert row["hops"][-1]["attempt"] == 2
    told = cluster.cli("requests", "show", row["id"]).stdout
    assert "\nattempts  2: 1 worker lost\n" in told
    assert row["id"] in [found["id"] for found in listed(cluster, "--where", "attempts>1")]


def test_a_dead_letter_is_found_by_dead(cluster: ClusterOfCases, asker: Asker):
    answer = asker.ask("/deadly/die")
    assert answer.status == 502
    row = recorded(cluster, answer)
    assert row["dead"]
    assert [found["id"] for found in listed(cluster, "--dead")] == [row["id"]]
    assert cluster.cli("requests", "--dead").stdout.splitlines()[1].startswith("✗ ")


def test_following_misses_nothing_while_the_recorder_is_killed(cluster: ClusterOfCases, asker: Asker):
    following = cluster.spawn(
        "requests", "--follow", "-n", "0", "--json", "--where", "path=/plain/quick and query~follow"
    )
    assert following.stdout is not None
    try:
        asked = []
        for number in range(40):
            asked.append(asker.ask(f"/plain/quick?follow={number}").headers["x-request-id"])
            if number == 20:
                os.kill(cluster.pids()["recorder"], signal.SIGKILL)
        seen = [json.loads(following.stdout.readline())["id"] for _ in asked]
        assert seen == asked
        following.send_signal(signal.SIGINT)
        rest, _ = following.communicate(timeout=30)
        assert (following.returncode, rest) == (130, "")
    finally:
        following.kill()
        following.communicate()


def test_recorded_requests_are_read_while_the_cluster_is_down(asker: Asker, cluster: ClusterOfCases):
    row = recorded(cluster, asker.ask("/plain/quick?before"))
    cluster.down()
    assert listed(cluster, "-n", "1")[0]["id"] == row["id"]
    assert cluster.cli("requests", "show", row["id"][-6:]).stdout.startswith(row["id"])
    cluster.up()
