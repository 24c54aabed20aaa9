"""Snapshots and replies as tables and as JSON."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import structs

from primectl.cli import render
from primectl.cli.kill import addressed, question
from primectl.wire.control import Drained, Killed, Restarted, Resumed, Scaled, Stopped
from primectl.wire.stats import (
    ClusterSnapshot,
    ClusterState,
    Event,
    FrontSnapshot,
    JournalSnapshot,
    OperationSnapshot,
    PoolSnapshot,
    ProcessSnapshot,
    Role,
)
from tui.present.clean import cells

SNAPSHOT = ClusterSnapshot(
    cluster="prime",
    state=ClusterState.RUNNING,
    uptime_s=12.3456,
    time=1_767_268_800.123456,
    config="prime (built in)",
    pools=[
        PoolSnapshot(
            name="compute", target=4, workers=4, busy=1, idle=3, in_flight=1, done=120, rate=40.1999,
            p50_ms=0.40004, p99_ms=2.1, utilisation=0.123456,
        )
    ],
    processes=[
        ProcessSnapshot(id="server.1", role=Role.SERVER, pid=4240, state="running", uptime_s=12.0),
        ProcessSnapshot(
            id="compute.1", role=Role.WORKER, pool="compute", pid=4242, state="running", busy=True, uptime_s=12.0,
            jobs=33, cpu_percent=3.1111, rss_bytes=21_000_000,
        ),
        ProcessSnapshot(id="compute.2", role=Role.WORKER, pool="compute", pid=4243, state="backoff"),
        ProcessSnapshot(id="parse.1", role=Role.WORKER, pool="parse", pid=4244, state="running"),
    ],
    front=FrontSnapshot(listen="http://127.0.0.1:8002", rate=12.0),
)  # fmt: skip


def test_ps_as_json_has_every_field_of_the_contract_with_figures_that_mean_something() -> None:
    told = json.loads(msgspec.json.encode(render.ps_object(SNAPSHOT)))
    assert {key: told[key] for key in ("cluster", "state", "uptime_s")} == {
        "cluster": "prime",
        "state": "running",
        "uptime_s": 12.3,
    }
    pool = {
        "name": "compute", "target": 4, "workers": 4, "busy": 1, "idle": 3, "queued": 0, "in_flight": 1, "done": 120,
        "failed": 0, "retried": 0, "rate": 40.2, "p50_ms": 0.4, "p99_ms": 2.1, "oldest_wait_ms": 0.0,
    }  # fmt: skip
    assert told["pools"][0] | pool == told["pools"][0]
    process = {
        "id": "compute.1", "role": "worker", "pool": "compute", "pid": 4242, "state": "running", "busy": True,
        "uptime_s": 12.0, "restarts": 0, "jobs": 33, "cpu_percent": 3.1, "rss_bytes": 21_000_000,
    }  # fmt: skip
    assert told["processes"][1] | process == told["processes"][1]
    assert told["server"]["listen"] == "http://127.0.0.1:8002"


def test_ps_for_people_has_aligned_tables_of_pools_and_processes() -> None:
    lines = render.ps_text(SNAPSHOT, colour=False).split("\n")
    assert lines[0].startswith("cluster prime · running · up 12s · http://127.0.0.1:8002")
    pools, processes = lines[2:4], lines[5:]
    assert pools[0].split()[:2] == ["POOL", "WORKERS"]
    assert pools[1].split()[:2] == ["compute", "4/4"]
    assert [line.split()[0] for line in processes] == ["PROCESS", "server.1", "compute.1", "compute.2", "parse.1"]
    end_of_pid = processes[0].index("PID") + 3
    assert all(line[end_of_pid - 4 : end_of_pid].isdigit() for line in processes[1:])
    assert "\x1b" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("journal", "line"),
    [
        (JournalSnapshot(state="stopped", trouble="the disk is full"), "journal: not recording: the disk is full"),
        (JournalSnapshot(state="recording", dropped=1204), "journal: 1,204 rows dropped"),
        (JournalSnapshot(state="recording", dropped=1), "journal: 1 row dropped"),
        (
            JournalSnapshot(state="stopped", trouble="the recorder is silent", dropped=2),
            "journal: not recording: the recorder is silent, 2 rows dropped",
        ),
    ],
)
def test_ps_says_in_a_line_what_is_wrong_with_the_journal(journal: JournalSnapshot, line: str) -> None:
    assert render.ps_text(structs.replace(SNAPSHOT, journal=journal), colour=False).split("\n")[-1] == line


@pytest.mark.parametrize("state", ["off", "starting", "recording"])
def test_ps_says_nothing_of_a_journal_that_is_well(state: str) -> None:
    well = JournalSnapshot(state=state, rows=12, left_out=3)
    assert "journal" not in render.ps_text(structs.replace(SNAPSHOT, journal=well), colour=False)


def test_ps_as_json_ends_with_the_journal() -> None:
    journal = JournalSnapshot(state="recording", rows=12, rate=3.14159, size=4096, oldest=1_767_268_800.123456)
    told = render.ps_object(structs.replace(SNAPSHOT, journal=journal))
    assert list(told)[-1] == "journal"
    assert told["journal"] == {
        "state": "recording", "trouble": "", "rows": 12, "rate": 3.1, "size": 4096, "oldest": 1_767_268_800.123,
        "dropped": 0, "left_out": 0,
    }  # fmt: skip


def test_ps_says_who_waits_who_has_failed_and_what_is_under_way() -> None:
    processes = [
        ProcessSnapshot(id="compute.1", role=Role.WORKER, pool="compute", state="backoff", retry_in_s=3.2),
        ProcessSnapshot(
            id="compute.2", role=Role.WORKER, pool="compute", state="failed", cause="exit status 1", last_lines=["no"]
        ),
    ]
    order = OperationSnapshot(number=12, kind="scale", target="compute", wish="64", operator="ana", text="17 of 64")
    pools = [PoolSnapshot(name="compute", trouble="no new workers")]
    whole = ClusterSnapshot(cluster="prime", pools=pools, processes=processes, operations=[order])
    lines = render.ps_text(whole, colour=False).split("\n")
    assert [line for line in lines if line.startswith("compute.1") and "backoff, again in 3.2s" in line]
    assert lines[-7:] == [
        "",
        "compute: no new workers",
        "compute.2 failed: exit status 1; `primectl restart compute.2` tries again",
        "  | no",
        "",
        "UNDER WAY",
        "12 scale compute -> 64 by ana: 17 of 64",
    ]
    told = json.loads(msgspec.json.encode(render.ps_object(whole)))
    assert told["operations"][0]["number"] == 12
    assert told["processes"][0]["retry_in_s"] == 3.2
    assert told["processes"][1]["last_lines"] == ["no"]


def test_colour_changes_no_column() -> None:
    plain, coloured = render.ps_text(SNAPSHOT, colour=False), render.ps_text(SNAPSHOT, colour=True)
    assert coloured != plain
    assert "".join(part for part in render._PAINT.split(coloured) if not part.startswith("\x1b")) == plain


@pytest.mark.parametrize("width", [0, 1, 5, 20, 500])
def test_a_coloured_line_is_cut_by_what_is_seen_and_keeps_its_colours_closed(width: int) -> None:
    line = f"{render.paint('running', '32', True)} and more"
    cut = render.cut_painted(line, width)
    seen = "".join(part for part in render._PAINT.split(cut) if not part.startswith("\x1b"))
    assert cells(seen) == min(width, cells("running and more"))
    assert cut.count("\x1b[32m") == cut.count("\x1b[0m") == 1


def test_a_kill_names_how_many_obeyed_who_was_forced_and_what_it_cost() -> None:
    names = [f"compute.{number}" for number in range(1, 5)]
    assert render.killed_text(Killed("compute", names, names, [], 0, 0.213)) == "KILL acknowledged by 4 of 4 in 0.21 s"
    assert render.killed_text(Killed("compute", names, names[:3], ["compute.2"], 1, 1.0)) == (
        "KILL acknowledged by 3 of 4 in 1.00 s; compute.2 took SIGKILL; still there: compute.4; 1 job interrupted"
    )


def test_a_stop_says_what_was_finished_cancelled_and_killed() -> None:
    assert render.stopped_text(Stopped("prime", 1, 0, 8, [], 0.4)) == (
        "cluster prime stopped in 0.40 s: 1 request finished, 0 cancelled, 8 processes left, 0 killed"
    )
    assert render.stopped_text(Stopped("prime", 2, 3, 1, ["compute.1"], 30.0)).endswith(
        "2 requests finished, 3 cancelled, 1 process left, 1 killed (compute.1)"
    )


def test_a_scaling_tells_before_and_after() -> None:
    assert render.scaled_text(Scaled("compute", 4, 8, 0.12)) == "compute: 4 -> 8 workers in 0.12 s"
    assert render.scaled_text(Scaled("compute", 2, 1, 0.1)) == "compute: 2 -> 1 worker in 0.10 s"
    assert render.scaled_text(Scaled("compute", 8, 8, 0.0)) == "compute: 8 workers already"


def test_a_restart_names_the_processes_and_leaves_out_the_middle_of_many() -> None:
    names = [f"compute.{number}" for number in range(1, 13)]
    assert render.restarted_text(Restarted("compute", names, 1.5)) == (
        "restarted 12 processes in 1.50 s: compute.1, compute.2, compute.3, compute.4 … compute.12"
    )


def test_a_drain_says_who_holds_nothing_and_how_it_ends() -> None:
    assert render.drained_text(Drained("compute", ["compute.1", "compute.2"], 0.3)) == (
        "compute is drained, compute.1, compute.2 hold nothing (0.30 s); `primectl resume compute` ends that"
    )
    assert render.drained_text(Drained("compute.1", ["compute.1"], 0.3)).startswith(
        "compute.1 is drained, it holds nothing (0.30 s)"
    )
    assert render.drained_text(Drained("compute", ["compute.1"], 0.3)).startswith(
        "compute is drained, compute.1 holds nothing (0.30 s)"
    )


def test_a_resume_says_who_takes_jobs_again() -> None:
    assert render.resumed_text(Resumed("compute.1", ["compute.1"])) == "compute.1 takes jobs again"
    assert render.resumed_text(Resumed("compute", ["compute.1", "compute.2"])) == (
        "compute takes jobs again: compute.1, compute.2"
    )


def test_an_event_is_one_clean_line() -> None:
    event = Event(number=1, time=0.0, kind="crashed", subject="compute.1", text="exit\n\x1b[31m9", operator="ann")
    text = render.event_text(event, colour=False)
    assert text.isprintable()
    assert text.endswith("(by ann)")


@pytest.mark.parametrize(
    ("target", "hit"),
    [
        ("all", ["compute.1", "compute.2", "parse.1"]),
        ("compute", ["compute.1", "compute.2"]),
        ("server.1", ["server.1"]),
        ("nobody", []),
    ],
)
def test_a_kill_reaches_all_workers_those_of_a_pool_or_one_process(target: str, hit: list[str]) -> None:
    assert [process.id for process in addressed(SNAPSHOT, target)] == hit


def test_the_question_before_a_kill_names_whom_it_hits_and_what_they_are_doing() -> None:
    assert question("compute", addressed(SNAPSHOT, "compute")) == (
        "KILL compute: 2 processes (compute.1, compute.2); 1 job would be interrupted and run again. Go on?"
    )
    assert question("parse", addressed(SNAPSHOT, "parse")) == (
        "KILL parse: 1 process (parse.1); none of them is busy. Go on?"
    )
