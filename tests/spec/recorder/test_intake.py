"""What of the servers' records is new, what is missing, and when it is written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.errors import WireError
from primectl.journal.heard import RUNS_A_SERVER, Heard, Run
from primectl.recorder.intake import COMMIT_BYTES, COMMIT_ROWS, COMMIT_S, FEW_ROWS, LATE_COMMIT_S, Intake, Taken
from primectl.wire import frames
from primectl.wire.journal import Records
from tests.support.records import a_record

RUN: Run = ("server.1", 9)


def frame(first: int, count: int, *, dropped: int = 0, run: Run = RUN, body: bytes = b"7") -> bytes:
    records = [a_record(number, body=body) for number in range(first, first + count)]
    return frames.encode(Records(*run, first, 1e9, dropped, records))


def write(intake: Intake) -> tuple[list[tuple[int, int]], dict[Run, Heard]]:
    """All that waits: of each frame how many rows, and how many of them are known already."""
    written: list[Taken] = []
    heard: dict[Run, Heard] = {}
    while intake.waits:
        taken, at = intake.batch()
        intake.written(taken, 0.0)
        written += taken
        heard |= at
    return [(each.count, each.skip) for each in written], heard


def test_rows_are_written_a_moment_after_the_first_came():
    intake = Intake()
    assert intake.next_deadline() is None
    intake.take(frame(1, 2), now=1.0)
    intake.take(frame(3, 2), now=1.04)
    assert (intake.next_deadline(), intake.full) == (1.0 + COMMIT_S, False)
    assert write(intake) == ([(2, 0), (2, 0)], {RUN: Heard(4)})
    assert intake.next_deadline() is None


def test_more_than_a_few_rows_wait_for_others_to_be_written_with():
    intake = Intake()
    intake.take(frame(1, FEW_ROWS), now=1.0)
    assert intake.next_deadline() == 1.0 + COMMIT_S
    intake.take(frame(FEW_ROWS + 1, 1), now=1.04)
    assert (intake.next_deadline(), intake.full) == (1.0 + LATE_COMMIT_S, False)


def test_many_rows_are_written_at_once():
    intake = Intake()
    intake.take(frame(1, COMMIT_ROWS), now=1.0)
    assert intake.full


def test_large_ones_are_written_at_once_and_not_all_in_one_go():
    intake = Intake()
    for number in range(1, 12):
        intake.take(frame(number, 1, body=bytes(COMMIT_BYTES // 4)), now=1.0)
    assert intake.full
    assert len(intake.batch()[0]) < 11
    assert len(write(intake)[0]) == 11


def test_servers_are_told_what_is_written_and_not_before():
    intake = Intake()
    other: Run = ("server.2", 3)
    intake.take(frame(1, 2), now=1.0)
    intake.take(frame(1, 5, run=other), now=1.0)
    assert intake.to_tell() == {}
    write(intake)
    assert intake.to_tell() == {RUN: 2, other: 5}
    assert intake.to_tell() == {}


def test_what_comes_again_is_left_out_and_its_server_told_again():
    intake = Intake()
    intake.take(frame(1, 5), now=1.0)
    intake.take(frame(1, 3), now=1.0)
    intake.take(frame(4, 4), now=1.0)
    assert write(intake) == ([(5, 0), (0, 0), (4, 2)], {RUN: Heard(7)})
    assert (intake.repeated, intake.to_tell(), intake.lost) == (5, {RUN: 7}, 0)


def test_what_a_predecessor_has_written_is_left_out():
    intake = Intake()
    intake.knew({RUN: Heard(3)})
    intake.take(frame(2, 5), now=1.0)
    assert write(intake) == ([(5, 2)], {RUN: Heard(6)})


def test_a_journal_that_is_behind_what_was_heard_since_changes_nothing():
    intake = Intake()
    intake.take(frame(1, 5), now=1.0)
    intake.knew({RUN: Heard(2)})
    intake.take(frame(3, 3), now=1.0)
    assert write(intake)[0] == [(5, 0), (0, 0)]


def test_of_a_run_that_nobody_knows_the_beginning_is_not_missing():
    intake = Intake()
    intake.take(frame(100, 1, dropped=7), now=1.0)
    assert intake.lost == 0
    assert write(intake)[1] == {RUN: Heard(100, 7, 7)}


@pytest.mark.parametrize(
    ("first", "dropped", "lost"), [(3, 0, 0), (5, 0, 2), (5, 2, 0), (5, 1, 1), (5, 9, 0), (1003, 0, 1000)]
)
def test_numbers_that_are_missing_are_lost_unless_their_server_has_dropped_them(first: int, dropped: int, lost: int):
    intake = Intake()
    intake.take(frame(1, 2), now=1.0)
    intake.take(frame(first, 1, dropped=dropped), now=1.0)
    assert intake.lost == lost


@pytest.mark.parametrize("missing", [5, 8])
def test_a_successor_counts_what_was_lost_since_it_began(missing: int):
    intake = Intake()
    intake.knew({RUN: Heard(10, dropped=5, missing=missing)})
    intake.take(frame(11, 1, dropped=5), now=1.0)
    assert intake.lost == 0
    intake.take(frame(14, 1, dropped=5), now=1.0)
    assert intake.lost == 2


@pytest.mark.parametrize(
    "malformed",
    [
        b"",
        frames.encode(Records("server.1", 9, 1, 1e9, 0, [])),
        frames.encode(Records("server.1", 9, 0, 1e9, 0, [a_record()])),
        frames.encode(Records("../../etc", 9, 1, 1e9, 0, [a_record()])),
        frames.encode(Records("server.01", 9, 1, 1e9, 0, [a_record()])),
        frames.encode(("E", "server.1", 9, 1, 1e9, 0, 5)),
        frames.encode(Records("server.1", 9, 1, math.nan, 0, [a_record()])),
        frames.encode(Records("server.1", 9, 1 << 63, 1e9, 0, [a_record()])),
        frames.encode(Records("server.1", 9, 1, 1e9, -1, [a_record()])),
        frames.encode(("E", "server.1", 9, 1, 1e9, 0, {})),
    ],
)
def test_what_is_no_frame_of_records_is_refused_and_changes_nothing(malformed: bytes):
    intake = Intake()
    with pytest.raises(WireError):
        intake.take(malformed, now=1.0)
    assert (intake.waits, intake.heard, intake.frames) == (False, {}, 0)


def test_only_the_last_lives_of_a_server_are_remembered():
    intake = Intake()
    for incarnation in range(1, 100):
        intake.take(frame(1, 1, run=("server.1", incarnation)), now=1.0)
        intake.take(frame(4, 1, run=("server.1", incarnation)), now=1.0)
    assert sorted(intake.heard) == [("server.1", incarnation) for incarnation in range(100 - RUNS_A_SERVER, 100)]
    assert intake.lost == 99 * 2


def test_while_nothing_can_be_written_the_oldest_are_refused_beyond_the_bound_and_can_be_forgotten():
    intake = Intake(most_bytes=2000)
    for number in range(1, 11):
        intake.take(frame(number, 1, body=bytes(500)), now=1.0)
    intake.cannot_write()
    assert 0 < intake.refused < 10
    assert intake.to_tell() == {RUN: intake.refused}
    assert len(write(intake)[0]) == 10 - intake.refused


def test_where_there_is_no_hope_all_are_refused():
    intake = Intake()
    intake.take(frame(1, 3), now=1.0)
    intake.take(frame(2, 3), now=1.0)
    intake.cannot_write(ever=False)
    assert (intake.refused, intake.waits, intake.to_tell()) == (4, False, {RUN: 4})


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(1, 10), st.sampled_from(("write", "refuse", "wait"))), max_size=20
    )
)
def test_each_number_is_new_once_and_none_is_told_before_it_is_gone(frames_: list[tuple[int, int, str]]):
    intake = Intake(most_bytes=1)
    gone: list[int] = []
    waiting: list[int] = []
    told = 0
    intake.knew({RUN: Heard(0)})
    highest = 0
    for first, count, then in frames_:
        intake.take(frame(first, count), now=1.0)
        waiting += range(max(first, highest + 1), first + count)
        highest = max(highest, first + count - 1)
        if then == "write":
            assert sum(count - skip for count, skip in write(intake)[0]) == len(waiting)
        elif then == "refuse":
            before = intake.refused
            intake.cannot_write()
            assert intake.refused - before == len(waiting)
        if then != "wait":
            gone += waiting
            waiting = []
        told = max(told, intake.to_tell().get(RUN, 0))
        assert told <= (gone[-1] if gone else 0)
    assert sorted(set(gone)) == gone
