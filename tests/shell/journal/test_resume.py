"""What a replay has sent is remembered in a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from primectl.errors import NotFound, PrimectlError
from primectl.journal.resume import KEPT, Memory, begin, digest_of, go_on, recall, rest
from tests.support.replaying import a_plan

PLAN = a_plan([0.0, 1.0, 2.5, 4.0])


def a_memory(run: str = "0badcafe") -> Memory:
    ids = [step.entry.row.id for step in PLAN.steps]
    return Memory(run=run, started=1.5, target="http://h:1", ids=ids, digest=digest_of(PLAN), wishes={"speed": 2.0})


def test_a_run_goes_on_with_what_has_no_outcome(tmp_path: Path):
    with begin(str(tmp_path / "replays"), a_memory()) as remembering:
        remembering.ended(2)
        remembering.ended(0)
    recalled = recall(str(tmp_path / "replays"), "0badcafe")
    assert recalled.memory == a_memory()
    left = rest(recalled, PLAN)
    assert [(step.number, step.due_s) for step in left.steps] == [(1, 0.0), (3, 3.0)]
    assert left.seconds == 3.0


def test_a_run_can_be_stopped_and_resumed_again_until_nothing_is_left(tmp_path: Path):
    folder = str(tmp_path)
    with begin(folder, a_memory()) as remembering:
        remembering.ended(0)
    for number in (1, 2, 3):
        with go_on(folder, recall(folder, "0badcafe")) as remembering:
            remembering.ended(number)
    left = rest(recall(folder, "0badcafe"), PLAN)
    assert (left.steps, left.seconds, left.size) == ((), 0.0, 0)


def test_a_line_that_was_cut_short_costs_only_what_was_in_it(tmp_path: Path):
    folder = str(tmp_path)
    begin(folder, a_memory()).close()
    path = tmp_path / "0badcafe.jsonl"
    path.write_bytes(path.read_bytes() + b"[0]\n[1,")
    with go_on(folder, recall(folder, "0badcafe")) as remembering:
        remembering.ended(3)
    assert recall(folder, "0badcafe").done == {0, 3}


def test_only_one_process_sends_a_run(tmp_path: Path):
    folder = str(tmp_path)
    with (
        begin(folder, a_memory()),
        pytest.raises(PrimectlError, match="replay 0badcafe is being sent by another process"),
    ):
        go_on(folder, recall(folder, "0badcafe"))


def test_other_requests_than_those_of_the_run_are_not_sent_in_its_name(tmp_path: Path):
    begin(str(tmp_path), a_memory()).close()
    with pytest.raises(PrimectlError, match="its requests are not the same any more"):
        rest(recall(str(tmp_path), "0badcafe"), a_plan([0.0, 1.0]))


def test_only_the_newest_runs_are_kept_and_nobody_else_can_read_them(tmp_path: Path):
    folder = tmp_path / "replays"
    for number in range(KEPT + 3):
        begin(str(folder), a_memory(f"{number:08x}")).close()
        os.utime(folder / f"{number:08x}.jsonl", (number, number))
    kept = sorted(path.stem for path in folder.iterdir())
    assert kept == [f"{number:08x}" for number in range(3, KEPT + 3)]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_run_that_is_not_there_is_said_with_those_that_are(tmp_path: Path):
    folder = str(tmp_path)
    with pytest.raises(NotFound, match=r"there is no replay deadbeef to resume\. No run is remembered here"):
        recall(folder, "deadbeef")
    begin(folder, a_memory()).close()
    for run in ("deadbeef", "../0badcafe", ""):
        with pytest.raises(NotFound, match="There are 0badcafe"):
            recall(folder, run)


def test_a_file_that_is_damaged_or_of_a_newer_version_is_refused(tmp_path: Path):
    (tmp_path / "00000001.jsonl").write_bytes(b"not this\n")
    (tmp_path / "00000002.jsonl").write_bytes(b'{"version":2,"run":"00000002"}\n')
    (tmp_path / "00000003.jsonl").write_bytes(b"")
    for run, what in (
        ("00000001", "no remembered replay"),
        ("00000002", r"newer version .*\(format 2\)"),
        ("00000003", "no remembered"),
    ):
        with pytest.raises(PrimectlError, match=what):
            recall(str(tmp_path), run)


def test_a_full_disk_does_not_end_the_replay_and_what_it_cost_is_written_when_there_is_room(tmp_path: Path):
    remembering = begin(str(tmp_path), a_memory())
    with open("/dev/full", "r+b", buffering=0) as full:
        kept, remembering._file = remembering._file, full
        remembering.ended(0)
        remembering._flush()
        assert remembering.trouble == "what is sent cannot be remembered: No space left on device"
        remembering._file = kept
    remembering.ended(1)
    remembering.close()
    assert remembering.trouble == ""
    assert recall(str(tmp_path), "0badcafe").done == {0, 1}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PrimectlError, match=r"the run cannot be remembered: "):
        begin(str(tmp_path / "file"), a_memory())
