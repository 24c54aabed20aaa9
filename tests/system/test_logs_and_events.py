"""Logs and events as an operator has them: through rotations, a supervisor's death, a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterUnderTest, wait_until

HANDLER = '''
import os, resource, subprocess, sys, threading
from primectl import Response

CHILD = "import os, sys\\nfor n in range(200): os.write(1, f'child{sys.argv[1]} {n}\\\\n'.encode())"

def talk(request, job):
    """Four writers say 200 numbers each, all at once."""
    name = request.query["name"]
    def say(writer):
        for number in range(200):
            print(f"{writer}{name} {number}")
    def raw():
        for number in range(200):
            try:
                os.write(2, f"raw{name} {number}\\n".encode())
            except OSError:
                return
    threads = [threading.Thread(target=say, args=(writer,)) for writer in ("a", "b")] + [threading.Thread(target=raw)]
    child = subprocess.Popen([sys.executable, "-c", CHILD, name])
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    child.wait()
    return Response.text("said")

def cramped(request, job):
    """As if the disk had no more room."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return talk(request, job)

def die(request, job):
    print("famous last words", flush=True)
    print("and the very last", flush=True)
    os._exit(3)
'''

CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"/talk" = "talk"
"/die" = "die"

[pools.talk]
handler = "saying:talk"
workers = 2

[pools.die]
handler = "saying:die"
retry = "never"

[supervisor]
log_size = "8KiB"
log_keep = 100
"""


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest(CONFIG, name="logs", files={"saying.py": HANDLER}) as cluster:
        yield cluster.up()


def talk(cluster: ClusterUnderTest, names: range) -> None:
    with Asker(cluster.url) as asker:
        for name in names:
            assert asker.ask(f"/talk?name={name}x").status == 200


def spoken(texts: list[str], names: range) -> None:
    """Every number of every writer, once, whole and in order."""
    for name in names:
        for writer in ("a", "b", "raw", "child"):
            said = [int(text.split()[1]) for text in texts if text.startswith(f"{writer}{name}x ")]
            assert said == list(range(200)), f"{writer}{name}"


def in_files(cluster: ClusterUnderTest) -> list[str]:
    texts: list[str] = []
    for log in Path(cluster.place.logs).glob("talk.*.log"):
        older = sorted(log.parent.glob(f"{log.name}.*"), key=lambda file: -int(file.suffix[1:]))
        texts += "".join(file.read_text() for file in [*older, log]).splitlines()
    return texts


def test_no_line_is_lost_by_rotations_by_size_by_order_and_by_signal(cluster: ClusterUnderTest) -> None:
    with cluster.spawn("logs", "-f", "-n", "0", "talk", "--json") as follower:
        wait_until(lambda: len(os.listdir(f"/proc/{follower.pid}/fd")) > 4, what="the follower")
        for name in range(6):
            talk(cluster, range(name, name + 1))
            if name % 2:
                cluster.cli("reopen", "talk", "--rotate")
            else:
                os.kill(cluster.pids()["supervisor"], signal.SIGUSR1)
        talk(cluster, range(6, 7))
        spoken(in_files(cluster), range(7))
        assert len(list(Path(cluster.place.logs).glob("talk.*.log.*"))) >= 6
        found = cluster.json("logs", "talk", "-n", "100000")
        spoken([line["text"] for line in found["lines"]], range(7))
        shown: list[str] = []
        while len(shown) < 7 * 800:
            shown.append(json.loads((follower.stdout or sys.stdin).readline())["text"])
        follower.send_signal(signal.SIGINT)
    spoken(shown, range(7))


def test_logrotate_by_name(cluster: ClusterUnderTest) -> None:
    talk(cluster, range(1))
    logs = Path(cluster.place.logs)
    for log in logs.glob("*.log"):
        os.rename(log, f"{log}-yesterday")
    told = cluster.json("reopen")
    assert {"supervisor", "server.1", "proxy.talk", "talk.1", "talk.2", "zygote.talk"} <= set(told["processes"])
    assert all((logs / f"{process}.log").exists() for process in told["processes"])
    assert cluster.cli("reopen", "gone", code=3).stderr.count("\n") == 1


def test_the_last_lines_of_a_dead_process_are_with_its_event_after_a_rotation_too(cluster: ClusterUnderTest) -> None:
    with Asker(cluster.url) as asker:
        assert asker.ask("/die").status == 502
    cluster.cli("reopen", "--rotate")

    def crashes() -> list[dict[str, Any]]:
        found = cluster.json("events", "die.1", "--kind", "crashed")["events"]
        return [event for event in found if event["subject"] == "die.1"]

    event = wait_until(crashes, what="the event")[-1]
    assert event["lines"][-2:] == ["famous last words", "and the very last"]
    assert event["cause"].startswith("exit status 3: and the very last, in request ")


def test_events_for_people_and_for_programs(cluster: ClusterUnderTest) -> None:
    cluster.cli("scale", "talk=3")
    people = cluster.cli("events").stdout
    assert "scale talk from 2 to 3" in people
    assert "-> running" not in people
    assert "starting -> running" in cluster.cli("events", "--all", "talk.3").stdout
    order = cluster.json("events", "--kind", "scale")["events"][-1]
    assert (order["subject"], order["before"], order["after"]) == ("talk", "2", "3")
    assert order["operator"]
    states = [(e["before"], e["after"]) for e in cluster.json("events", "talk.3")["events"] if e["kind"] == "state"]
    assert states == [("exited", "starting"), ("starting", "running")]
    assert cluster.json("events", "--since", "2100-01-01")["events"] == []
    numbers = [event["number"] for event in cluster.json("events", "-n", "1000")["events"]]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("logs", "--since", "teatime"), "--since: expected a time ago such as 5m"),
        (("logs", "--grep", "("), '--grep: expected a regular expression, got "("'),
        (("events", "--since", "5"), "--since: expected a time ago such as 5m"),
    ],
)
def test_what_cannot_be_meant_is_one_line(words: tuple[str, ...], told: str) -> None:
    done = subprocess.run([sys.executable, "-m", "primectl", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert told in done.stderr


def test_logs_are_narrowed_by_time_and_text(cluster: ClusterUnderTest) -> None:
    talk(cluster, range(1))
    found = cluster.json("logs", "talk", "--grep", r"^a0x 1\d\d$")["lines"]
    assert [line["text"] for line in found] == [f"a0x {number}" for number in range(100, 200)]
    assert len(cluster.json("logs", "talk", "--grep", "^a0x", "-n", "5")["lines"]) == 5
    assert len(cluster.json("logs", "talk", "--since", "1h", "--grep", "^a0x")["lines"]) == 200
    assert cluster.json("logs", "talk", "--since", "2100-01-01")["lines"] == []


def test_events_are_followed_through_the_death_of_the_supervisor_to_the_clean_stop(cluster: ClusterUnderTest) -> None:
    with cluster.spawn("events", "-f", "-n", "1000", "--json") as follower:
        out, errors = follower.stdout or sys.stdin, follower.stderr or sys.stdin
        first = json.loads(out.readline())
        cluster.cli("scale", "talk=3")
        os.kill(cluster.pids()["supervisor"], signal.SIGKILL)
        assert "is gone; this goes on when the next is there" in errors.readline()
        cluster.cli("up", "-d")
        cluster.cli("scale", "talk=1")
        cluster.down()
        shown = [first, *map(json.loads, out)]
        assert errors.readlines()[-1] == "cluster logs has stopped\n"
        assert follower.wait(60) == 0
    assert [event["number"] for event in shown] == list(range(1, len(shown) + 1))
    scales = [(e["before"], e["after"]) for e in shown if e["kind"] == "scale"]
    assert scales == [("2", "3"), ("3", "1")]
    assert [event["kind"] for event in shown if event["kind"] != "state"][-1] == "stopped"


def test_logs_of_all_are_bounded_together(cluster: ClusterUnderTest) -> None:
    cluster.down()
    cluster.file.write_text(cluster.file.read_text() + 'log_total = "64KiB"\n')
    logs = Path(cluster.place.logs)
    (logs / "old.1.log").write_text("x" * 100_000)
    cluster.up()
    talk(cluster, range(3))

    def within() -> bool:
        return sum(file.stat().st_size for file in logs.iterdir()) <= 64 << 10

    wait_until(within, what="the bound")
    assert not (logs / "old.1.log").exists()


CRAMPED = CONFIG.replace("saying:talk", "saying:cramped").replace("workers = 2", "workers = 1")


def test_a_worker_whose_log_takes_no_more_goes_on_and_its_log_says_what_was_dropped() -> None:
    with ClusterUnderTest(CRAMPED, name="logs", files={"saying.py": HANDLER}) as cluster:
        cluster.up()
        talk(cluster, range(4))  # of 28 kB

        def dropped() -> int:
            found = next(process for process in cluster.ps()["processes"] if process["id"] == "talk.1")
            return int(found["counters"].get("log_lines_dropped", 0))

        assert wait_until(dropped, what="the counter") > 0

        def told() -> list[str]:
            return [text for text in in_files(cluster) if "of this log were dropped: File too large" in text]

        wait_until(told, what="the confession")
        talk(cluster, range(4, 5))
