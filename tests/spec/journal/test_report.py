"""What came of a replay: counts of all, results up to a bound."""

from __future__ import annotations

from primectl.journal.compare import Difference, Kind, Result
from primectl.journal.report import Lag, Report
from primectl.journal.steps import Skipped
from primectl.wire.journal import Entry, HopTimes, Row


def a_result(number: int, kind: Kind = Kind.SAME, **more: object) -> Result:
    fields: dict[str, object] = {
        "id": f"a{number}",
        "replay_id": f"b{number}",
        "number": number,
        "method": "GET",
        "target": "/x?n=7",
        "kind": kind,
        "time": 1000.0,
        "status_before": 200,
        "status_after": 200,
        "ms_before": 10.0,
        "ms_after": 12.3456,
    }
    return Result(**(fields | more))  # type: ignore[arg-type]


def a_hop(pool: str, queued_ms: float, served_ms: float) -> HopTimes:
    return HopTimes(pool, f"{pool}.1", queued_ms, served_ms)


def a_skipped(id: str = "a9", why: str = "POST may change something") -> Skipped:  # noqa: A002
    return Skipped(Entry(row=Row(id=id, time=1000.0, method="POST", path="/x", status=-1, ms=1.0), body=b"long"), why)


def test_what_was_sent_is_the_same_or_changed_or_failed() -> None:
    report = Report("1a2b3c4d", "http://127.0.0.1:1")
    report.add(a_result(0))
    report.add(a_result(1, Kind.CHANGED, new_error=True))
    report.add(a_result(2, Kind.CHANGED, fixed=True, slower=True))
    report.add(a_result(3, Kind.FAILED, new_error=True, why="refused"))
    report.skip([a_skipped(), a_skipped("aa"), a_skipped("ab", "its body is cut")], {"POST": 2, "its body is cut": 1})
    report.end(seconds=2.0, not_sent=5, stopped="lag>1s: it is 2 s", lag=Lag(0.12345, 1.0, 2.0))
    found = report.to_json()
    rows = found.pop("requests")
    assert found == {
        "run": "1a2b3c4d",
        "target": "http://127.0.0.1:1",
        "sent": 4,
        "same": 1,
        "changed": 2,
        "failed": 1,
        "skipped": 3,
        "new_errors": 2,
        "fixed": 1,
        "slower": 1,
        "redeemed": 0,
        "not_sent": 5,
        "seconds": 2.0,
        "rate": 2.0,
        "lag_ms": {"p50": 0.123, "p99": 1.0, "max": 2.0},
        "stopped": "lag>1s: it is 2 s",
        "reasons": {"POST": 2, "its body is cut": 1},
        "pools": [],
        "requests_left_out": 0,
    }
    assert [(row["id"], row["outcome"]) for row in rows] == [
        ("a0", "same"),
        ("a1", "changed"),
        ("a2", "changed"),
        ("a3", "failed"),
        ("a9", "skipped"),
        ("aa", "skipped"),
        ("ab", "skipped"),
    ]


def test_a_row_has_both_sides_of_everything() -> None:
    report = Report("1a2b3c4d", "http://127.0.0.1:1")
    differences = (Difference("status", "200", "404"), Difference("header x", None, "1"))
    report.add(a_result(0, Kind.CHANGED, status_after=404, differences=differences, more=2, notes=("n",)))
    [row] = report.to_json()["requests"]
    assert row == {
        "id": "a0",
        "replay_id": "b0",
        "method": "GET",
        "path": "/x",
        "target": "/x?n=7",
        "outcome": "changed",
        "why": "",
        "new_error": False,
        "fixed": False,
        "slower": False,
        "status": {"before": 200, "after": 404},
        "ms": {"before": 10.0, "after": 12.346},
        "hops": {"before": [], "after": []},
        "differences": [
            {"what": "status", "before": "200", "after": "404"},
            {"what": "header x", "before": None, "after": "1"},
        ],
        "more": 2,
        "notes": ["n"],
    }


def test_results_come_in_the_order_of_sending_whatever_the_order_of_their_answers() -> None:
    report = Report("1a2b3c4d", "")
    for number in (2, 0, 1):
        report.add(a_result(number, Kind.CHANGED if number == 1 else Kind.SAME))
    assert [result.number for result in report.results] == [0, 1, 2]


def test_beyond_the_bound_all_are_counted_and_those_that_are_the_same_go_first() -> None:
    report = Report("1a2b3c4d", "", kept=3)
    for number in range(10):
        report.add(a_result(number, Kind.CHANGED if number in (5, 8) else Kind.SAME))
    assert (report.sent, report.same, report.changed, report.left_out) == (10, 8, 2, 7)
    assert [result.number for result in report.results] == [0, 5, 8]
    for number in range(10, 20):
        report.add(a_result(number, Kind.FAILED))
    assert (report.failed, report.left_out) == (10, 17)
    assert [result.number for result in report.results] == [5, 8, 10]
    report.skip([a_skipped()] * 5, {})
    assert (report.skipped, report.left_out, len(report.to_json()["requests"])) == (5, 19, 6)


def test_hops_of_now_are_found_by_the_id_of_the_answer_and_joined_by_pool() -> None:
    report = Report("1a2b3c4d", "")
    report.add(a_result(0, hops_before=[a_hop("parse", 1.0, 2.0), a_hop("compute", 3.0, 4.0)]))
    report.add(a_result(1, hops_before=[a_hop("parse", 3.0, 4.0)]))
    report.add(a_result(2, hops_before=[a_hop("parse", 100.0, 100.0)]))

    def now(number: int, *hops: HopTimes) -> Row:
        return Row(id=f"b{number}", time=0.0, method="GET", path="/x", status=200, ms=1.0, hops=list(hops))

    report.take_hops({
        "b0": now(0, a_hop("parse", 1.0, 20.0), a_hop("compute", 3.0, 40.0)),
        "b1": now(1, a_hop("parse", 1.0, 40.0)),
    })  # fmt: skip
    parse, compute = report.to_json()["pools"]
    assert parse == {
        "pool": "parse",
        "requests": 2,
        "queued_ms": {"before": 2.0, "after": 1.0},
        "served_ms": {"before": 3.0, "after": 30.0},
        "served_sum_ms": {"before": 6.0, "after": 60.0},
    }
    assert (compute["pool"], compute["requests"]) == ("compute", 1)
    assert report.to_json()["requests"][0]["hops"]["after"][1]["served_ms"] == 40.0


def test_a_dead_letter_that_is_sent_often_is_redeemed_once() -> None:
    report = Report("1a2b3c4d", "")
    for _ in range(3):
        report.add(a_result(0, Kind.CHANGED, redeems=True))
    assert report.redeemed == 1
