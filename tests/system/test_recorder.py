"""The recorder as a black box: whatever becomes of it, no request fails; what it has missed, it hears again."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from primectl.cli.render import ps_object
from primectl.control.client import ControlClient
from primectl.wire.journal import Entry, EntryQuery, Requests, RequestsQuery
from primectl.wire.stats import ClusterSnapshot
from tests.support.asking import Asker
from tests.support.cluster import ClusterUnderTest, alive, wait_until
from tests.support.underload import Load

SOME = 200
"""Requests, so that something is under way."""


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest() as cluster:
        yield cluster


def journal(cluster: ClusterUnderTest) -> dict[str, Any]:
    """As `ps --json` tells it, without the start of an interpreter."""
    with ControlClient(cluster.place) as client:
        told: dict[str, Any] = ps_object(client.ask("GET", "/cluster", None, ClusterSnapshot))["journal"]
    return told


def await_rows(cluster: ClusterUnderTest, rows: int) -> None:
    wait_until(lambda: journal(cluster)["rows"] >= rows, what=f"{rows} rows")


def all_are_there(cluster: ClusterUnderTest, load: Load) -> None:
    """Every request of the load has its row, and one only."""
    load.assert_flawless()
    await_rows(cluster, load.result.requests)
    told = journal(cluster)
    assert (told["rows"], told["dropped"], told["state"]) == (load.result.requests, 0, "recording")


def await_another_recorder(cluster: ClusterUnderTest, pid: int) -> None:
    def found() -> bool:
        with ControlClient(cluster.place) as client:
            snapshot = client.ask("GET", "/cluster", None, ClusterSnapshot)
        now = next(process for process in snapshot.processes if process.id == "recorder")
        return now.pid not in (0, pid) and now.state == "running"

    wait_until(found, what="another recorder")


def switch(cluster: ClusterUnderTest, enabled: str) -> None:
    text = cluster.file.read_text().partition("[journal]")[0]
    cluster.file.write_text(f"{text}[journal]\nenabled = {enabled}\n")
    cluster.cli("apply")


# --- it is lost -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_recorder_that_is_lost_under_load_fails_no_request_and_misses_none(cluster: ClusterUnderTest, number: int):
    cluster.up()
    with Load(cluster.url) as load:
        await_rows(cluster, SOME)
        pid = cluster.pids()["recorder"]
        os.kill(pid, number)
        await_another_recorder(cluster, pid)
        rows = journal(cluster)["rows"]
        await_rows(cluster, rows + SOME)
    all_are_there(cluster, load)
    assert not alive(pid)


def test_recorder_and_supervisor_are_lost_and_the_next_supervisor_has_both(cluster: ClusterUnderTest):
    cluster.up()
    with Load(cluster.url) as load:
        await_rows(cluster, SOME)
        pids = cluster.pids()
        os.kill(pids["supervisor"], signal.SIGKILL)
        os.kill(pids["recorder"], signal.SIGKILL)
        wait_until(lambda: not alive(pids["supervisor"]) and not alive(pids["recorder"]), what="both to be gone")
        told = cluster.cli("up", "-d")
        assert "adopted 6 processes, started 1 that had ended" in told.stdout
        assert told.stderr == ""
        await_rows(cluster, journal(cluster)["rows"] + SOME)
    all_are_there(cluster, load)


def test_a_recorder_outlives_its_supervisor(cluster: ClusterUnderTest):
    cluster.up()
    with Load(cluster.url) as load:
        await_rows(cluster, SOME)
        pids = cluster.pids()
        os.kill(pids["supervisor"], signal.SIGKILL)
        wait_until(lambda: not alive(pids["supervisor"]), what="the end of the supervisor")
        cluster.cli("up", "-d")
        assert cluster.pids()["recorder"] == pids["recorder"]
    all_are_there(cluster, load)


@pytest.mark.parametrize("order", [("kill", "recorder", "--yes"), ("restart", "recorder"), ("restart", "server.1")])
def test_orders_to_recorder_and_servers_miss_no_request(cluster: ClusterUnderTest, order: tuple[str, ...]):
    cluster.up()
    with Load(cluster.url) as load:
        await_rows(cluster, SOME)
        cluster.cli(*order)
        await_rows(cluster, journal(cluster)["rows"] + SOME)
    all_are_there(cluster, load)


def test_it_is_dumped_and_its_log_opened_anew_like_any_process(cluster: ClusterUnderTest):
    cluster.up()
    dump = cluster.json("dump", "recorder")["dumps"][0]
    assert dump["how"] == "asked"
    assert "primectl/recorder/run.py" in dump["text"] or "uvloop" in dump["text"]
    assert cluster.json("reopen", "recorder")["processes"] == ["recorder"]
    assert cluster.json("logs", "recorder")["lines"] == []


def test_what_was_answered_last_is_in_the_journal_after_a_stop(cluster: ClusterUnderTest):
    cluster.up()
    with Load(cluster.url) as load:
        await_rows(cluster, SOME)
    load.assert_flawless()
    assert cluster.down()["killed"] == []
    connection = sqlite3.connect(cluster.place.journal_file)
    assert connection.execute("SELECT count(*) FROM requests").fetchone() == (load.result.requests,)
    connection.close()


# --- it cannot write ------------------------------------------------------------------------------------------------


def test_a_journal_that_cannot_be_written_costs_nobody_an_answer_and_is_told_until_it_can(cluster: ClusterUnderTest):
    """A folder is where the file shall be: 1. `up -d` says so and succeeds. 2. `ps` and the events say so; requests
    are answered. 3. The folder goes: what was answered last is recorded, and that is told."""
    Path(cluster.place.journal_file).mkdir(parents=True)
    told = cluster.cli("up", "-d")
    assert told.stderr.startswith("requests are not recorded: ")
    assert told.stderr.count("\n") == 1
    assert journal(cluster)["state"] == "stopped"
    assert "journal: not recording: " in cluster.cli("ps").stdout
    with Asker(cluster.url) as asker:
        assert asker.ask("/is_prime?possible_prime=7").body == b"7"
        assert asker.ask("/ready").status == 200
    wait_until(lambda: "requests are not recorded" in cluster.cli("events").stdout, what="the event")
    Path(cluster.place.journal_file).rmdir()
    wait_until(lambda: "requests are recorded again" in cluster.cli("events").stdout, what="the end of it")
    await_rows(cluster, 1)
    assert "journal" not in cluster.cli("ps").stdout


# --- on and off -----------------------------------------------------------------------------------------------------


def test_the_journal_is_switched_off_and_on_under_load(cluster: ClusterUnderTest):
    cluster.up()
    with Load(cluster.url) as load:
        await_rows(cluster, SOME)
        server = cluster.pids()["server.1"]
        switch(cluster, "false")
        pids = cluster.pids()
        assert "recorder" not in pids
        assert journal(cluster)["state"] == "off"
        switch(cluster, "true")
        wait_until(lambda: journal(cluster)["state"] == "recording", what="the journal")
        await_rows(cluster, journal(cluster)["rows"] + SOME)
        assert pids["server.1"] == cluster.pids()["server.1"] == server
    load.assert_flawless()


def test_a_cluster_without_a_journal_has_no_recorder_and_no_file(cluster: ClusterUnderTest):
    cluster.file.write_text(f"{cluster.file.read_text()}\n[journal]\nenabled = false\n")
    cluster.up()
    with Asker(cluster.url) as asker:
        assert asker.ask("/is_prime?possible_prime=7").body == b"7"
    assert "recorder" not in cluster.pids()
    assert not Path(cluster.place.journal_file).exists()


# --- it is asked ----------------------------------------------------------------------------------------------------


def test_consoles_ask_the_recorder_by_the_supervisor(cluster: ClusterUnderTest):
    cluster.up()
    with Asker(cluster.url) as asker:
        for number in (7, 8, 11):
            assert asker.ask(f"/is_prime?possible_prime={number}").status == 200
        assert asker.ask("/nowhere").status == 404
    await_rows(cluster, 4)
    with ControlClient(cluster.place) as client:
        found = client.ask("GET", "/requests", RequestsQuery(where="status=200", last=2), Requests)
        assert [row.query for row in found.requests] == ["possible_prime=11", "possible_prime=8"]
        assert found.kept == 4
        entry = client.ask("GET", "/requests/entry", EntryQuery(found.requests[0].id), Entry)
        assert (entry.target, entry.answer_body) == ("/is_prime?possible_prime=11", b"11")
        assert [hop.pool for hop in entry.row.hops] == ["parse", "compute"]
