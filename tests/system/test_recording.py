"""Every request of a real cluster is in the journal once, whatever happens to the recorder, and the recorder's troubles
are no client's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, ClusterUnderTest, wait_until
from tests.support.load import Result, closed, primes

POOLS = """
[pools.late]
handler = "cases:work"

[pools.deaf]
handler = "cases:work"

[pools.poor]
handler = "cases:work"
max_attempts = 1
"""
SERVER = 'request_timeout = "1s"'


def ask(cluster: ClusterUnderTest, requests: int) -> Result:
    result = asyncio.run(closed(cluster.url, primes(), connections=16, requests=requests))
    assert (result.requests, result.failed, result.wrong) == (requests, 0, 0), result
    return result


def rows(cluster: ClusterUnderTest) -> tuple[int, int]:
    """In the journal: rows, and different requests."""
    with closing(sqlite3.connect(f"file:{cluster.place.journal_file}?mode=ro", uri=True)) as journal:
        found: tuple[int, int] = journal.execute("SELECT count(*), count(DISTINCT request) FROM requests").fetchone()
        return found


@pytest.fixture
def prime() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest() as cluster:
        yield cluster.up()


def test_a_recorder_that_is_killed_again_and_again_under_load_loses_nothing_and_writes_nothing_twice(
    prime: ClusterUnderTest,
):
    for asked in (2000, 4000, 6000):
        pid = wait_until(lambda: prime.pids()["recorder"], what="a recorder")

        async def killed_half_way(pid: int = pid) -> Result:
            load = asyncio.ensure_future(closed(prime.url, primes(), connections=16, requests=2000))
            await asyncio.sleep(0.1)  # somewhere in the middle; nothing is expected of the moment
            os.kill(pid, signal.SIGKILL)
            return await load

        result = asyncio.run(killed_half_way())
        assert (result.requests, result.failed, result.wrong) == (2000, 0, 0), result
        wait_until(lambda asked=asked: rows(prime)[0] >= asked, what=f"{asked} rows")
        assert rows(prime) == (asked, asked)


def test_a_recorder_that_stands_still_slows_nobody_and_writes_it_all_when_it_goes_on(prime: ClusterUnderTest):
    pid = prime.pids()["recorder"]
    os.kill(pid, signal.SIGSTOP)
    try:
        ask(prime, 2000)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: rows(prime)[0] >= 2000, what="the rows")
    assert rows(prime) == (2000, 2000)


def test_what_was_answered_last_before_a_stop_is_in_the_journal(prime: ClusterUnderTest):
    ask(prime, 500)
    prime.down()
    assert rows(prime) == (500, 500)


def entries(cluster: ClusterUnderTest, where: str) -> list[dict[str, Any]]:
    """The rows that fit, once there is one."""
    told: list[dict[str, Any]] = wait_until(
        lambda: json.loads(cluster.cli("requests", "--json", "--where", where).stdout)["requests"], what=where
    )
    return told


def test_a_request_that_timed_out_or_lost_its_worker_shows_where_it_was(cluster: ClusterOfCases, asker: Asker):
    assert asker.ask("/late/sleep?n=sleep&s=60").status == 504
    with asker.sent(["/deaf/stubborn"]):
        cluster.await_note("stubborn begins")
        assert asker.ask("/deaf/quick").status == 504
        (waiting,) = entries(cluster, "status=504 and path~quick")
        assert [(hop["pool"], hop["worker"], hop["failed"]) for hop in waiting["hops"]] == [("deaf", "", True)]
    assert asker.ask("/poor/die").status == 502
    (late,) = entries(cluster, "status=504 and query~n=sleep")
    (hop,) = late["hops"]
    assert (hop["pool"], hop["worker"], hop["failed"]) == ("late", "late.1", True)
    assert hop["served_ms"] > 500
    (dead,) = entries(cluster, "status=502")
    assert (dead["dead"], [hop["pool"] for hop in dead["hops"]]) == (True, ["poor"])
