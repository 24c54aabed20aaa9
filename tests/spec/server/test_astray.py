"""A request without an answer is recorded a moment later, so that the pool that had it can tell."""

from __future__ import annotations

import pytest

from primectl.server.astray import HELD_BYTES, HELD_MOST, HELD_S, Astray
from primectl.wire.job import RequestId
from primectl.wire.journal import LEFT, TIMED_OUT, Hop, Record, add_hop

TRAIL = add_hop(b"", Hop("compute", 1.0, 2.0, failed=True))


def a_record(number: int, flags: int = TIMED_OUT, trail: bytes = b"", asked: bytes = b"") -> Record:
    return Record(RequestId(number), 1.0, 2.0, asked, 0, 504, (), b"", 0, "server.1", "web", trail=trail, flags=flags)


@pytest.mark.parametrize(
    ("flags", "trail", "expected"),
    [(TIMED_OUT, b"", True), (LEFT, b"", True), (0, b"", False), (TIMED_OUT, TRAIL, False)],
)
def test_it_is_about_those_of_whom_nobody_knows_where_they_were(flags: int, trail: bytes, expected: bool):
    assert Astray.concerns(a_record(1, flags, trail)) is expected


def test_what_is_found_is_recorded_at_once_with_its_trail_and_only_then():
    astray = Astray()
    assert astray.hold(a_record(1), 10.0) == []
    assert astray.found(RequestId(2), TRAIL) is None
    assert astray.found(RequestId(1), TRAIL) == a_record(1, trail=TRAIL)
    assert astray.found(RequestId(1), TRAIL) is None
    assert not astray


def test_what_nobody_finds_is_recorded_after_a_while():
    astray = Astray()
    astray.hold(a_record(1), 10.0)
    astray.hold(a_record(2), 10.1)
    assert astray.overdue(10.0 + HELD_S - 0.01) == []
    assert astray.overdue(10.0 + HELD_S) == [a_record(1)]
    assert astray.overdue(99.0) == [a_record(2)]
    assert not astray


def test_they_are_bounded_and_the_oldest_waits_no_longer():
    astray = Astray()
    for number in range(HELD_MOST):
        assert astray.hold(a_record(number), 10.0) == []
    assert astray.hold(a_record(HELD_MOST), 10.0) == [a_record(0)]
    assert len(astray.overdue(99.0)) == HELD_MOST


def test_large_requests_make_room_sooner():
    astray = Astray()
    half = bytes(HELD_BYTES // 2)
    first, second, third = (a_record(number, asked=half) for number in (1, 2, 3))
    assert (astray.hold(first, 10.0), astray.hold(second, 10.0), astray.hold(third, 10.0)) == ([], [], [first])
    astray.found(RequestId(2), TRAIL)
    assert astray.hold(first, 10.0) == []
    too_large = a_record(9, asked=bytes(HELD_BYTES + 1))
    assert astray.hold(too_large, 10.0) == [third, first, too_large]
