"""A replay's report as people read it."""

from __future__ import annotations

from primectl.cli.replaytext import SHOWN, methods_text, plan_text, report_text, summary_line
from primectl.journal.compare import Difference, Kind, Result
from primectl.journal.plan import Summary
from primectl.journal.report import Lag, Report
from primectl.journal.steps import Skipped
from primectl.wire.journal import Entry, HopTimes, Row

NOON = 1_700_000_000.0


def a_result(number: int = 0, kind: Kind = Kind.SAME, **more: object) -> Result:
    fields: dict[str, object] = {
        "id": f"a{number}",
        "replay_id": f"b{number}",
        "number": number,
        "method": "GET",
        "target": "/x?n=7",
        "kind": kind,
        "time": NOON,
        "status_before": 200,
        "status_after": 200,
        "ms_before": 10.0,
        "ms_after": 12.0,
    }
    return Result(**(fields | more))  # type: ignore[arg-type]


def a_report(*results: Result) -> Report:
    report = Report("1a2b3c4d", "http://127.0.0.1:8002")
    for result in results:
        report.add(result)
    report.end(seconds=2.0, not_sent=0, stopped="", lag=Lag(0.1, 0.4, 1.0))
    return report


def lines(report: Report, *, diff: bool = False) -> list[str]:
    return report_text(report, colour=False, with_differences=diff).split("\n")


def test_when_all_is_the_same_two_lines_say_it() -> None:
    assert lines(a_report(a_result(), a_result(1))) == [
        "run 1a2b3c4d to http://127.0.0.1:8002: 2.0s, 1.0/s, lag p99 400µs",
        "2 sent  2 same",
    ]


def test_the_summary_counts_everything_that_is_not_nothing() -> None:
    report = a_report(
        a_result(),
        a_result(1, Kind.CHANGED, fixed=True, redeems=True),
        a_result(2, Kind.CHANGED, new_error=True, slower=True),
        a_result(3, Kind.FAILED, new_error=True),
    )
    post = Row(id="c", time=0.0, method="POST", path="/", status=200, ms=1.0)
    report.skip([Skipped(Entry(row=post), "POST may change something")], {"POST may change something": 1})
    report.end(seconds=1.0, not_sent=7, stopped="queue>50: it is 51", lag=Lag())
    assert summary_line(report, colour=False) == (
        "4 sent  1 same  2 changed  1 failed  1 fixed  1 redeemed  2 new errors  1 slower >2x  1 skipped  7 not sent"
    )
    assert lines(report)[-2:] == ["1 skipped: POST may change something", "stopped: queue>50: it is 51; 7 not sent"]


def test_what_changed_is_a_table_with_a_line_each() -> None:
    differences = (Difference("status", "500", "200"), Difference("body /a", "1", "2"))
    report = a_report(
        a_result(),
        a_result(1, Kind.CHANGED, status_before=500, fixed=True, differences=differences),
        a_result(2, Kind.FAILED, status_after=0, new_error=True, why="connection refused"),
        a_result(3, slower=True, ms_after=400.0),
    )
    assert lines(report)[3:] == [
        "ID  REQUEST     STATUS              TIME  WHAT",
        "a1  GET /x?n=7  500 → 200    10ms → 12ms  fixed, body /a",
        "a2  GET /x?n=7  200 → none                new error, connection refused",
        "a3  GET /x?n=7  200         10ms → 400ms  slower",
    ]


def test_with_diff_each_is_told_whole() -> None:
    hops = [HopTimes("parse", "parse.1", 0.1, 2.0), HopTimes("compute", "compute.1", 5.0, 3.0, failed=True)]
    result = a_result(
        1,
        Kind.CHANGED,
        status_before=500,
        fixed=True,
        ms_after=450.0,
        hops_before=hops,
        hops_after=hops[:1],
        differences=(
            Difference("status", "500", "200"),
            Difference("body /a", "1", None),
            Difference("header x", "old", "new"),
            Difference("body", None, "2 bytes"),
        ),
        more=3,
        notes=("header set-cookie is redacted, not compared",),
    )
    [head, *rest] = lines(a_report(result), diff=True)[3:11]
    assert head.startswith("a1  GET /x?n=7  recorded ")
    assert head.endswith("  CHANGED, fixed")
    assert rest == [
        "status     500 → 200",
        "time       10ms → 450ms  ×45",
        "hops       parse 2.0ms · compute 3.0ms after 5.0ms ✗ → parse 2.0ms",
        "body       /a",
        "           − 1",
        "header     x",
        "           − old",
    ]
    assert lines(a_report(result), diff=True)[11:16] == [
        "           + new",
        "body       differs",
        "           + 2 bytes",
        "           … and 3 more differences",
        "           · header set-cookie is redacted, not compared",
    ]


def test_pools_show_their_times_then_and_now() -> None:
    before, after = [HopTimes("parse", "parse.1", 0.5, 2.0)], [HopTimes("parse", "parse.2", 0.25, 40.0)]
    assert lines(a_report(a_result(hops_before=before, hops_after=after)))[3:] == [
        "POOL   REQUESTS         QUEUED        SERVED",
        "parse         1  500µs → 250µs  2.0ms → 40ms",
    ]


def test_a_long_list_is_cut_and_says_so() -> None:
    slow = [a_result(number, slower=True) for number in range(3)]
    failed = [a_result(number, Kind.FAILED) for number in range(3, SHOWN + 3)]
    told = lines(a_report(*slow, *failed))
    assert told[-1] == "… and 3 more; --json has them"
    assert (told[4][:2], told[-2][:3]) == ("a3", f"a{SHOWN + 2}")


def test_when_nothing_was_sent_there_is_no_pace_to_tell() -> None:
    assert lines(a_report()) == ["0 sent"]


def test_no_control_character_of_strangers_reaches_the_terminal() -> None:
    evil = "\x1b]52;c;x\x07"
    result = a_result(
        1, Kind.CHANGED, target=f"/{evil}", differences=(Difference(f"header {evil}", evil, evil),), notes=(evil,)
    )
    failed = a_result(2, Kind.FAILED, why=evil)
    for diff in (True, False):
        assert "\x1b" not in report_text(a_report(result, failed), colour=False, with_differences=diff)


def test_a_dry_run_says_how_many_how_big_how_long_and_what_not() -> None:
    planned = Summary(31, 2048, 12.3, 2, {"GET": 30, "HEAD": 1}, {"POST may change something": 2})
    assert plan_text(planned, "http://127.0.0.1:1") == (
        "31 requests (30 GET, 1 HEAD), 2.0K of bodies, in 12s, to http://127.0.0.1:1\n"
        "2 skipped: POST may change something"
    )


def test_the_question_names_the_methods() -> None:
    assert methods_text(9, 31, ["POST"] * 9) == "9 of 31 are POST"
    assert methods_text(1, 1, ["DELETE"]) == "1 of 1 is DELETE"
    assert methods_text(3, 4, ["POST", "PUT", "POST"]) == "3 of 4 may change something: 2 POST, 1 PUT"
