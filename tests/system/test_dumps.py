"""`primectl dump`: where the threads of processes are, also of those that cannot say it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases

POOLS = """
[pools.plain]
handler = "cases:work"
workers = 2

[pools.stuck]
handler = "cases:work"
kill_after = "60s"

[pools.async]
handler = "cases:napping"

[pools.exec]
handler = "cases:work"
spawn = "exec"
"""


def dumps(cluster: ClusterOfCases, target: str, code: int = 0) -> dict[str, dict[str, str]]:
    told = cluster.json("dump", target, code=code)
    assert told["target"] == target
    return {dump["process"]: dump for dump in told["dumps"]}


def test_a_worker_says_which_request_it_runs_and_where(cluster: ClusterOfCases, asker: Asker):
    begun = asker.begin("/plain/gated?n=shown")
    pid = cluster.await_pid("shown")
    worker = next(name for name, found in cluster.pids().items() if found == pid)
    found = dumps(cluster, "plain")
    assert sorted(found) == ["plain.1", "plain.2"]
    assert {dump["how"] for dump in found.values()} == {"asked"}
    text = found.pop(worker)["text"]
    cluster.open_gate("shown")
    request = begun.result().headers["x-request-id"]
    assert text.startswith(f"runs request {request} for ")
    main = text.split("\n\n")[1]
    assert main.startswith("thread MainThread\n")
    assert ", in gated\n    time.sleep(0.005)" in main or "in gated\n    while not" in main
    assert "thread watchdog\n" in text
    (idle,) = found.values()
    assert idle["text"].startswith("runs no job\n\nthread MainThread\n")


def test_the_table_for_people_has_a_block_a_process(cluster: ClusterOfCases):
    printed = cluster.cli("dump", "plain").stdout
    assert printed.startswith("plain.1\n  runs no job\n\n  thread MainThread\n    File ")
    assert "\n\nplain.2\n  runs no job\n" in printed


def test_a_worker_that_holds_the_interpreters_lock_in_c_is_dumped_by_the_signal(cluster: ClusterOfCases, asker: Asker):
    begun = asker.begin("/stuck/stuck")
    cluster.await_pid("stuck")
    found = dumps(cluster, "stuck.1")["stuck.1"]
    assert found["how"] == "signal"
    assert "in stuck" in found["text"]
    assert "does not answer; written by faulthandler" in cluster.cli("dump", "stuck.1").stdout
    os.kill(cluster.pids()["stuck.1"], signal.SIGKILL)
    os.kill(cluster.await_pid("stuck", 2), signal.SIGKILL)
    os.kill(cluster.await_pid("stuck", 3), signal.SIGKILL)
    assert begun.result().status == 502


def test_an_async_handler_is_shown_where_it_awaits(cluster: ClusterOfCases, asker: Asker):
    begun = asker.begin("/async/x?n=nap&s=3")
    cluster.await_note("nap begins")
    assert "in napping\n    await asyncio.sleep(" in dumps(cluster, "async.1")["async.1"]["text"]
    assert begun.result().status == 200


@pytest.mark.parametrize("target", ["server.1", "proxy.plain", "supervisor", "exec.1"])
def test_everybody_else_can_be_asked_too(cluster: ClusterOfCases, target: str):
    found = dumps(cluster, target)[target]
    assert found["how"] == "asked"
    assert "thread MainThread\n" in found["text"]


def test_a_zygote_is_dumped_by_the_signal_and_lives_on(cluster: ClusterOfCases):
    found = dumps(cluster, "zygote.plain")["zygote.plain"]
    assert (found["how"], "zygote.py" in found["text"]) == ("signal", True)
    cluster.cli("scale", "plain=3")
    cluster.cli("scale", "plain=2")
    assert not [event for event in cluster.json("events")["events"] if event["kind"] == "crashed"
                and event["subject"] == "zygote.plain"]  # fmt: skip


def test_who_is_stopped_cannot_say_anything_and_is_named(cluster: ClusterOfCases):
    pid = cluster.pids()["plain.1"]
    os.kill(pid, signal.SIGSTOP)
    found = dumps(cluster, "plain", code=1)
    os.kill(pid, signal.SIGCONT)
    assert (found["plain.1"]["how"], found["plain.2"]["how"]) == ("none", "asked")


def test_an_unknown_target_is_refused_in_one_line(cluster: ClusterOfCases):
    done = cluster.cli("dump", "plian", code=3)
    assert done.stderr == 'no pool or process is called "plian". Did you mean "plain"?\n'
