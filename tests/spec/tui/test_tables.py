"""ClusterSnapshot -> rows, and which columns fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.wire.stats import PoolSnapshot
from tests.support.snapshots import a_cluster, a_pool, a_process, an_event
from tui.present.tables import (
    EVENT_COLUMNS,
    POOL_COLUMNS,
    POOL_HEADERS,
    PROCESS_COLUMNS,
    PROCESS_HEADERS,
    Column,
    Part,
    Slot,
    Tone,
    event_table,
    event_tone,
    lay_out,
    legend,
    natural,
    plain,
    pool_rows,
    pool_state,
    pool_table,
    process_rows,
    process_table,
    shape,
    strip,
)
from tui.present.trends import Trends

HOSTILE = "\x1b]52;c;ZXZpbA==\x07[/x]\u202e"


def test_a_worker_with_a_long_job_shows_for_how_long_and_which_request():
    busy = a_process("compute.1", busy=True, job_s=9.9, request="4d77c0ffee000")
    quick = a_process("compute.2", busy=True, job_s=0.2, request="4d77c0ffee001")
    unknown = a_process("compute.3", busy=True, job_s=62.0)
    cluster = a_cluster(processes=[busy, quick, unknown])
    state = PROCESS_HEADERS.index("STATE")
    assert [row[state] for row in process_rows(cluster)] == ["busy 9.9s 4d77c0ffee000", "busy", "busy 62s"]
    titles = [column.title for column in PROCESS_COLUMNS]
    shown = [plain(row.cells[titles.index("REQUEST")].parts) for row in process_table(cluster)]
    assert shown == ["4d77c0ffee000", "-", "-"]


def test_pools_are_plain_strings_under_their_headers():
    assert pool_rows(a_cluster(a_pool("compute", queued=3))) == [
        ("compute", "4/4", "1", "3", "3", "40", "25%", "400µs", "2.1ms", "120", "ok")
    ]
    assert len(POOL_HEADERS) == 11


def test_processes_are_plain_strings_under_their_headers():
    cluster = a_cluster(processes=[a_process("compute.1", busy=True), a_process("server.1", pid=0)])
    assert process_rows(cluster) == [
        ("compute.1", "worker", "compute", "4242", "busy", "12s", "0", "33", "3.1%", "20M"),
        ("server.1", "server", "", "-", "running", "12s", "0", "-", "3.1%", "20M"),
    ]
    assert len(PROCESS_HEADERS) == 10


@pytest.mark.parametrize(
    ("pool", "growth", "word"),
    [
        (a_pool(), 0.0, "ok"),
        (a_pool(failed_workers=2), 0.0, "DEAD2"),
        (a_pool(target=0, workers=0), 0.0, "OFF"),
        (a_pool(workers=0), 0.0, "DOWN"),
        (a_pool(workers=1, starting=1), 0.0, "START"),
        (a_pool(queued=18_000), 0.0, "FULL"),
        (a_pool(queued=90, busy=4, idle=0), 14.0, "SLOW"),
        (a_pool(queued=90, arrival_rate=900.0), 0.0, "SLOW"),
        (a_pool(queued=2), 14.0, "ok"),
        (a_pool(target=6, workers=4), 0.0, "GROW"),
        (a_pool(target=2, workers=4, draining=2), 0.0, "SHRINK"),
        (a_pool(draining=1), 0.0, "DRAIN1"),
        (a_pool(draining=4), 0.0, "DRAIN"),
        (a_pool(state="draining"), 0.0, "DRAIN"),
        (a_pool(state="draining", failed_workers=1), 0.0, "DEAD1"),
        (a_pool(queued=90, busy=3, idle=1, draining=1), 14.0, "SLOW"),
    ],
)
def test_the_state_of_a_pool_is_one_word(pool: PoolSnapshot, growth: float, word: str):
    assert pool_state(pool, growth).word == word


def test_each_worker_is_one_cell_with_a_shape_of_its_own():
    workers = [
        a_process("c.1", busy=True), a_process("c.2", busy=True), a_process("c.3"), a_process("c.4", state="starting"),
        a_process("c.5", state="draining"), a_process("c.6", state="failed"), a_process("c.7", state="new in 0.9"),
    ]  # fmt: skip
    assert plain(strip(workers)) == "■■□◇▽✗?"
    assert strip(workers)[0] == Part("■■", Tone.BUSY)
    assert plain(legend(workers)).split("   ") == [
        "■ 2 busy", "□ 1 idle", "◇ 1 starting", "▽ 1 draining", "✗ 1 failed", "? 1 new in 0.9", "",
    ]  # fmt: skip


def test_a_server_is_running_and_neither_busy_nor_idle():
    assert shape(a_process("server.1")).word == "running"


def test_workers_of_a_pool_stand_by_number():
    cluster = a_cluster(a_pool(busy=2, idle=9, workers=11), a_pool("other"))
    ids = [row.id for row in process_table(cluster, "compute")]
    assert ids == [f"compute.{number}" for number in range(1, 12)]
    assert sorted(["compute.10", "compute.2", "server"], key=natural) == ["compute.2", "compute.10", "server"]


def test_every_row_has_a_cell_for_every_column():
    cluster = a_cluster()
    assert {len(row.cells) for row in pool_table(cluster, Trends())} == {len(POOL_COLUMNS)}
    assert {len(row.cells) for row in process_table(cluster)} == {len(PROCESS_COLUMNS)}
    assert {len(row.cells) for row in event_table([an_event()])} == {len(EVENT_COLUMNS)}


def test_text_from_outside_is_cleaned_in_every_table():
    cluster = a_cluster(a_pool(HOSTILE), processes=[a_process(HOSTILE, pool=HOSTILE, state=HOSTILE, cause=HOSTILE)])
    event = an_event(text=HOSTILE, subject=HOSTILE, kind=HOSTILE, operator=HOSTILE)
    rows = [*pool_table(cluster, Trends()), *process_table(cluster), *event_table([event])]
    shown = ["".join(plain(cell.parts) for cell in row.cells) for row in rows]
    shown += ["".join(row) for row in (*pool_rows(cluster), *process_rows(cluster))]
    assert all(text.isprintable() for text in shown)
    assert rows[0].id == HOSTILE, "actions name the pool as it is"


def test_columns_leave_by_priority_and_spare_room_goes_to_those_that_grow():
    columns = (Column("A", 4, grow=8), Column("B", 4, drop=2), Column("C", 4, drop=1))
    assert lay_out(columns, 14) == [Slot(0, 4), Slot(1, 4), Slot(2, 4)]
    assert lay_out(columns, 13) == [Slot(0, 8), Slot(2, 4)]
    assert lay_out(columns, 8) == [Slot(0, 8)]
    assert lay_out(columns, 1) == [Slot(0, 4)]


@given(st.integers(0, 300), st.sampled_from([POOL_COLUMNS, PROCESS_COLUMNS, EVENT_COLUMNS]))
def test_a_layout_never_passes_its_width_while_something_can_leave(width: int, columns: tuple[Column, ...]):
    slots = lay_out(columns, width)
    least = [column for column in columns if not column.drop]
    used = sum(slot.width for slot in slots) + len(slots) - 1
    assert used <= max(width, sum(column.width for column in least) + len(least) - 1)
    assert {index for index, column in enumerate(columns) if not column.drop} <= {slot.column for slot in slots}


def test_at_80_columns_the_pool_table_tells_what_an_operator_needs():
    shown = {POOL_COLUMNS[slot.column].title for slot in lay_out(POOL_COLUMNS, 77)}
    assert {"POOL", "QUEUE", "Δ/s", "WAIT", "WORKERS", "UTIL", "IN/s", "OUT/s", "P99", "STATE"} == shown
    wide = {POOL_COLUMNS[slot.column].title for slot in lay_out(POOL_COLUMNS, 157)}
    assert len(wide) == len(POOL_COLUMNS)


@pytest.mark.parametrize(("cause", "tone"), [("the disk is full", Tone.WARN), ("", Tone.GOOD)])
def test_an_event_about_the_journal_is_bad_news_if_it_has_a_cause(cause, tone):
    assert event_tone(an_event(kind="journal", cause=cause)) is tone
