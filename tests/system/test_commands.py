"""Every command against a real cluster, as an operator would type it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.support.cluster import ClusterUnderTest, alive, wait_until


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterUnderTest]:
    """One for the tests that leave it as it was: two pools, parse with 1 worker and compute with 2."""
    with ClusterUnderTest() as cluster:
        yield cluster.up()


@pytest.fixture
def down() -> Iterator[ClusterUnderTest]:
    """One that the test brings up itself."""
    with ClusterUnderTest() as cluster:
        yield cluster


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def is_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1 and text.rstrip("\n").isprintable()


# --- up, ps, down -----------------------------------------------------------------------------------------------------


def test_a_cluster_comes_up_answers_and_goes_down_leaving_nothing(down: ClusterUnderTest) -> None:
    told = down.json("up", "-d")
    assert (told["cluster"], told["already_running"]) == ("prime", False)
    assert get(f"{told['listen']}/is_prime?possible_prime=7919") == (200, "7919")
    pids = down.pids()
    assert pids["supervisor"] == told["pid"]
    report = down.down()
    assert (report["cluster"], report["killed"]) == ("prime", [])
    assert down.processes_left() == []
    assert down.files_left() == []
    assert not any(map(alive, pids.values()))


def test_ps_has_the_processes_and_fields_of_the_contract(cluster: ClusterUnderTest) -> None:
    told = cluster.ps()
    assert (told["cluster"], told["state"]) == ("prime", "running")
    assert [pool["name"] for pool in told["pools"]] == ["parse", "compute"]
    for pool in told["pools"]:
        assert pool.keys() >= {
            "name", "target", "workers", "busy", "idle", "queued", "in_flight", "done", "failed", "retried", "rate",
            "p50_ms", "p99_ms", "oldest_wait_ms",
        }  # fmt: skip
    roles = {process["id"]: process["role"] for process in told["processes"]}
    assert roles == {
        "supervisor": "supervisor",
        "server.1": "server",
        "proxy.parse": "proxy",
        "proxy.compute": "proxy",
        "parse.1": "worker",
        "compute.1": "worker",
        "compute.2": "worker",
        "recorder": "recorder",
    }
    assert told["journal"]["state"] == "recording"
    assert list(told)[-1] == "journal"
    for process in told["processes"]:
        assert process.keys() >= {
            "id", "role", "pool", "pid", "state", "busy", "uptime_s", "restarts", "jobs", "cpu_percent", "rss_bytes",
        }  # fmt: skip
        assert process["state"] == "running"
        assert alive(process["pid"])


def test_ps_for_people_is_a_table_without_colour_in_a_pipe(cluster: ClusterUnderTest) -> None:
    told = cluster.cli("ps").stdout
    assert told.startswith("cluster prime · running · ")
    assert "compute.2" in told
    assert "\x1b" not in told


def test_up_d_of_a_cluster_that_runs_is_fine_and_up_is_refused_with_its_pid(cluster: ClusterUnderTest) -> None:
    pid = cluster.pids()["supervisor"]
    told = cluster.json("up", "-d")
    assert (told["already_running"], told["pid"], told["listen"]) == (True, pid, cluster.url)
    refused = cluster.cli("up", code=1)
    assert is_line(refused.stderr)
    assert f"is running already (pid {pid})" in refused.stderr


def test_a_cluster_is_found_by_name_by_file_and_from_another_folder(cluster: ClusterUnderTest, tmp_path: Path) -> None:
    for words in (["-c", "prime", "ps"], ["ps", "-c", "prime"], ["ps", "-f", str(cluster.file)]):
        assert json.loads(cluster.cli(*words, "--json").stdout)["cluster"] == "prime"
    elsewhere = subprocess.run(
        cluster.command("ps", "--json"), cwd=tmp_path, env=cluster.environment, capture_output=True, check=True
    )
    assert json.loads(elsewhere.stdout)["cluster"] == "prime"


def test_two_clusters_run_side_by_side_and_one_has_to_be_chosen(down: ClusterUnderTest, tmp_path: Path) -> None:
    down.up()
    down.cli("up", "-d", "-c", "second")
    try:
        assert down.ps()["cluster"] == "prime", "the one of the file here"
        assert json.loads(down.cli("ps", "-c", "second", "--json").stdout)["cluster"] == "second"
        unsure = subprocess.run(
            down.command("ps"), cwd=tmp_path, env=down.environment, capture_output=True, text=True, check=False
        )
        assert (unsure.returncode, unsure.stderr) == (2, "2 clusters run: prime, second. Choose one with -c NAME\n")
    finally:
        down.cli("down", "-c", "second")


# --- up that fails ----------------------------------------------------------------------------------------------------


def test_a_broken_config_is_told_line_by_line_and_nothing_is_started(down: ClusterUnderTest) -> None:
    down.file.write_text(down.file.read_text().replace("workers = 2", 'wrokers = "two"') + "\n[sever]\n")
    refused = down.cli("up", "-d", code=2)
    assert len(refused.stderr.splitlines()) == 2
    assert "primectl.toml: pools.compute.wrokers" in refused.stderr
    assert down.files_left() == []


def test_a_handler_that_raises_at_import_fails_with_its_traceback(down: ClusterUnderTest) -> None:
    (down.folder / "broken.py").write_text("def parse(request, job): ...\nraise RuntimeError('no database')\n")
    down.file.write_text(down.file.read_text().replace("primectl.handlers.prime:parse", "broken:parse"))
    refused = down.cli("up", "-d", code=1)
    assert "RuntimeError: no database" in refused.stderr
    assert "broken.py" in refused.stderr
    assert down.files_left() == []


def test_a_handler_that_is_not_there_is_wrong_config(down: ClusterUnderTest) -> None:
    down.file.write_text(down.file.read_text().replace("prime:parse", "prime:prase"))
    refused = down.cli("up", "-d", code=2)
    assert is_line(refused.stderr)
    assert 'Did you mean "parse"?' in refused.stderr


def test_a_port_in_use_is_named_and_nothing_is_left_running(cluster: ClusterUnderTest, down: ClusterUnderTest) -> None:
    down.file.write_text(down.file.read_text().replace("http://127.0.0.1:0", cluster.url))
    refused = down.cli("up", "-d", code=1)
    assert is_line(refused.stderr)
    assert cluster.url.rpartition(":")[2] in refused.stderr
    assert down.processes_left() == []


# --- scale ------------------------------------------------------------------------------------------------------------


def test_scale_returns_when_the_pool_has_its_size_and_numbers_stay_low(cluster: ClusterUnderTest) -> None:
    for words, before, after in (
        (["compute=5"], 2, 5),
        (["compute=+1"], 5, 6),
        (["compute=-2"], 6, 4),
        (["compute", "3"], 4, 3),
        (["compute", "-1"], 3, 2),
        (["compute=2"], 2, 2),
    ):
        told = cluster.json("scale", *words)
        assert [(pool["pool"], pool["before"], pool["after"]) for pool in told["pools"]] == [("compute", before, after)]
        pool = cluster.pool("compute")
        assert (pool["target"], pool["workers"]) == (after, after)
    assert {"compute.1", "compute.2"} <= cluster.pids().keys()


def test_several_pools_are_scaled_at_once(cluster: ClusterUnderTest) -> None:
    assert cluster.cli("scale", "compute=3", "parse=2").stdout.startswith("compute: 2 -> 3 workers in ")
    assert (cluster.pool("compute")["workers"], cluster.pool("parse")["workers"]) == (3, 2)
    cluster.cli("scale", "compute=2", "parse=1")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["comptue=2"], 3, "comptue"),
        (["compute=two"], 2, "expected POOL=N"),
        (["compute=100000"], None, "compute"),
        (["compute=-100"], None, "compute"),
        ([], 2, "is missing"),
    ],
)
def test_a_size_that_cannot_be_is_refused_in_one_line(
    cluster: ClusterUnderTest, words: list[str], code: int | None, says: str
) -> None:
    refused = cluster.cli("scale", *words, code=code)
    assert refused.returncode in (1, 2, 3)
    assert is_line(refused.stderr)
    assert says in refused.stderr
    assert cluster.pool("compute")["target"] == 2


# --- kill, restart ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "hit"),
    [
        ("compute", {"compute.1", "compute.2"}),
        ("compute.2", {"compute.2"}),
        ("all", {"parse.1", "compute.1", "compute.2"}),
    ],
)
def test_a_kill_is_acknowledged_by_all_it_reaches_and_they_are_replaced(
    cluster: ClusterUnderTest, target: str, hit: set[str]
) -> None:
    before = cluster.pids()
    told = cluster.json("kill", target, "--yes")
    assert set(told["addressed"]) == set(told["acknowledged"]) == hit
    assert not any(alive(before[process]) for process in hit)
    wait_until(lambda: cluster.pool("compute")["idle"] == 2 and cluster.pool("parse")["idle"] == 1, what="replacements")
    after = cluster.pids()
    assert {process for process, pid in after.items() if before[process] != pid} == hit


def test_a_kill_says_how_many_acknowledged(cluster: ClusterUnderTest) -> None:
    assert cluster.cli("kill", "compute", "--yes").stdout.startswith("KILL acknowledged by 2 of 2 in ")
    wait_until(lambda: cluster.pool("compute")["idle"] == 2, what="replacements")


def test_without_a_terminal_a_kill_needs_yes(cluster: ClusterUnderTest) -> None:
    before = cluster.pids()
    refused = cluster.cli("kill", "all", code=2, stdin="y\n")
    assert is_line(refused.stderr)
    assert "--yes" in refused.stderr
    assert cluster.pids() == before


@pytest.mark.parametrize(("typed", "killed"), [("n\n", False), ("\n", False), ("y\n", True)])
def test_on_a_terminal_a_kill_asks_and_names_what_it_hits(cluster: ClusterUnderTest, typed: str, killed: bool) -> None:
    before = cluster.pids()
    ours, terminal = pty.openpty()
    try:
        process = cluster.spawn("kill", "compute.1", stdin=terminal, stdout=terminal, stderr=terminal)
        shown = ""
        while "[y/N]" not in shown:
            shown += os.read(ours, 4096).decode()
        assert "KILL compute.1: 1 process (compute.1)" in shown
        os.write(ours, typed.encode())
        assert process.wait(30) == (0 if killed else 1)
    finally:
        os.close(ours)
        os.close(terminal)
    wait_until(lambda: cluster.pool("compute")["idle"] == 2, what="two idle workers")
    assert (cluster.pids()["compute.1"] != before["compute.1"]) is killed


def test_a_restart_gives_every_process_a_new_pid(cluster: ClusterUnderTest) -> None:
    before = cluster.pids()
    told = cluster.json("restart", "compute")
    assert sorted(told["processes"]) == ["compute.1", "compute.2"]
    after = cluster.pids()
    assert {process for process, pid in after.items() if before[process] != pid} == {"compute.1", "compute.2"}


@pytest.mark.parametrize("words", [("kill", "nobody", "--yes"), ("restart", "nobody"), ("logs", "nobody")])
def test_a_target_that_is_not_there_is_exit_3(cluster: ClusterUnderTest, words: tuple[str, ...]) -> None:
    refused = cluster.cli(*words, code=3)
    assert is_line(refused.stderr)
    assert "nobody" in refused.stderr


# --- logs, events, top ------------------------------------------------------------------------------------------------


def test_logs_are_merged_and_prefixed_and_narrowed_by_target(cluster: ClusterUnderTest) -> None:
    get(f"{cluster.url}/is_prime?possible_prime=104729")
    wait_until(lambda: "104729" in cluster.cli("logs", "server.1").stdout, what="the access log")
    everything = cluster.json("logs", "-n", "1000")["lines"]
    assert {"server.1", "supervisor"} <= {line["process"] for line in everything}
    assert {line["process"] for line in cluster.json("logs", "server.1")["lines"]} == {"server.1"}
    assert len(cluster.json("logs", "-n", "2")["lines"]) == 2


def test_logs_f_shows_what_comes(cluster: ClusterUnderTest) -> None:
    process = cluster.spawn("logs", "-f", "-n", "0", "server.1")
    try:
        assert process.stdout is not None
        get(f"{cluster.url}/is_prime?possible_prime=15485863")
        # Asked again until the follower has begun; every line it shows is one of ours.
        os.set_blocking(process.stdout.fileno(), False)

        def shown() -> str:
            get(f"{cluster.url}/is_prime?possible_prime=15485863")
            assert process.stdout is not None
            try:  # a text stream cannot say that there is nothing yet
                return os.read(process.stdout.fileno(), 1 << 16).decode()
            except BlockingIOError:
                return ""

        line = wait_until(shown, what="a followed line")
        assert line.startswith("server.1 | ")
        assert "15485863" in line
    finally:
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=30)
    assert (process.returncode, complaints) == (130, "")


def test_events_tell_what_was_ordered_and_by_whom(cluster: ClusterUnderTest) -> None:
    cluster.cli("restart", "parse")
    told = cluster.json("events")["events"]
    numbers = [event["number"] for event in told]
    assert numbers == sorted(numbers)
    assert any(event["kind"].startswith("restart") and event["operator"] for event in told)
    assert len(cluster.cli("events", "-n", "3").stdout.splitlines()) == 3


def test_events_f_shows_what_happens_as_one_object_a_line(cluster: ClusterUnderTest) -> None:
    process = cluster.spawn("events", "-f", "-n", "1", "--json")
    try:
        assert process.stdout is not None
        known = json.loads(process.stdout.readline())
        cluster.cli("restart", "parse")
        assert json.loads(process.stdout.readline())["number"] == known["number"] + 1
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130


def test_top_shows_the_cluster_as_often_as_asked(cluster: ClusterUnderTest) -> None:
    assert "compute.2" in cluster.cli("top", "--once").stdout
    updates = [json.loads(line) for line in cluster.cli("top", "-n", "2", "--json").stdout.splitlines()]
    assert [update["cluster"] for update in updates] == ["prime", "prime"]
    assert updates[0]["time"] < updates[1]["time"]


def test_output_that_nobody_reads_any_more_is_no_error(cluster: ClusterUnderTest) -> None:
    process = cluster.spawn("logs", "-f", "-n", "1000")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    for _ in range(2):
        get(f"{cluster.url}/is_prime?possible_prime=2")
    wait_until(lambda: get(f"{cluster.url}/is_prime?possible_prime=2") and process.poll() is not None, what="its end")
    assert process.stderr is not None
    with process.stderr as complaints:
        assert complaints.read() == ""


# --- without a cluster ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [("ps",), ("top", "--once"), ("scale", "compute=2"), ("kill", "all", "--yes"), ("restart", "all"), ("down",),
     ("logs",), ("events",), ("events", "-f")],
)  # fmt: skip
def test_without_a_cluster_every_command_says_how_to_start_one(down: ClusterUnderTest, words: tuple[str, ...]) -> None:
    refused = down.cli(*words, code=3)
    assert refused.stdout == ""
    assert is_line(refused.stderr)
    assert "`primectl up -d` starts it" in refused.stderr


def test_down_does_not_wait_for_whoever_started_the_cluster(down: ClusterUnderTest) -> None:
    """Its supervisor stays a zombie of a parent that is busy; that is not our business."""
    process = down.spawn("up")
    wait_until(lambda: down.cli("ps", code=None).returncode == 0 and down.ps()["state"] == "running", what="up")
    assert down.cli("down").stdout.startswith("cluster prime stopped in ")
    assert not alive(process.pid)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_logs_and_events_outlive_the_cluster(down: ClusterUnderTest) -> None:
    down.up()
    get(f"{down.url}/is_prime?possible_prime=31")
    down.down()
    assert {line["process"] for line in down.json("logs", "-n", "1000")["lines"]} >= {"server.1", "supervisor"}
    assert down.json("events")["events"]


def test_down_clears_up_after_a_supervisor_that_was_killed(down: ClusterUnderTest) -> None:
    down.up()
    pids = down.pids()
    os.kill(pids["supervisor"], signal.SIGKILL)
    wait_until(lambda: not alive(pids["supervisor"]), what="its end")
    refused = down.cli("ps", code=3)
    assert is_line(refused.stderr)
    told = down.cli("down").stdout
    assert "the supervisor of cluster prime was gone" in told
    assert "ended what it left: compute.1, compute.2, parse.1, " in told
    assert "server.1" in told
    assert down.processes_left() == []
    assert down.files_left() == []


# --- in the foreground ------------------------------------------------------------------------------------------------


def test_up_shows_the_merged_log_and_one_ctrl_c_stops_it_cleanly(down: ClusterUnderTest) -> None:
    process = down.spawn("up")
    try:
        wait_until(lambda: down.cli("ps", code=None).returncode == 0 and down.ps()["state"] == "running", what="up")
        assert get(f"{down.url}/is_prime?possible_prime=31") == (200, "31")
    finally:
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert any(line.startswith("server.1") and "possible_prime=31" in line for line in out.splitlines())
    assert "cluster prime is running at http://127.0.0.1:" in told
    assert "1 request finished" in told or "0 cancelled" in told
    assert down.files_left() == []


def test_a_second_ctrl_c_kills(down: ClusterUnderTest) -> None:
    slow = down.file.read_text().replace("primectl.handlers.prime:parse", "slow:parse")
    down.file.write_text(slow)
    (down.folder / "slow.py").write_text("import time\ndef parse(request, job):\n    time.sleep(3600)\n")
    process = down.spawn("up")
    try:
        wait_until(lambda: down.cli("ps", code=None).returncode == 0 and down.ps()["state"] == "running", what="up")
        client = subprocess.Popen(
            ["python3", "-c", f"import urllib.request as u; u.urlopen('{down.url}/is_prime?possible_prime=3')"],
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: down.pool("parse")["busy"] == 1, what="a busy worker")
        process.send_signal(signal.SIGINT)
        wait_until(lambda: down.ps()["state"] == "stopping", what="the clean stop")
        process.send_signal(signal.SIGINT)
    finally:
        _, told = process.communicate(timeout=60)
        client.wait(30)
    assert "parse.1" in told
    assert down.files_left() == []


# --- tui without a terminal -------------------------------------------------------------------------------------------


def test_tui_without_a_terminal_starts_a_cluster_and_proves_that_it_answers(down: ClusterUnderTest) -> None:
    told = down.cli("tui").stdout
    assert "No cluster was running: started prime" in told
    assert "/is_prime?possible_prime=7919\n200 7919" in told
    assert "`primectl down` stops" in told
    assert down.ps()["state"] == "running"
