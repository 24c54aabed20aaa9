"""A replay from the console: the plan, the command that does it, its results, and the diff of one answer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from primectl.wire.journal import Row
from tests.screens.stage import NARROW, SMALL, WIDE, Stage, a_stage
from tests.screens.test_requests import RECORDING, comes, later, opened
from tests.support.recorded import a_failure, a_row
from tui.app import Console
from tui.present.runs import State
from tui.screens.replay import ReplayDialog
from tui.screens.replays import DifferenceScreen


@pytest.fixture(autouse=True)
def argv_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in for the command line writes what it was given."""
    monkeypatch.setenv("FAKE_REPLAY_ARGV", str(tmp_path / "argv"))
    return tmp_path / "argv"


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file exists a replay does not come to its end."""
    hold = tmp_path / "hold"
    hold.touch()
    monkeypatch.setenv("FAKE_REPLAY_HOLD", str(hold))
    return hold


def given(place: Path) -> list[str]:
    """What followed the program on its command line."""
    argv: list[str] = what_ran(place)["argv"]
    return argv


def what_ran(place: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(place.read_text())
    return told


def about(stage: Stage) -> str:
    """Which result the diff is of; a toast may lie over the line that says it."""
    assert isinstance(stage.console.screen, DifferenceScreen)
    return stage.console.screen.about()


async def planned(stage: Stage, *rows: Row, marks: int = 0) -> None:
    """The plan for the first row, or for so many marked ones."""
    await opened(stage, *rows)
    await stage.press(*["space"] * marks, "r")
    assert isinstance(stage.console.screen, ReplayDialog)


async def started(stage: Stage) -> None:
    await stage.press("tab", "tab", "enter")
    assert "‹replay›" in stage.frame()


async def ended(stage: Stage) -> None:
    await stage.until(lambda: all(run.over for run in stage.console.runs), "the replay is over")
    await later(stage)


async def test_the_plan_is_about_the_row_under_the_cursor_and_cancel_is_the_default():
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1), a_row(2))
        frame = stage.frame()
        assert f"Replay {a_row(2).id}" in frame
        assert "GET /route" in stage.line("from ")
        assert stage.console.screen.focused is not None
        assert stage.console.screen.focused.id == "cancel"
        await stage.press("enter")
        assert "‹requests›" in stage.frame()
        assert list(stage.console.runs) == []


async def test_the_plan_is_about_the_marked_rows_and_unsafe_ones_are_skipped_unless_they_shall_be_sent():
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1), a_failure(2), a_row(3), marks=3)
        assert "Replay 3 requests" in stage.frame()
        assert "1 of 3 POST: (•) skip" in stage.frame()
        assert "2 requests, 200ms at 5/s" in stage.line("plan ")
        await stage.press("j", "j", "j", "space")
        assert "3 requests, 400ms at 5/s" in stage.line("plan ")
        assert "they change once more" in stage.frame()
        assert stage.console.screen.has_class("-bad")
        await stage.press("y")
        ids = " ".join(row.id for row in (a_row(1), a_failure(2), a_row(3)))
        line = f"primectl replay --rate 5 --in-flight 4 --unsafe send --stop-if 'queue>50' {ids}"
        assert stage.console.clipboard == line


async def test_numbers_are_typed_and_choices_turned():
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1))
        await stage.press("1", "2", ".", "5")
        assert "at most [ 12.5 ]/s" in stage.frame()
        await stage.press("backspace", "backspace", "backspace", "backspace")
        assert "pace: type a number above 0" in stage.frame()
        await stage.press("space")
        assert "(•) max" in stage.frame()
        await stage.press("space", "2", "down", "9", "down", "3", "down", "0")
        await stage.press("shift+tab")
        await stage.type("etag")
        await stage.press("enter", "y")
        assert stage.console.clipboard == (
            f"primectl replay --speed 2 --in-flight 9 --repeat 3 --unsafe skip --ignore etag {a_row(1).id}"
        )


async def test_a_plan_that_would_send_nothing_cannot_be_started():
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_failure(1))
        assert "nothing is sent like this" in stage.frame()
        assert stage.console.screen.query_one("#ok").disabled
        assert stage.console.screen.query_one("#dry").disabled


async def test_a_dry_run_says_what_would_be_sent_and_starts_nothing(argv_file: Path):
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1))
        await stage.press("tab", "enter")
        await comes(stage, "dry run: 1 request would be sent in 1.5s, 2.0K")
        assert given(argv_file)[:7] == ["replay", "-c", "prime", "--json", "--progress", "json", "--dry-run"]
        assert list(stage.console.runs) == []


async def test_a_replay_is_the_command_line_in_a_session_of_its_own_and_its_results_are_shown(argv_file: Path):
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1), a_failure(2), marks=2)
        await stage.press("j", "j", "j", "space")
        await started(stage)
        await ended(stage)
        assert given(argv_file) == [
            "replay", "-c", "prime", "--json", "--progress", "json", "--rate", "5", "--in-flight", "4",
            "--unsafe", "send", "--stop-if", "queue>50", a_row(1).id, a_failure(2).id,
        ]  # fmt: skip
        told = what_ran(argv_file)
        assert told["session"] == told["pid"] != os.getsid(0)
        assert stage.said[-1] == "replay 1 done: 2 sent, 1 same, 1 changed, 1 fixed"
        assert "✓ done" in stage.frame()
        assert "500 → 200" in stage.line("/optimize")


async def test_enter_on_a_result_is_the_diff_and_j_and_k_go_through_them():
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1), a_row(2), marks=2)
        await started(stage)
        await ended(stage)
        await stage.press("enter")
        frame = stage.frame()
        assert about(stage) == "1 of 2"
        assert "×45" in stage.line("time ")
        assert '− {"error":"no path"}' in " ".join(stage.line("−").split())
        assert "␛]52;c;ZXZpbA==␇�trip" in frame
        await stage.press("j")
        assert "the answer is the same" in stage.frame()
        await stage.press("j")
        assert stage.said[-1] == "that was the last result"
        await stage.press("k")
        assert about(stage) == "1 of 2"
        await stage.press("y")
        assert stage.console.clipboard == f"primectl replay {a_row(1).id} --diff"
        await stage.press("q", "D")
        assert about(stage) == "1 of 2"
        await stage.press("q", "q")
        assert "‹requests›" in stage.frame()


async def test_how_far_it_is_is_shown_and_it_can_be_stopped_with_its_report_so_far(held: Path):
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1), a_row(2), a_row(3), marks=3)
        await started(stage)
        await comes(stage, "1 of 3 sent")
        assert "2 left" in stage.frame()
        await stage.press("5")
        assert "● running" in stage.line("1 of 3")
        await stage.press("s")
        await ended(stage)
        assert "▽ stopped" in stage.line("1 of 3")
        assert stage.said[-1] == "replay 1 stopped (interrupted): 1 sent, 0 same, 1 changed, 1 fixed, 2 not sent"
        await stage.press("enter")
        assert "2 not sent" in stage.frame()
        await stage.press("s")
        assert stage.said[-1] == "that replay is over already"


async def test_a_command_that_fails_is_told_with_its_own_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAKE_REPLAY_FAILS", "1")
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1))
        await started(stage)
        await ended(stage)
        assert stage.said[-1] == "replay 1 failed: Error: there is no request 1a2f"
        assert "✗ failed" in stage.frame()
        await stage.press("enter")
        assert "‹replay›" in stage.frame()


async def test_a_command_that_cannot_be_started_is_told():
    async with a_stage(RECORDING) as stage:
        stage.console._command = ("/nowhere/primectl",)
        await planned(stage, a_row(1))
        await started(stage)
        assert "cannot be started" in stage.said[-1]
        assert "✗ failed" in stage.frame()


async def test_replays_can_be_asked_for_by_id_and_from_the_whole_request():
    async with a_stage(RECORDING) as stage:
        await opened(stage, a_row(1))
        await stage.press("enter", "r")
        assert f"Replay {a_row(1).id}" in stage.frame()
        await stage.press("escape", "colon")
        await stage.type("replay 0001 0002")
        await stage.press("enter")
        assert "Replay 2 requests" in stage.frame()


async def test_a_replay_under_way_is_ended_with_the_console_and_that_is_said(held: Path, argv_file: Path):
    async with a_stage(RECORDING) as stage:
        await planned(stage, a_row(1), a_row(2), marks=2)
        await started(stage)
        await comes(stage, "1 of 2 sent")
        console: Console = stage.console
        await stage.press("colon")
        await stage.type("quit")
        await stage.press("enter")
        assert stage.left
    pid = what_ran(argv_file)["pid"]
    assert console.end_replays() == ["Replay 1 was ended: 1 of 2 requests had been sent."]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("size", [NARROW, WIDE, SMALL])
async def test_any_size_works(size: tuple[int, int]):
    async with a_stage(RECORDING, size) as stage:
        await planned(stage, a_row(1), a_failure(2), marks=2)
        assert "Cancel" in stage.frame()
        assert "Start" in stage.frame()
        await started(stage)
        await ended(stage)
        assert "same" in stage.frame()
        await stage.press("enter")
        assert "×45" in stage.frame()
        assert [run.state for run in stage.console.runs] == [State.DONE]


async def test_nothing_was_replayed_yet():
    async with a_stage(RECORDING) as stage:
        await stage.press("5")
        assert "nothing was replayed yet" in stage.frame()
        await stage.press("enter", "s")
        assert stage.said == ["no replay is under the cursor; put it there, or type its name after the command"]
