"""`primectl requests` as a process of its own, over a journal that no cluster writes to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from primectl.config import topology
from primectl.journal.entry import packed, pages
from primectl.journal.store import Journal
from primectl.wire.journal import DEAD, Record
from primectl.wire.stats import ClusterSnapshot, JournalSnapshot
from tests.support.cluster import wait_until
from tests.support.fake_supervisor import FakeSupervisor, PidFile, replies
from tests.support.records import a_record, asked

Run = Callable[..., subprocess.CompletedProcess[str]]
SAMPLES = Path(__file__).parents[3] / "sample_configs"
NOW = 1.7e9


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    return {**kept, "XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "primectl" / "prime" / "journal.db")


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Run:
    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "primectl", "requests", *words],
            cwd=tmp_path,
            env={**environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def add(path: str, *records: Record, now: float = NOW) -> None:
    journal = Journal.open_writer(path)
    journal.append(pages("server.1", now - 1.5, packed(records), {}), now)
    journal.close()


def listed(run: Run, *words: str) -> list[int]:
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return [int(row["id"], 16) for row in json.loads(done.stdout)["requests"]]


def test_the_newest_come_first_as_a_table_and_as_json(run: Run, path: str):
    add(path, a_record(1), a_record(2, status=500))
    told = run()
    assert [line.split()[1] for line in told.stdout.splitlines()] == ["ID", f"{2:013x}", f"{1:013x}"]
    [row, _] = json.loads(run("--json").stdout)["requests"]
    assert (row["status"], row["target"], row["time"]) == (
        500,
        "/is_prime?possible_prime=7",
        "2023-11-14T22:13:19.500Z",
    )
    assert [hop["worker"] for hop in row["hops"]] == ["parse.1", "compute.3"]


def test_a_filter_a_time_and_a_number_choose(run: Run, path: str):
    add(path, a_record(1), a_record(2, status=500), a_record(3, status=500))
    add(path, a_record(4, status=502, flags=DEAD), now=NOW + 3600)
    assert listed(run, "--where", "status>=500 and pool=compute") == [4, 3, 2]
    assert listed(run, "-n", "2") == [4, 3]
    assert listed(run, "-n", "0", "--until", "2023-11-14T22:30:00Z") == [3, 2, 1]
    assert listed(run, "--since", "2023-11-14T22:30:00Z") == [4]
    assert listed(run, "--dead") == [4]
    assert listed(run, "--where", "status=418") == []


def test_without_a_journal_or_rows_that_fit_that_is_said_beside_an_empty_list(run: Run, path: str):
    done = run("--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"requests": []})
    assert done.stderr == f"cluster prime has recorded nothing yet: there is no {path}\n"
    add(path, a_record(1))
    done = run("--where", "dead")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no recorded request fits\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--where", "status>="], '--where: expected a value behind ">=". Give a number\n  status>=\n          ^'),
        (["-n", "-1"], "--last: expected a whole number >= 0, got '-1'"),
        (["--until", "noon"], "--until: expected a time ago such as 5m, or a time such as"),
        (["--follow", "--until", "5m"], "--until: nothing comes after a time that is over. Leave it or --follow away"),
        (["shw"], 'there is no command "requests shw". Did you mean "show"?'),
        (["51bb"], 'there is no command "requests 51bb". `primectl requests show 51bb` shows it, if it is an id'),
        (["show"], "primectl requests show: ID is missing. See `primectl requests show --help`"),
        (["show", "xyz"], 'expected the id of a request, got "xyz"'),
        (
            ["-n", "5", "show", "1"],
            'primectl requests: what stands before "show" is for the list. Put it behind "show"',
        ),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said_at_once(run: Run, words: list[str], line: str):
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(line)


def test_one_request_is_shown_and_as_json_has_all_of_it(run: Run, path: str):
    post = asked("/optimize", (("x", "a\x1b[31mb"),), b'{"mode":"car"}', "POST")
    add(path, a_record(0x51BB, request=post, asked_bytes=14))
    told = run("show", "51bb").stdout
    assert told.startswith("00000000051bb POST /optimize 200 OK 100ms\n")
    assert '{"mode":"car"}' in told
    assert "\x1b" not in told
    entry = json.loads(run("-c", "prime", "show", "51bb", "--json").stdout)
    assert entry["request"]["body"] == '{"mode":"car"}'
    assert entry["answer"]["body"] == "7"
    assert entry["id"] == "00000000051bb"


def test_a_request_that_is_not_there_is_exit_code_3(run: Run, path: str):
    add(path, a_record(1))
    done = run("show", "51bb")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "no request 51bb is recorded. `primectl requests` lists those that are\n"


def test_a_newer_and_a_damaged_journal_are_one_line_and_exit_code_1(run: Run, path: str):
    add(path, a_record(1))
    journal = Journal.open_writer(path)
    journal._connection.execute("PRAGMA user_version = 9")
    journal.close()
    newer = run()
    assert newer.returncode == 1
    assert "schema is version 9, this program knows 1" in newer.stderr
    Path(path).write_bytes(b"no database" * 1000)
    damaged = run("--json")
    assert damaged.returncode == 1
    assert "the journal is damaged" in damaged.stderr
    assert newer.stderr.count("\n") == damaged.stderr.count("\n") == 1


def test_following_prints_what_comes_a_line_each_until_it_is_interrupted(
    path: str, tmp_path: Path, environment: dict[str, str]
):
    add(path, *(a_record(number) for number in range(5)))
    words = [sys.executable, "-m", "primectl", "requests", "--follow", "-n", "2", "--json"]
    following = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    try:
        seen = [json.loads(following.stdout.readline())["id"] for _ in range(2)]
        add(path, a_record(7), a_record(8), now=NOW + 1)
        seen += [json.loads(following.stdout.readline())["id"] for _ in range(2)]
        assert [int(each, 16) for each in seen] == [3, 4, 7, 8]
        following.send_signal(signal.SIGINT)
        rest, told = following.communicate(timeout=30)
        assert (following.returncode, rest, told) == (130, "", "")
    finally:
        following.kill()
        following.communicate()


def test_following_says_once_that_a_journal_is_damaged_and_goes_on_with_the_next(
    path: str, tmp_path: Path, environment: dict[str, str]
):
    Path(path).parent.mkdir(parents=True)
    Path(path).write_bytes(b"no database" * 1000)
    with open(tmp_path / "told", "w+") as told:
        following = subprocess.Popen(
            [sys.executable, "-m", "primectl", "requests", "--follow", "--json"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        )
        assert following.stdout is not None
        try:
            wait_until(lambda: "is damaged" in (tmp_path / "told").read_text(), what="the line about it")
            Path(path).rename(f"{path}.damaged")
            add(path, a_record(7))
            assert int(json.loads(following.stdout.readline())["id"], 16) == 7
        finally:
            following.kill()
            following.communicate()
    assert (tmp_path / "told").read_text().count("is damaged") == 1


def test_a_running_cluster_that_does_not_record_is_said_beside_the_list(
    run: Run, path: str, environment: dict[str, str]
):
    add(path, a_record(1))
    place = topology.place("prime", environment, tempfile.gettempdir(), os.getuid())
    Path(place.runtime).mkdir(parents=True)
    Path(place.sockets).mkdir(exist_ok=True)
    lock = PidFile(place)
    journal = JournalSnapshot(state="stopped", trouble="the disk is full")
    supervisor = FakeSupervisor(place, replies(ClusterSnapshot(cluster="prime", journal=journal)))
    done = run("--json")
    supervisor.join()
    lock.close()
    shutil.rmtree(place.sockets)
    assert len(json.loads(done.stdout)["requests"]) == 1
    assert (done.returncode, done.stderr) == (0, "cluster prime: not recording: the disk is full\n")


def test_export_and_import_are_commands_below_requests(run: Run, path: str, tmp_path: Path):
    add(path, a_record(0x51BB), a_record(0x51BC))
    exported = json.loads(run("export", "51bb", "-o", "set.jsonl", "--json").stdout)
    assert (exported["requests"], exported["format"]) == (1, "jsonl")
    imported = run("import", "set.jsonl", "-c", "other")
    assert imported.returncode == 0, imported.stderr
    assert listed(run, "-c", "other", "--where", "imported") == [0x51BB]


def test_a_config_file_is_named_as_for_every_other_command(run: Run, environment: dict[str, str], tmp_path: Path):
    config = tmp_path / "shop.toml"
    config.write_text((SAMPLES / "prime.toml").read_text().replace('name = "prime"', 'name = "shop"'))
    add(topology.place("shop", environment, tempfile.gettempdir(), os.getuid()).journal_file, a_record(5))
    for words in (["-f", str(config), "--json"], ["--json"]):
        done = run(*words)
        assert [row["id"] for row in json.loads(done.stdout)["requests"]] == (["0000000000005"] if words[1:] else [])
    assert run("-f", str(config), "show", "5").stdout.startswith("0000000000005 ")
