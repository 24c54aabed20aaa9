"""The list of recorded requests: what is asked and when, which rows are kept and marked, how they read."""

from __future__ import annotations

import pytest

from primectl.wire.journal import HopTimes, RequestsQuery, Row
from primectl.wire.stats import JournalSnapshot
from tests.support.recorded import a_failure, a_row
from tests.support.snapshots import NOON
from tui.present.requests import (
    COLUMNS,
    EVERY_S,
    FAULTS,
    FIRST,
    KEPT,
    MORE,
    RequestList,
    head_line,
    hop_text,
    mistake_lines,
    note,
    recording,
    request_row,
    slowest,
    summary,
)
from tui.present.tables import Tone, lay_out, plain

EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[31m\u202e\x9b5n"


def told(requests: RequestList, *rows: Row, now: float = 0.0, kept: int = 0) -> RequestsQuery:
    """Ask, and answer with these rows."""
    query = requests.question(now)
    assert query is not None
    requests.answered(query, rows, kept or len(rows), max((row.number for row in rows), default=0), now)
    return query


def numbers(requests: RequestList) -> list[str]:
    return [row.id for row in requests.rows]


# --- asking -----------------------------------------------------------------------------------------------------------


def test_the_newest_are_asked_for_first_and_then_only_what_came_after_them():
    requests = RequestList()
    assert told(requests, a_row(7), a_row(5)) == RequestsQuery("", FIRST)
    assert requests.question(EVERY_S / 2) is None
    assert told(requests, a_row(9), now=EVERY_S) == RequestsQuery("", MORE, after=7)
    assert numbers(requests) == ["9", "7", "5"]


def test_there_is_never_more_than_one_question_under_way():
    requests = RequestList()
    assert requests.question(0.0) is not None
    requests.look_for("status>=500")
    assert requests.question(100.0) is None


def test_an_answer_to_a_filter_that_was_changed_meanwhile_is_forgotten():
    requests = RequestList()
    query = requests.question(0.0)
    assert query is not None
    requests.look_for("status>=500")
    requests.answered(query, [a_row(1)], 1, 1, 1.0)
    assert numbers(requests) == []
    assert told(requests, a_failure(2), now=1.0).where == "status>=500"
    assert numbers(requests) == ["2"]


def test_rows_of_the_old_filter_stay_until_those_of_the_new_one_come():
    requests = RequestList()
    told(requests, a_row(1), a_failure(2))
    requests.look_for("status>=500")
    assert numbers(requests) == ["2", "1"]
    told(requests, a_failure(2))
    assert (numbers(requests), requests.where) == (["2"], "status>=500")


def test_more_than_can_be_followed_leads_to_the_newest_again():
    requests = RequestList()
    told(requests, a_row(1))
    told(requests, *(a_row(number) for number in range(2, MORE + 2)), now=1.0)
    assert told(requests, a_row(99_999), now=2.0) == RequestsQuery("", FIRST)
    assert numbers(requests)[0] == "99999"
    assert len(requests) == MORE + 2


def test_a_list_that_does_not_follow_asks_for_nothing_but_another_filter():
    requests = RequestList()
    told(requests, a_row(1))
    requests.toggle_follow()
    assert requests.question(100.0) is None
    requests.look_for("pool=route")
    assert told(requests, a_row(2), now=100.0).where == "pool=route"
    assert requests.question(200.0) is None
    requests.toggle_follow()
    assert told(requests, a_row(3), now=200.0).after == 0


def test_faults_narrow_whatever_the_filter_leaves():
    requests = RequestList()
    requests.toggle_faults()
    assert told(requests).where == FAULTS
    requests.look_for("a=b or c=d")
    assert told(requests, now=5.0).where == f"(a=b or c=d) and ({FAULTS})"


def test_a_filter_with_a_mistake_changes_nothing_and_is_shown_with_its_caret():
    requests = RequestList()
    told(requests, a_row(1))
    requests.look_for("statsu>=500")
    query = requests.question(5.0)
    assert query is not None
    requests.refused(query, "--where: there is no field statsu\n  statsu>=500\n  ^", 5.0, mistake=True)
    assert (requests.wished, requests.where, requests.tried, numbers(requests)) == ("", "", "statsu>=500", ["1"])
    assert [plain(line) for line in mistake_lines(requests, 80)][1:] == ["   statsu>=500", "   ^"]
    told(requests, a_row(2), now=10.0)
    assert numbers(requests) == ["2", "1"]


def test_a_first_filter_with_a_mistake_leaves_the_list_without_a_filter():
    requests = RequestList()
    requests.look_for("(")
    query = requests.question(0.0)
    assert query is not None
    requests.refused(query, "where is its end?", 0.0, mistake=True)
    assert told(requests, a_row(1), now=5.0) == RequestsQuery("", FIRST)
    assert numbers(requests) == ["1"]


def test_without_an_answer_it_is_asked_again_later_and_said_why():
    requests = RequestList()
    query = requests.question(0.0)
    assert query is not None
    requests.refused(query, "cluster prime does not answer\nmore", 0.0, mistake=False)
    assert plain(mistake_lines(requests, 80)[0]) == " ▲ cluster prime does not answer"
    assert requests.question(1.0) is None
    assert told(requests, a_row(1), now=2.5) == RequestsQuery("", FIRST)
    assert mistake_lines(requests, 80) == []


# --- rows and marks ---------------------------------------------------------------------------------------------------


def test_at_most_so_many_rows_are_kept_but_marked_ones_stay():
    requests = RequestList()
    told(requests, a_row(1), a_row(2))
    requests.toggle_mark("1")
    for start in range(3, KEPT + 10, 400):
        told(requests, *(a_row(number) for number in range(start, start + 400)), now=float(start))
    assert len(requests) == KEPT + 1
    assert requests.row("1") == a_row(1)
    assert requests.row("2") is None


def test_an_action_is_about_the_marked_rows_oldest_first_else_about_the_one_under_the_cursor():
    requests = RequestList()
    told(requests, a_row(3), a_row(2), a_row(1))
    assert requests.chosen("2") == (a_row(2).id,)
    requests.toggle_mark("3")
    requests.toggle_mark("1")
    assert requests.chosen("2") == (a_row(1).id, a_row(3).id)
    requests.toggle_mark("3")
    assert requests.chosen("") == (a_row(1).id,)


def test_all_are_marked_and_then_none():
    requests = RequestList()
    told(requests, a_row(2), a_row(1))
    requests.toggle_all()
    assert "2 marked" in summary(requests)
    requests.toggle_all()
    assert requests.marks == {}


def test_marks_outlive_a_filter_and_are_counted():
    requests = RequestList()
    told(requests, a_row(1), a_failure(2))
    requests.toggle_mark("1")
    requests.look_for("status>=500")
    told(requests, a_failure(2))
    assert summary(requests) == "follow ON   1 marked, 1 not shown"
    assert requests.chosen("2") == (a_row(1).id,)


def test_nothing_under_the_cursor_is_nothing_to_act_on():
    assert RequestList().chosen("") == ()


# --- how it reads -----------------------------------------------------------------------------------------------------


def test_a_row_tells_what_was_asked_what_came_and_where_the_time_went():
    cells = [plain(cell.parts) for cell in request_row(a_row(1, ms=1712.4, time=NOON + 0.113)).cells]
    assert cells[0].endswith(".113")
    assert cells[1:] == ["1a2f000000001", "GET", "/route?from=1&to=2", "200", "1712", "route s7.0ms", "18K", ""]


@pytest.mark.parametrize(("status", "text", "tone"), [(200, "200", Tone.GOOD), (404, "404", Tone.WARN),
                                                      (500, "500", Tone.BAD), (0, "---", Tone.BAD)])  # fmt: skip
def test_a_status_is_a_word_and_a_tone(status: int, text: str, tone: Tone):
    assert request_row(a_row(status=status)).cells[4].parts == ((text, tone),)


def test_the_slowest_hop_is_named_with_what_took_the_time():
    hops = [HopTimes("parse", "parse.1", 0.1, 2.0), HopTimes("route", "route.1", 1600.0, 100.0)]
    found = slowest(hops)
    assert found is not None
    assert hop_text(found) == "route q1.6s"
    assert slowest([]) is None
    assert hop_text(HopTimes("render", "render.1", 0.0, 5.0, failed=True)) == "render ✗"


def test_what_is_unlike_other_requests_is_noted():
    assert note(a_row(dead=True)) == "dead letter"
    assert note(a_row(dead=True, redeemed=True)) == "redeemed"
    assert note(a_row(problem="ValueError", attempts=2, cut=True)) == "ValueError, 2 attempts, cut"
    assert note(a_row(replay_of="1a2f0000000ab")) == "replay of 000ab"


def test_hostile_text_is_harmless_in_every_cell():
    row = a_row(id=EVIL, method=EVIL, path=EVIL, query=EVIL, client=EVIL, problem=EVIL, replay_of=EVIL,
                hops=[HopTimes(EVIL, EVIL, 1.0, 1.0)])  # fmt: skip
    text = "".join(plain(cell.parts) for cell in request_row(row).cells)
    assert not set(text) & set("\x1b\x07\u202e\x9b")


def test_path_status_and_time_never_leave():
    def titles(width: int) -> list[str]:
        return [COLUMNS[slot.column].title for slot in lay_out(COLUMNS, width)]

    assert titles(77) == ["TIME", "ID", "METHOD", "PATH", "ST", "MS", "SLOWEST", "SIZE"]
    assert titles(30) == ["PATH", "ST", "MS"]
    assert titles(20)[-2:] == ["ST", "MS"]


def test_the_head_line_tells_the_filter_how_many_of_how_many_and_that_it_is_recorded():
    requests = RequestList()
    requests.look_for("status>=500 or ms>1000")
    told(requests, *(a_row(number) for number in range(31)), kept=20_000)
    journal = JournalSnapshot(state="recording", rows=19_990, oldest=NOON - 900)
    text = plain(head_line(requests, journal, NOON, 100))
    assert "filter status>=500 or ms>1000" in text
    assert text.endswith("31 of 20 000 kept (15m00)   ● recording ")


@pytest.mark.parametrize(
    ("journal", "text"),
    [
        (JournalSnapshot(), "◌ not recording: the journal is off"),
        (JournalSnapshot(state="starting"), "◌ not recording: starting"),
        (JournalSnapshot(state="stopped", trouble="no space left"), "◌ not recording: no space left"),
        (JournalSnapshot(state="stopped", trouble="\x1b[2J", dropped=3), "◌ not recording: ␛[2J, 3 dropped"),
        (JournalSnapshot(state="recording", dropped=12), "● recording, 12 dropped"),
    ],
)
def test_whether_requests_are_recorded_is_said_with_the_reason(journal: JournalSnapshot, text: str):
    assert recording(journal).text == text
