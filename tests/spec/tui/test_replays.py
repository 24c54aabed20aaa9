"""A replay: its plan, its command line, how far it is, what it found, and the diff of one answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.recorded import a_failure, a_row
from tests.support.snapshots import NOON, a_cluster, a_pool
from tui.present.differences import diff_lines
from tui.present.replays import (
    Chosen,
    Field,
    Pace,
    Wishes,
    argv,
    command_line,
    dry_text,
    fields,
    plan_lines,
    refusal,
    turned,
    typed,
)
from tui.present.runs import (
    KEPT,
    Progress,
    Run,
    RunBook,
    State,
    ended_text,
    left_text,
    result_rows,
    run_lines,
    run_row,
    word,
)
from tui.present.tables import plain

EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[31m\u202e\x9b5n"
ROWS = (a_row(1), a_failure(2), a_row(3, asked_size=100))
USUAL = Wishes()
CHOSEN = Chosen(tuple(row.id for row in ROWS), ROWS)


def plan(wishes: Wishes = USUAL, chosen: Chosen = CHOSEN, **pool: Any) -> str:
    lines = plan_lines(wishes, chosen, Field.PACE, a_cluster(a_pool("route", **pool)))
    return "\n".join(plain(line) for line in lines)


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_tells_what_how_fast_and_how_long():
    shown = plan()
    assert "3 requests, " in shown
    assert "this cluster, http://127.0.0.1:8002" in shown
    assert "(•) at most [ 5 ]/s" in shown
    assert "1 of 3 POST: (•) skip  ( ) send" in shown
    assert "2 requests, 200ms at 5/s, 100B" in shown


def test_the_plan_warns_of_a_pool_on_the_way_that_has_nothing_to_spare():
    assert "▲ route has no spare capacity (99%)" in plan(utilisation=0.99)
    assert "▲" not in plan(utilisation=0.5)


def test_requests_whose_bodies_were_cut_are_left_out_of_the_plan():
    chosen = Chosen(("a", "b"), (a_row(1), a_row(2, cut=True)))
    assert "1 request, 0 at 5/s, 0B, 1 left out: their bodies were cut" in plan(chosen=chosen)


def test_as_recorded_takes_as_long_as_then_by_the_speed():
    assert "about 1.0s" in plan(Wishes(pace=Pace.RECORDED, speed="2"))


def test_unsafe_is_only_asked_where_something_is():
    assert Field.UNSAFE not in fields(Chosen(("a",), (a_row(),)))
    assert Field.UNSAFE in fields(CHOSEN)


def test_choices_go_round_and_numbers_do_not_go_below_their_least():
    wishes = Wishes()
    assert turned(turned(turned(wishes, Field.PACE), Field.PACE), Field.PACE) == wishes
    assert turned(wishes, Field.UNSAFE).unsafe
    assert turned(turned(wishes, Field.REPEAT, -1), Field.REPEAT, -1).repeat == "1"
    assert turned(Wishes(queue="1"), Field.QUEUE, -1).queue == "0"


def test_numbers_are_typed_and_nothing_else_is():
    assert typed(Wishes(), Field.PACE, "2.5").rate == "2.5"
    assert typed(Wishes(pace=Pace.RECORDED), Field.PACE, "2").speed == "2"
    for wrong in ("2.5.1", ".", ".5", "x", "٣", "12345678"):
        assert typed(Wishes(), Field.PACE, wrong) == Wishes()
    assert typed(Wishes(), Field.IN_FLIGHT, "2.5") == Wishes()
    assert typed(Wishes(pace=Pace.MAX), Field.PACE, "2") == Wishes(pace=Pace.MAX)


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        (Wishes(rate=""), "pace: type a number above 0"),
        (Wishes(rate="0"), "pace: type a number above 0"),
        (Wishes(in_flight=""), "in flight: type a number above 0"),
        (Wishes(repeat="0"), "repeat: type a number above 0"),
        (Wishes(queue=""), ""),
        (Wishes(), ""),
    ],
)
def test_a_plan_that_cannot_be_started_says_why(wishes: Wishes, why: str):
    assert refusal(wishes, CHOSEN) == why
    assert plan(wishes)


def test_a_plan_that_sends_nothing_is_refused():
    chosen = Chosen(("a",), (a_failure(),))
    assert "nothing is sent" in refusal(Wishes(), chosen)
    assert refusal(Wishes(unsafe=True), chosen) == ""


def test_the_command_line_says_all_of_it():
    ids = list(CHOSEN.ids)
    assert argv(Wishes(), CHOSEN) == [
        "replay", "--rate", "5", "--in-flight", "4", "--unsafe", "skip", "--stop-if", "queue>50", *ids
    ]  # fmt: skip
    wishes = Wishes(Pace.RECORDED, "2", "5", "9", "3", True, "0", "etag, /trip/id")
    assert argv(wishes, CHOSEN) == [
        "replay", "--speed", "2", "--in-flight", "9", "--repeat", "3", "--unsafe", "send",
        "--ignore", "etag", "--ignore", "/trip/id", *ids,
    ]  # fmt: skip
    assert argv(Wishes(pace=Pace.MAX), CHOSEN)[1:3] == ["--speed", "max"]


def test_an_id_is_never_taken_for_an_option_nor_for_more_than_one_word():
    chosen = Chosen(("--to=http://evil", "a b; rm"))
    assert argv(Wishes(), chosen)[-3:] == ["--", "--to=http://evil", "a b; rm"]
    assert command_line(Wishes(), chosen).endswith("-- --to=http://evil 'a b; rm'")


def test_a_dry_run_is_told_in_a_line():
    told = {"count": 3, "bytes": 2048, "seconds": 1.5, "skipped": 1}
    assert dry_text(msgspec.json.encode(told), []) == "3 requests would be sent in 1.5s, 2.0K, 1 skipped"
    assert dry_text(b"", ["no journal\x1b[2J"]) == "no journal␛[2J"
    assert dry_text(b"", []) == "the dry run said nothing"


# --- a run ------------------------------------------------------------------------------------------------------------


def a_result(**changes: Any) -> dict[str, Any]:
    likely = {
        "id": "1a2f000000001", "replay_id": "1a2f000000099", "method": "POST", "path": "/optimize", "outcome": "same",
        "why": "", "status": {"before": 200, "after": 200}, "ms": {"before": 31.0, "after": 33.0},
        "hops": {"before": [{"pool": "parse", "worker": "parse.1", "queued_ms": 0.1, "served_ms": 2.0}], "after": []},
        "differences": [],
    }  # fmt: skip
    return likely | changes


def a_report(*results: dict[str, Any], **changes: Any) -> bytes:
    likely = {
        "run": "1234abcd", "target": "http://127.0.0.1:8002", "sent": len(results), "same": len(results), "changed": 0,
        "failed": 0, "skipped": 0, "new_errors": 0, "fixed": 0, "slower": 0, "not_sent": 0, "seconds": 1.0,
        "rate": 3.0, "lag_ms": {"p50": 0.1, "p99": 0.2, "max": 0.3}, "stopped": "", "requests": list(results),
    }  # fmt: skip
    return msgspec.json.encode(likely | changes)


CHANGED = a_result(
    outcome="changed", status={"before": 500, "after": 200}, ms={"before": 31.0, "after": 1402.0},
    differences=[
        {"what": "status", "before": "500", "after": "200"},
        {"what": "header content-type", "before": "text/plain", "after": "application/json"},
        {"what": "body", "before": '{"error":"no path"}', "after": '{"trip":{}}'},
    ],
)  # fmt: skip


def a_run() -> Run:
    return RunBook().begin(3, "primectl replay a b c", NOON)


def text(lines: list) -> str:
    return "\n".join(plain(line) for line in lines)


def test_lines_of_progress_tell_how_far_it_is_and_other_lines_are_remembered():
    run = a_run()
    run.heard('{"sent":2,"total":31,"same":1,"changed":1,"failed":0,"skipped":0,"waiting":3,"lag_ms":12.5}')
    run.heard("a warning\n")
    assert run.progress == Progress(2, 31, 1, 1, 0, 0, 3, 12.5)
    assert run.left == 29
    shown = text(run_lines(run, 100))
    assert "2 of 31 sent" in shown
    assert "29 left" in shown
    assert "13ms behind" in shown or "12ms behind" in shown
    assert "● running" in plain(run_row(run).cells[2].parts)


def test_a_report_ends_a_run_with_its_counts_and_what_needs_a_look_first():
    run = a_run()
    new_error = a_result(id="e", outcome="changed", new_error=True, status={"before": 200, "after": 500})
    failed = a_result(id="f", outcome="failed", why="no answer", status={"before": 200, "after": 0})
    slower = a_result(id="s", slower=True, ms={"before": 10.0, "after": 100.0})
    skipped = a_result(id="k", outcome="skipped", why="unsafe", status={"before": 200, "after": None})
    output = a_report(a_result(), skipped, slower, CHANGED, failed, new_error, same=2, changed=2, failed=1, skipped=1,
                      sent=5, new_errors=2, fixed=1)  # fmt: skip
    run.ended(0, output)
    assert run.state is State.DONE
    assert [word(result) for result in run.results] == [
        "new error", "failed", "changed", "slower", "same", "skipped"
    ]  # fmt: skip
    assert ended_text(run) == ("replay 1 done: 5 sent, 2 same, 2 changed, 1 failed, 2 new errors, 1 fixed, 1 skipped")
    rows = result_rows(run.results)
    assert [row.id for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert plain(rows[0].cells[4].parts) == "200 → 500"


def test_a_run_that_a_brake_or_the_operator_stopped_says_why():
    run = a_run()
    run.stop_asked()
    assert run.state is State.STOPPING
    run.ended(1, a_report(a_result(), not_sent=2, stopped="queue of route is 60, limit 50"))
    assert run.state is State.STOPPED
    assert ended_text(run) == "replay 1 stopped (queue of route is 60, limit 50): 1 sent, 1 same, 2 not sent"
    assert "▲ queue of route is 60" in text(run_lines(run, 100))


def test_a_command_that_fails_says_so_with_its_last_words():
    run = a_run()
    run.heard("Error: there is no request 1a2f\x1b[2J\n")
    run.ended(3, b"")
    assert (run.state, run.trouble) == (State.FAILED, "Error: there is no request 1a2f␛[2J")
    silent, broken, long = a_run(), a_run(), a_run()
    silent.ended(-9, b"")
    assert silent.trouble == "it ended with exit code -9 and said nothing"
    broken.ended(0, b"{nonsense")
    assert broken.trouble.startswith("its report cannot be read")
    long.ended(0, b"", too_long=True)
    assert "too long" in long.trouble


def test_runs_are_remembered_newest_first_and_those_under_way_never_forgotten():
    book = RunBook()
    first = book.begin(1, "first", NOON)
    for number in range(KEPT + 5):
        book.begin(1, str(number), NOON).ended(0, a_report())
    runs = list(book)
    assert len(runs) == KEPT
    assert runs[-1] is first
    assert book.going == [first]
    assert book.run("1") is first
    assert book.run("3") is book.run("x") is book.run("") is None


def test_a_run_that_the_console_ended_is_told():
    run = a_run()
    run.heard('{"sent":120,"total":400}')
    assert left_text(run) == "Replay 1 was ended: 120 of 400 requests had been sent."


# --- the diff ---------------------------------------------------------------------------------------------------------


def a_diff(result: dict[str, Any], width: int = 80) -> str:
    run = a_run()
    run.ended(0, a_report(result))
    return text(diff_lines(run, 0, width))


def test_the_diff_shows_both_answers_side_by_side():
    hops = {
        "before": [{"pool": "parse", "worker": "parse.1", "queued_ms": 0, "served_ms": 2.0},
                   {"pool": "route", "worker": "route.1", "queued_ms": 0, "served_ms": 22.0, "failed": True}],
        "after": [{"pool": "parse", "worker": "parse.1", "queued_ms": 0, "served_ms": 2.0}],
    }  # fmt: skip
    shown = a_diff(CHANGED | {"hops": hops})
    lines = shown.split("\n")
    assert lines[0].startswith(" 1a2f000000001 POST /optimize")
    assert lines[0].endswith("CHANGED")
    assert next(line for line in lines if "status" in line).split() == ["status", "500", "200"]
    assert next(line for line in lines if "time" in line).split() == ["time", "31ms", "1.4s", "×45"]
    assert any("route q0 s22ms ✗" in line and line.rstrip().endswith("-") for line in lines)
    at = lines.index(" header content-type")
    assert [line.split() for line in lines[at + 1 : at + 3]] == [["−", "text/plain"], ["+", "application/json"]]
    assert '{"error":"no path"}' in shown


def test_a_diff_of_what_had_no_answer_or_was_not_sent_says_why():
    nothing = {"status": {"before": 200, "after": 0}, "ms": {"before": 3.0}}
    failed = a_result(outcome="failed", why="connection refused", **nothing)
    assert "connection refused" in a_diff(failed)
    assert "---" in a_diff(failed)
    assert "not sent" in a_diff(a_result(outcome="skipped", why="POST is unsafe"))
    assert "the answer is the same" in a_diff(a_result())


def test_hostile_answers_are_harmless_in_results_and_diffs():
    evil = a_result(
        id=EVIL, method=EVIL, path=EVIL, why=EVIL, replay_id=EVIL, outcome="changed",
        hops={"before": [{"pool": EVIL, "worker": EVIL, "queued_ms": 1, "served_ms": 1}], "after": None},
        differences=[{"what": EVIL, "before": EVIL, "after": EVIL}],
    )  # fmt: skip
    run = a_run()
    run.heard(EVIL)
    run.ended(0, a_report(evil, run=EVIL, stopped=EVIL))
    cells = [plain(cell.parts) for row in (run_row(run), *result_rows(run.results)) for cell in row.cells]
    shown = text([*diff_lines(run, 0, 80), *run_lines(run, 80)]) + "".join(cells) + ended_text(run)
    assert not set(shown) & set("\x1b\x07\u202e\x9b")
