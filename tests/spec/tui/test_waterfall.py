"""Where the time of a request went, as bars."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from primectl.wire.journal import HopTimes, Row
from tui.present.clean import cells
from tui.present.tables import Line, plain
from tui.present.waterfall import chart_lines, strip_lines


def a_row(ms: float, *hops: HopTimes, status: int = 200) -> Row:
    return Row(id="0" * 13, time=0.0, method="GET", path="/", status=status, ms=ms, hops=list(hops))


def shown(lines: list[Line]) -> list[str]:
    return [plain(line).rstrip() for line in lines]


PARSE = HopTimes("parse", "parse.1", 0.0, 2.0)


def test_a_line_has_each_hop_with_its_waiting_and_serving_and_the_servers_share_behind_them() -> None:
    row = a_row(32.0, PARSE, HopTimes("compute", "compute.3", 6.0, 20.0, failed=True))
    assert shown(strip_lines(row, 120)) == [
        " parse.1 ▌q0 s2.0ms  compute.3 ██████▌q6.0ms s20ms ✗  server █4.0ms",
    ]


def test_what_does_not_fit_goes_into_a_line_of_its_own() -> None:
    row = a_row(32.0, PARSE, HopTimes("compute", "compute.3", 6.0, 20.0))
    assert shown(strip_lines(row, 30)) == [
        " parse.1 ▌q0 s2.0ms",
        " compute.3 ██████▌q6.0ms s20ms",
        " server █4.0ms",
    ]


def test_the_bars_of_a_chart_stand_where_their_time_was() -> None:
    row = a_row(20.0, HopTimes("parse", "parse.1", 4.0, 4.0), HopTimes("compute", "compute.3", 2.0, 8.0))
    assert shown(chart_lines(row, 47)) == [
        " parse.1    ░░░░████              q4.0ms s4.0ms",
        " compute.3          ░░████████    q2.0ms s8.0ms",
        " server                       ██  2.0ms",
    ]


def test_lost_attempts_failures_and_a_hop_that_nobody_began_are_said() -> None:
    hops = (HopTimes("parse", "parse.2", 900.0, 1.0, attempt=3), HopTimes("compute", "", 99.0, 0.0, failed=True))
    lines = shown(chart_lines(a_row(1000.0, *hops), 80))
    assert lines[0].endswith("q900ms s1.0ms  attempt 3")
    assert lines[1].startswith(" compute ")
    assert lines[1].endswith("q99ms          ✗, not begun")


def test_without_hops_it_was_the_servers_own_or_what_happened_in_the_pools_is_not_known() -> None:
    assert shown(strip_lines(a_row(1.0), 80)) == [" server ████████1.0ms"]
    assert shown(strip_lines(structs.replace(a_row(1.0, status=0), pool="parse"), 80)) == [
        " in the pools ████████1.0ms"
    ]


def test_the_name_of_a_worker_cannot_reach_the_terminal_raw() -> None:
    row = a_row(3.0, HopTimes("evil\x1b]0;x\x07", "evil\x1b]0;x\x07.1", 0.0, 2.0))
    told = "".join(shown(strip_lines(row, 80)) + shown(chart_lines(row, 80)))
    assert told.isprintable()


milliseconds = st.floats(0.0, 1e7)


@given(st.lists(st.tuples(milliseconds, milliseconds), max_size=6), milliseconds, st.integers(40, 200))
def test_a_chart_is_never_wider_than_it_may_be_and_its_bars_never_overlap(
    times: list[tuple[float, float]], ms: float, width: int
) -> None:
    row = a_row(ms, *(HopTimes("pool", f"pool.{n}", queued, served) for n, (queued, served) in enumerate(times)))
    lines = chart_lines(row, width)
    assert len(lines) == len(times) + 1
    assert all(cells(plain(line)) <= width for line in lines)
