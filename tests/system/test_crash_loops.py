"""Crash loops as an operator meets them: who fails, who does not wait for it, how it is tried again, what ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from primectl.control.client import ControlClient
from primectl.wire.stats import ClusterSnapshot, ProcessSnapshot, Role
from tests.support.cluster import ClusterUnderTest, wait_until

CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"/work" = "work"
"/other" = "other"

[pools.work]
handler = "slots:Slots"
workers = 2
essential = true

[pools.other]
handler = "slots:other"

[supervisor]
crash_limit = 3
backoff_first = "10ms"
stop_timeout = "5s"
"""
SLOTS = '''
"""Workers that look at their own names: those in the file `bad` cannot start, those in `hanging` never end to."""

import os
import time
from pathlib import Path

import setproctitle
from primectl import Response

HERE = Path(__file__).parent


class Slots:
    def start(self):
        me = setproctitle.getproctitle().rpartition("/")[2]
        while me in (HERE / "hanging").read_text().split():
            time.sleep(0.05)
        if me in (HERE / "bad").read_text().split():
            raise MemoryError(f"{me} is too large")

    def __call__(self, request, job):
        if "die" in request.query:
            os.abort()
        return Response.text(job.worker)


def other(request, job):
    return Response.text(job.worker)
'''


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest(CONFIG, name="slots", files={"slots.py": SLOTS, "bad": "", "hanging": ""}) as cluster:
        yield cluster


def spoil(cluster: ClusterUnderTest, *workers: str) -> None:
    (cluster.folder / "bad").write_text(" ".join(workers))


def process(cluster: ClusterUnderTest, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(process for process in cluster.ps()["processes"] if process["id"] == name)
    return found


def states(cluster: ClusterUnderTest) -> dict[str, str]:
    return {process["id"]: process["state"] for process in cluster.ps()["processes"] if process["role"] == "worker"}


def test_a_slot_that_cannot_start_fails_alone_is_shown_and_is_tried_again_by_restart(cluster: ClusterUnderTest) -> None:
    cluster.up()
    spoil(cluster, "work.4")
    refused = cluster.cli("scale", "work=8", code=1)
    cause = "exit status 1: out of memory: MemoryError: work.4 is too large"
    assert refused.stderr == (f"work has 7 of 8 workers: work.4 failed: {cause}. `primectl logs work.4` tells more\n")
    assert [name for name, state in states(cluster).items() if state != "running"] == ["work.4"]
    assert cluster.cli("scale", "other=3").stdout.startswith("other: 1 -> 3 workers in ")
    shown = process(cluster, "work.4")
    assert (shown["state"], shown["cause"], shown["crashes"]) == ("failed", cause, 3)
    assert shown["last_lines"][-1] == "MemoryError: work.4 is too large"
    told = cluster.cli("ps").stdout
    assert f"work.4 failed: {cause}; `primectl restart work.4` tries again\n" in told
    assert "\n  | MemoryError: work.4 is too large\n" in told
    [fatal] = [event for event in cluster.json("events")["events"] if event["kind"] == "fatal"]
    assert (fatal["subject"], fatal["cause"], fatal["lines"][-1]) == ("work.4", cause, shown["last_lines"][-1])

    spoil(cluster)
    assert cluster.json("restart", "work.4")["processes"] == ["work.4"]
    assert (process(cluster, "work.4")["state"], process(cluster, "work.4")["crashes"]) == ("running", 0)


def test_a_slot_that_hangs_at_its_start_holds_up_nobody(cluster: ClusterUnderTest) -> None:
    cluster.up()
    (cluster.folder / "hanging").write_text("work.3")
    scaling = cluster.spawn("scale", "work=6")
    wait_until(lambda: cluster.pool("work")["workers"] == 5)
    assert [name for name, state in states(cluster).items() if state != "running"] == ["work.3"]
    assert cluster.cli("scale", "other=2").stdout.startswith("other: 1 -> 2 workers in ")
    (cluster.folder / "hanging").write_text("")
    assert scaling.wait(30) == 0
    scaling.communicate()


def fail_all(cluster: ClusterUnderTest) -> None:
    """The workers of the essential pool die and cannot come back."""
    pids = cluster.pids()
    spoil(cluster, "work.1", "work.2")
    for worker in ("work.1", "work.2"):
        os.kill(pids[worker], signal.SIGABRT)


def test_a_cluster_in_the_foreground_that_loses_what_is_essential_stops_with_1_and_says_why(
    cluster: ClusterUnderTest,
) -> None:
    up = cluster.spawn("up", stdout=subprocess.DEVNULL)
    wait_until(lambda: Path(cluster.place.state_file).exists() and cluster.cli("ps", code=None).returncode == 0)
    wait_until(lambda: cluster.ps()["state"] == "running")
    fail_all(cluster)
    told = up.communicate(timeout=30)[1]
    assert up.returncode == 1
    why = next(line for line in told.splitlines() if "has failed" in line)
    assert why.startswith("work.")
    assert ", the last of 2, has failed: exit status 1: out of memory: MemoryError: work." in why
    assert why.endswith("; pools.work.essential is true")
    assert told.rstrip().splitlines()[-1].startswith("MemoryError: work.")


def test_a_cluster_behind_the_terminal_that_loses_what_is_essential_leaves_its_reason(
    cluster: ClusterUnderTest,
) -> None:
    cluster.up()
    supervisor = os.pidfd_open(cluster.pids()["supervisor"])
    fail_all(cluster)
    wait_until(lambda: cluster.cli("ps", code=None).returncode == 3)
    os.close(supervisor)
    events = cluster.json("events")["events"]
    assert [event["kind"] for event in events if event["kind"] in ("fatal", "stopping", "stopped")][-3:] == [
        "fatal",
        "stopping",
        "stopped",
    ]
    log = Path(cluster.place.log_file("supervisor")).read_text()
    assert "ERROR the cluster has ended: work." in log
    assert "  | MemoryError: work." in log


def test_requests_that_kill_workers_do_not_take_a_pool_down(cluster: ClusterUnderTest) -> None:
    cluster.up()
    url = cluster.url
    for _ in range(5):
        wait_until(lambda: get(f"{url}/work") and all(worker.jobs for worker in workers(cluster)))
        get(f"{url}/work?die")
        wait_until(lambda: {worker.state for worker in workers(cluster)} == {"running"})
    assert get(f"{url}/work") in ("work.1", "work.2")


def workers(cluster: ClusterUnderTest) -> list[ProcessSnapshot]:
    """Those of the pool, without the start of an interpreter: it is asked for often."""
    with ControlClient(cluster.place) as client:
        shown = client.ask("GET", "/cluster", None, ClusterSnapshot, timeout_s=30.0)
    return [process for process in shown.processes if process.pool == "work" and process.role is Role.WORKER]


def get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode())
    except HTTPError as refused:
        with refused:
            return str(refused.code)
