"""Two operators at once, by the command line: each is told what became of the own order, by its number."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import ClusterUnderTest, wait_until

CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"/slow" = "slow"
"/quick" = "quick"

[pools.slow]
handler = "slow:Slow"
workers = 1

[pools.quick]
handler = "slow:quick"
"""
SLOW = '''
"""Workers of `slow` that start only once the file `gate` is there."""

import time
from pathlib import Path

from primectl import Response

GATE = Path(__file__).with_name("gate")


class Slow:
    def start(self):
        while not GATE.exists():
            time.sleep(0.01)

    def __call__(self, request, job):
        return Response.text(job.worker)


def quick(request, job):
    return Response.text(job.worker)
'''


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest(CONFIG, name="two", files={"slow.py": SLOW, "gate": ""}) as cluster:
        cluster.up()
        (cluster.folder / "gate").unlink()
        try:
            yield cluster
        finally:
            (cluster.folder / "gate").touch()


def under_way(cluster: ClusterUnderTest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.ps()["operations"]
    return found


def await_order(cluster: ClusterUnderTest, number: int, state: str = "running") -> None:
    wait_until(lambda: [o for o in under_way(cluster) if (o["number"], o["state"]) == (number, state)])


def end_of(order: subprocess.Popen[str]) -> tuple[int, Any, str]:
    out, err = order.communicate(timeout=60)
    return order.returncode, json.loads(out) if out else None, err


def test_of_two_sizes_the_newer_wins_and_the_older_is_told(cluster: ClusterUnderTest) -> None:
    older = cluster.spawn("scale", "slow=3", "--json")
    await_order(cluster, 1)
    newer = cluster.spawn("scale", "slow=2", "--json")
    code, _, said = end_of(older)
    assert code == 1
    assert said.startswith("a newer scale of slow to 2 by ")
    assert "It is operation 2; `primectl ps` shows how far it is\n" in said
    (cluster.folder / "gate").touch()
    code, told, _ = end_of(newer)
    assert (code, told["pools"][0]["after"], told["pools"][0]["operation"]) == (0, 2, 2)


def test_who_asks_the_same_waits_for_the_same(cluster: ClusterUnderTest) -> None:
    orders = [cluster.spawn("scale", "slow=3", "--json")]
    await_order(cluster, 1)
    orders.append(cluster.spawn("scale", "slow=3", "--json"))
    wait_until(lambda: "joined" in [event["kind"] for event in cluster.json("events")["events"]])
    (cluster.folder / "gate").touch()
    one, other = map(end_of, orders)
    assert one == other
    assert one[1]["pools"][0]["operation"] == 1


def test_a_restart_waits_for_the_one_under_way_and_ps_shows_both(cluster: ClusterUnderTest) -> None:
    first = cluster.spawn("restart", "slow", "--json")
    await_order(cluster, 1)
    second = cluster.spawn("restart", "slow.1", "--json")
    await_order(cluster, 2, "queued")
    shown = cluster.cli("ps").stdout
    assert "\nUNDER WAY\n1 restart slow by " in shown
    assert ": restarted 0 of 1, now slow.1\n2 restart slow.1 by " in shown
    assert shown.endswith(": queued behind restart 1 of slow\n")
    assert cluster.json("restart", "quick")["operation"] == 3
    (cluster.folder / "gate").touch()
    assert [end_of(order)[1]["operation"] for order in (first, second)] == [1, 2]
    assert under_way(cluster) == []


def test_an_order_whose_console_goes_away_goes_on_and_its_end_is_in_the_events(cluster: ClusterUnderTest) -> None:
    order = cluster.spawn("restart", "slow")
    await_order(cluster, 1)
    order.send_signal(signal.SIGINT)
    code, _, said = end_of(order)
    assert code == 130
    assert said == "operation 1 goes on; `primectl ps` shows how far it is, `primectl events` its end\n"
    await_order(cluster, 1)
    killed = cluster.spawn("scale", "slow=2")
    await_order(cluster, 2)
    killed.kill()
    killed.communicate()
    (cluster.folder / "gate").touch()
    wait_until(lambda: not under_way(cluster))
    ended = {event["operation"]: event["kind"] for event in cluster.json("events")["events"] if event["operation"]}
    assert ended == {1: "restarted", 2: "scaled"}


def test_numbers_go_on_over_a_new_start_of_the_cluster(cluster: ClusterUnderTest) -> None:
    (cluster.folder / "gate").touch()
    first = cluster.json("scale", "quick=2")["pools"][0]["operation"]
    assert cluster.down()["operation"] == first + 1
    cluster.up()
    assert cluster.json("scale", "quick=2")["pools"][0]["operation"] == first + 2
