"""The journal's file, on a real disk."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from primectl.errors import JournalDamaged, JournalError, JournalNewer
from primectl.journal import store
from primectl.journal.archive import Archive
from primectl.journal.entry import DEAD, REDEEMED, packed, pages, row_of
from primectl.journal.heard import Heard
from primectl.journal.store import ROWS_AT_ONCE, Journal, connect, migrate, open_reader, set_aside
from primectl.wire.journal import Record, Row
from tests.support.records import a_record, asked

NOW = 1.7e9


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "journal.db")


def add(journal: Journal, *records: Record, now: float = NOW) -> None:
    journal.append(pages("server.1", NOW, packed(records), {}), now)


def rows(path: str) -> list[Row]:
    reader = open_reader(path)
    try:
        return [row_of(columns) for columns in reader.execute("SELECT * FROM requests ORDER BY number")]
    finally:
        reader.close()


def replay_of(number: int) -> bytes:
    return asked(fields=(("x-primectl-replay", f"0123abcd/{number:013x}"),))


def test_what_was_appended_is_there_for_who_opens_it(path: str):
    journal = Journal.open_writer(path)
    add(journal, a_record(1), a_record(2))
    assert [row.id for row in rows(path)] == ["0000000000001", "0000000000002"]
    journal.close()
    assert Journal.open_writer(path).kept().rows == 2


@pytest.mark.parametrize("count", [1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 3])
def test_however_many_rows_come_at_once_each_is_written_as_its_own(path: str, count: int):
    records = [a_record(number, body=b"x" * number) for number in range(1, count + 1)]
    with closing(Journal.open_writer(path)) as journal:
        add(journal, *records)
    found = rows(path)
    assert [(row.id, row.size) for row in found] == [(f"{number:013x}", number) for number in range(1, count + 1)]
    assert [row.number - found[0].number for row in found] == list(range(count))
    with Archive(path) as archive:
        assert [len(entry.answer_body) for entry in archive.entries()] == list(range(1, count + 1))


def test_numbers_are_the_time_and_always_grow(path: str):
    journal = Journal.open_writer(path)
    add(journal, a_record(1), a_record(2))
    add(journal, a_record(3), now=NOW - 100)
    first = int(NOW * 1e6)
    assert [row.number for row in rows(path)] == [first, first + 1, first + 2]


def test_only_its_owner_may_read_it(path: str):
    os.umask(os.umask(0o022))
    journal = Journal.open_writer(path)
    add(journal, a_record(1))
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in Path(path).parent.iterdir()}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}
    assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700


def test_how_far_servers_were_heard_is_written_with_the_rows(path: str):
    journal = Journal.open_writer(path)
    journal.append([], NOW, {("server.1", 5): Heard(17, 2, 3)})
    assert Journal.open_writer(path).heard == {("server.1", 5): Heard(17, 2, 3)}


def test_of_the_lives_of_a_server_the_last_few_are_remembered(path: str):
    journal = Journal.open_writer(path)
    for incarnation in range(20):
        journal.append([], NOW, {("server.1", incarnation): Heard(1), ("server.2", incarnation): Heard(1)})
    assert sorted(Journal.open_writer(path).heard) == [
        (f"server.{number}", incarnation) for number in (1, 2) for incarnation in range(12, 20)
    ]


def test_a_newer_journal_is_refused_by_its_version_and_left_as_it_is(path: str):
    Journal.open_writer(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = Path(path).read_bytes()
    for opened in (Journal.open_writer, open_reader):
        with pytest.raises(JournalNewer, match=r"schema is version 7, this program knows 1"):
            opened(path)
    assert Path(path).read_bytes() == before


def test_an_older_schema_is_brought_up_to_date_step_by_step(path: str):
    scripts = [
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT); CREATE TABLE toy (a)",
        "ALTER TABLE toy ADD COLUMN b DEFAULT 7",
        "CREATE TABLE more (c)",
    ]
    Path(path).parent.mkdir()
    connection = connect(path, write=True)
    migrate(connection, scripts[:1])
    connection.execute("INSERT INTO toy VALUES (1)")
    migrate(connection, scripts)
    assert connection.execute("SELECT * FROM toy").fetchall() == [(1, 7)]
    assert connection.execute("SELECT value FROM meta").fetchall() == [("3",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    connection.close()


def test_a_step_that_fails_leaves_the_version_before(path: str):
    scripts = ["CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)", "CREATE TABLE one (a); CREATE TABLE one (a)"]
    Path(path).parent.mkdir()
    connection = connect(path, write=True)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, scripts)
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'one'").fetchall() == []
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("content", [b"garbage " * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_journal_is_damaged(path: str, content: bytes):
    Path(path).parent.mkdir()
    Path(path).write_bytes(content)
    with pytest.raises(JournalDamaged):
        Journal.open_writer(path)


def test_a_database_of_somebody_else_is_no_journal(path: str):
    Path(path).parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE requests (a)")
    connection.close()
    with pytest.raises(JournalDamaged):
        Journal.open_writer(path)


def test_a_file_that_is_not_there_cannot_be_read(path: str):
    with pytest.raises(JournalError, match="cannot be opened"):
        open_reader(path)


def test_a_damaged_file_is_set_aside_and_three_of_them_are_kept(path: str):
    for number in range(5):
        Path(path).parent.mkdir(exist_ok=True)
        for end in ("", "-wal"):
            Path(path + end).write_text(str(number))
        set_aside(path, f"2026010{number}")
    assert sorted(each.name for each in Path(path).parent.iterdir()) == [
        f"journal.db.damaged-2026010{number}{end}" for number in (2, 3, 4) for end in ("", "-wal")
    ]


# --- dead letters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "redeemed"), [(200, True), (399, True), (400, False), (0, False)])
def test_a_dead_letter_is_redeemed_by_a_replay_that_succeeds(path: str, status: int, redeemed: bool):
    journal = Journal.open_writer(path)
    add(journal, a_record(1, flags=DEAD, status=502))
    add(journal, a_record(2, request=replay_of(1), status=status))
    assert [(row.id, row.redeemed) for row in rows(path)] == [("0000000000001", redeemed), ("0000000000002", False)]


def test_the_conditions_on_flags_are_those_of_dead_letters_that_wait():
    assert f"(flags & {DEAD | REDEEMED}) = {DEAD}" == store.WAITING


# --- kept small -------------------------------------------------------------------------------------------------------


def prune(journal: Journal, now: float = NOW, keep: float = 3600.0, max_size: int = 1 << 30) -> int:
    steps = 0
    while journal.prune(now, keep, max_size):
        steps += 1
        assert steps < 10_000
    return steps


def test_rows_that_are_too_old_go_and_waiting_dead_letters_stay(path: str):
    journal = Journal.open_writer(path)
    add(journal, a_record(1), a_record(2, flags=DEAD), a_record(3, flags=DEAD))
    add(journal, a_record(4, request=replay_of(3)))
    add(journal, a_record(5), now=NOW + 3000)
    add(journal, a_record(6), now=NOW + 5000)
    prune(journal, NOW + 5001)
    assert [int(row.id, 16) for row in rows(path)] == [2, 5, 6]
    assert journal.kept().rows == 3


def test_the_file_stays_as_small_as_it_shall_be(path: str):
    journal = Journal.open_writer(path)
    most = 4 << 20
    journal.configure(most)
    for number in range(200):
        add(journal, *[a_record(number, body=bytes(1000)) for _ in range(50)], now=NOW + number)
        prune(journal, NOW + number, max_size=most)
        assert journal.kept().size <= most * 1.25
    assert journal.kept().rows == len(rows(path))
    assert rows(path)[-1].id == f"{199:013x}"


def test_dead_letters_are_bounded_in_number_and_in_size(path: str, monkeypatch: pytest.MonkeyPatch):
    journal = Journal.open_writer(path)
    monkeypatch.setattr(store, "MOST_DEAD", 100)
    add(journal, *[a_record(number, flags=DEAD) for number in range(200)])
    prune(journal)
    assert len(rows(path)) <= 100
    assert rows(path)[-1].id == f"{199:013x}"
    add(journal, *[a_record(number, flags=DEAD, body=bytes(60_000)) for number in range(50)])
    prune(journal, max_size=1 << 20)
    assert sum(row.size for row in rows(path)) <= 1 << 19


def test_what_could_not_be_written_has_changed_nothing(path: str):
    journal = Journal.open_writer(path, wait_ms=1)
    other = connect(path, write=True)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="another process is writing to it"):
        add(journal, a_record(1))
    assert journal.kept().rows == 0
    other.execute("ROLLBACK")
    other.close()
    add(journal, a_record(1))
    assert journal.kept().rows == 1
