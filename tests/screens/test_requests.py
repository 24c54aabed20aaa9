"""The Requests screen: what was recorded, live; filter, marks, the request under the cursor, the whole of one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec import Struct

from primectl.errors import ChannelLost, ConfigError, NotFound
from primectl.wire.journal import Entry, EntryQuery, HopTimes, Requests, RequestsQuery, Row
from primectl.wire.stats import JournalSnapshot
from tests.screens.pty_console import HOSTILE
from tests.screens.stage import NARROW, SMALL, WIDE, Stage, a_stage
from tests.support.recorded import a_failure, a_row, an_entry
from tests.support.snapshots import NOON, a_cluster
from tui.present.requests import EVERY_S
from tui.screens.requests import RequestsScreen
from tui.widgets.live_table import LiveTable


class Journal:
    """What a supervisor answers about recorded requests."""

    def __init__(self, *rows: Row) -> None:
        self.rows = list(rows)
        self.asked: list[RequestsQuery] = []
        self.entries: list[str] = []

    def requests(self, query: Struct | None, _: object) -> Requests | ConfigError:
        assert isinstance(query, RequestsQuery)
        self.asked.append(query)
        if "statsu" in query.where:
            return ConfigError(f"there is no field statsu\n  {query.where}\n  ^")
        rows = [row for row in self.rows if row.number > query.after]
        if "status>=500" in query.where:
            rows = [row for row in rows if row.status >= 500]
        rows.sort(key=lambda row: row.number, reverse=not query.after)
        newest = max((row.number for row in self.rows), default=0)
        return Requests(rows[: query.last], len(self.rows), newest)

    def entry(self, query: Struct | None, _: object) -> Entry | NotFound:
        assert isinstance(query, EntryQuery)
        self.entries.append(query.id)
        row = next((row for row in self.rows if row.id == query.id), None)
        return an_entry(row) if row is not None else NotFound("no such request")


RECORDING = a_cluster(journal=JournalSnapshot(state="recording", rows=20_000, oldest=NOON - 900))


async def opened(stage: Stage, *rows: Row, key: str = "4") -> Journal:
    """The screen with these rows on it."""
    journal = Journal(*rows)
    stage.channel.answers |= {"/requests": journal.requests, "/requests/entry": journal.entry}
    await stage.press(key)
    await stage.until(lambda: bool(journal.asked) and (not rows or len(screen(stage).requests) > 0), "rows have come")
    return journal


def screen(stage: Stage) -> RequestsScreen:
    view = stage.console._views["requests"]
    assert isinstance(view, RequestsScreen)
    return view


def cursor(stage: Stage) -> str:
    return screen(stage).query_one(LiveTable).cursor


async def later(stage: Stage, seconds: float = EVERY_S) -> None:
    stage.clock.now += seconds
    await stage.settle()


async def comes(stage: Stage, text: str) -> None:
    await stage.until(lambda: text in stage.frame(), f"{text!r} on screen")


async def test_recorded_requests_are_shown_newest_first():
    async with a_stage(RECORDING) as stage:
        await opened(stage, a_row(1), a_failure(2), a_row(3))
        frame = stage.frame()
        assert "3 of 20 000 kept" in frame
        assert "● recording" in frame
        assert frame.index("00003") < frame.index("00002") < frame.index("00001")
        for title in ("TIME", "METHOD", "PATH", "SLOWEST", "SIZE"):
            assert title in stage.line("TIME")
        assert "render ✗" in stage.line("/optimize")


async def test_new_requests_come_by_themselves_while_the_screen_is_open_and_only_then():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_row(1))
        journal.rows.append(a_row(2, path="/fresh"))
        await later(stage)
        await comes(stage, "/fresh")
        assert journal.asked[-1].after == 1
        await stage.press("1")
        asked = len(journal.asked)
        for _ in range(5):
            await later(stage)
        assert len(journal.asked) == asked


async def test_while_it_follows_the_cursor_is_on_the_newest_and_a_move_holds_the_list():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_row(1), a_row(2))
        assert cursor(stage) == "2"
        journal.rows.append(a_row(3))
        await later(stage)
        await stage.until(lambda: cursor(stage) == "3", "the cursor is on the newest")
        await stage.press("j")
        assert (cursor(stage), "follow off" in stage.frame()) == ("2", True)
        journal.rows.append(a_row(4))
        await later(stage, 10.0)
        assert cursor(stage) == "2"
        assert len(screen(stage).requests) == 3
        await stage.press("f")
        await stage.until(lambda: cursor(stage) == "4", "it follows again")


async def test_to_the_first_row_follows_again():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_row(1), a_row(2))
        await stage.press("G")
        assert "follow off" in stage.frame()
        await stage.press("g")
        assert "follow ON" in stage.frame()
        journal.rows.append(a_row(3))
        await later(stage)
        await stage.until(lambda: cursor(stage) == "3", "the newest")


async def test_a_filter_is_asked_for_when_it_is_finished_and_escape_takes_it_away():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_row(1), a_failure(2))
        await stage.press("slash")
        await stage.type("status>=500")
        assert {query.where for query in journal.asked} == {""}
        await stage.press("enter")
        await stage.until(lambda: len(screen(stage).requests) == 1, "only what fits")
        assert "filter status>=500" in stage.frame()
        await stage.press("y")
        assert stage.console.clipboard == "primectl requests --where 'status>=500'"
        await stage.press("escape")
        await stage.until(lambda: len(screen(stage).requests) == 2, "all again")
        await stage.press("escape")
        assert "‹overview›" in stage.frame()


async def test_a_filter_with_a_mistake_is_shown_with_a_caret_and_can_be_mended():
    async with a_stage(RECORDING) as stage:
        await opened(stage, a_row(1), a_failure(2))
        await stage.press("slash")
        await stage.type("statsu>=500")
        await stage.press("enter")
        await comes(stage, "there is no field statsu")
        lines = stage.frame().splitlines()
        at = next(y for y, line in enumerate(lines) if line.strip() == "statsu>=500")
        assert lines[at + 1].index("^") == lines[at].index("s")
        assert len(screen(stage).requests) == 2
        await stage.press("slash")
        assert "/statsu>=500" in stage.frame().replace("/ ", "/")
        await stage.press(*["backspace"] * len("statsu>=500"))
        await stage.type("status>=500")
        await stage.press("enter")
        await stage.until(lambda: len(screen(stage).requests) == 1, "the mended one")
        assert "no field" not in stage.frame()


async def test_a_filter_can_be_given_with_the_command_and_keeps_its_own_quotes():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_failure(2))
        await stage.press("1", "colon")
        await stage.type("requests path~'/is prime' or status>=500")
        await stage.press("enter")
        await stage.until(lambda: journal.asked[-1].where == "path~'/is prime' or status>=500", "it is asked for")
        assert "‹requests›" in stage.frame()


async def test_faults_only():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_row(1), a_failure(2))
        await stage.press("exclamation_mark")
        await stage.until(lambda: len(screen(stage).requests) == 1, "only faults")
        assert journal.asked[-1].where == "status>=500 or status=0"
        assert "faults only" in stage.frame()
        await stage.press("y")
        assert stage.console.clipboard == "primectl requests --where 'status>=500 or status=0'"
        await stage.press("exclamation_mark")
        await stage.until(lambda: len(screen(stage).requests) == 2, "all again")
        await stage.press("exclamation_mark")
        await stage.until(lambda: len(screen(stage).requests) == 1, "only faults again")
        await stage.press("escape")
        await stage.until(lambda: len(screen(stage).requests) == 2, "Escape takes it away, too")
        await stage.press("escape")
        assert "‹overview›" in stage.frame()


async def test_rows_are_marked_by_id_and_stay_marked_as_the_list_grows():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_row(1), a_row(2), a_row(3))
        await stage.press("space", "space")
        assert "2 marked" in stage.frame()
        journal.rows.append(a_row(4))
        await stage.press("g")
        await later(stage)
        await stage.until(lambda: len(screen(stage).requests) == 4, "one more")
        assert screen(stage).aim().requests == (a_row(2).id, a_row(3).id)
        marked = [line for line in stage.frame().splitlines() if line[1:2] == "*"]
        assert ["00003" in marked[0], "00002" in marked[1]] == [True, True]
        await stage.press("asterisk")
        assert "4 marked" in stage.frame()
        await stage.press("asterisk")
        assert "marked" not in stage.frame()


async def test_the_inspector_shows_the_request_that_the_cursor_rests_on():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_row(1), a_failure(2))
        await stage.press("j")
        assert journal.entries == []
        await later(stage, 1.0)
        await comes(stage, "‹redacted 41 B›")
        assert journal.entries == [a_row(1).id]
        assert '{ "stops": [ 1, 2, 3 ], "mode": "car" }' in stage.frame()
        assert "client 10.0.0.7" in stage.line(a_row(1).id)


async def test_enter_shows_all_of_it_and_back_again():
    async with a_stage(RECORDING) as stage:
        await opened(stage, a_row(1), a_failure(2))
        await stage.press("enter")
        await comes(stage, "POST /optimize HTTP/1.1")
        assert "‹request›" in stage.frame()
        await stage.press("y")
        assert stage.console.clipboard == f"primectl requests show {a_failure(2).id}"
        await stage.press("G")
        await comes(stage, '"error": "no path between 3 and 7"')
        await stage.press("q")
        assert "‹requests›" in stage.frame()


async def test_a_request_that_has_left_the_journal_says_so():
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, a_row(1))
        journal.rows.clear()
        await stage.press("enter")
        await comes(stage, "is not in the journal (any more)")


async def test_without_a_recorder_the_reason_is_shown_and_it_goes_on_when_there_is_one():
    stopped = a_cluster(journal=JournalSnapshot(state="stopped", trouble="no space left on device"))
    async with a_stage(stopped) as stage:
        stage.channel.answers["/requests"] = ChannelLost("the recorder does not answer")
        await stage.press("4")
        await comes(stage, "▲ the recorder does not answer")
        assert "◌ not recording: no space left on device" in stage.frame()
        journal = Journal(a_row(1))
        stage.channel.answers["/requests"] = journal.requests
        await later(stage, 3.0)
        await comes(stage, "/route")
        assert "does not answer" not in stage.frame()


async def test_on_a_screen_of_one_line_nothing_is_asked():
    async with a_stage(RECORDING, (20, 3)) as stage:
        await stage.press("4", "enter", "space", "asterisk", "slash", "escape")
        await later(stage)
        assert "prime: compute" in stage.frame()
        assert not [path for _, path, _ in stage.channel.asks if path == "/requests"]


@pytest.mark.parametrize("size", [NARROW, WIDE, SMALL, (30, 10)])
async def test_any_size_works(size: tuple[int, int]):
    async with a_stage(RECORDING, size) as stage:
        await opened(stage, *(a_row(number) for number in range(1, 100)))
        await later(stage, 1.0)
        await stage.settle()
        frame = stage.frame()
        assert "PATH" in frame
        assert "200" in frame
        assert ("client 10.0.0.7" in frame) == (size in (NARROW, WIDE))
        await stage.press("enter")
        await comes(stage, "‹request›")
        await comes(stage, f"{a_row(99).id} GET")
        await stage.press("q", "r")
        assert "Replay 1a2f" in stage.frame()


async def test_on_a_wide_screen_the_request_stands_beside_the_list():
    async with a_stage(RECORDING, WIDE) as stage:
        await opened(stage, a_row(1))
        await later(stage, 1.0)
        await comes(stage, "‹redacted 41 B›")
        assert "GET" in stage.line("client 10.0.0.7")
        assert stage.line("client 10.0.0.7").index("│") > 80


async def test_hostile_requests_do_not_reach_the_terminal_as_anything_but_text():
    row = a_row(1, id=HOSTILE, method=HOSTILE, path=HOSTILE, query=HOSTILE, client=HOSTILE, problem=HOSTILE,
                hops=[HopTimes(HOSTILE, HOSTILE, 1.0, 2.0)])  # fmt: skip
    entry = an_entry(row, fields=((HOSTILE, HOSTILE),), body=HOSTILE.encode(), answer_body=HOSTILE.encode(),
                     answer_fields=((HOSTILE, HOSTILE),), redacted=[HOSTILE])  # fmt: skip
    async with a_stage(RECORDING) as stage:
        journal = await opened(stage, row)
        stage.channel.answers["/requests/entry"] = lambda *_: entry
        seen: list[str] = []

        async def look(*keys: str) -> None:
            await stage.press(*keys)
            await later(stage, 1.0)
            await stage.settle()
            seen.append(stage.frame())

        await look("f")
        await look("enter")
        await look("q", "r")
        await look("escape", "slash")
        stage.channel.answers["/requests"] = ConfigError(f"wrong\n{HOSTILE}")
        await look("x", "enter")
        assert journal.asked
        assert not set("".join(seen)) & set("\x1b\x07\x08\x9b\u202e")
        assert sum("EVIL" in frame for frame in seen) >= 4


def test_nothing_of_it_is_imported_before_it_is_opened():
    program = (
        "import sys, tui.app; late = ('tui.present.requests', 'tui.present.replays', 'tui.present.runs', 'tui.runs',"
        " 'tui.screens.requests', 'primectl.wire.journal', 'subprocess'); print(*(m for m in late if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"subprocess"}
