"""A journal that is read as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from primectl.errors import JournalDamaged
from primectl.journal.archive import MOST_ROWS, Archive
from primectl.journal.entry import packed, pages
from primectl.journal.follow import Follow
from primectl.journal.store import Journal, set_aside
from primectl.wire.journal import RequestsQuery
from tests.support.records import a_record

NOW = 1.7e9


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "journal.db")


@pytest.fixture
def archive(path: str) -> Iterator[Archive]:
    with Archive(path) as archive:
        yield archive


def add(path: str, *numbers: int, now: float, status: int = 200) -> None:
    """By a recorder of its own, which is gone after that."""
    journal = Journal.open_writer(path)
    records = [a_record(number, status=status) for number in numbers]
    journal.append(pages("server.1", now - 1.5, packed(records), {}), now)
    journal.close()


def read(following: Follow) -> list[int]:
    return [int(row.id, 16) for row in following.read()]


def test_it_begins_with_the_last_ones_and_goes_on_with_what_comes_each_once(path: str, archive: Archive):
    add(path, 1, 2, 3, now=NOW)
    following = Follow(archive, RequestsQuery(last=2))
    assert read(following) == [2, 3]
    assert read(following) == []
    add(path, 4, 5, now=NOW + 1)
    add(path, 6, now=NOW - 100)  # a clock that was set back
    assert read(following) == [4, 5, 6]
    assert read(following) == []


def test_with_fewer_rows_than_asked_for_and_with_all_it_begins_at_the_first(path: str, archive: Archive):
    add(path, 1, 2, now=NOW)
    assert read(Follow(archive, RequestsQuery(last=2))) == [1, 2]
    assert read(Follow(archive, RequestsQuery(last=9))) == [1, 2]
    assert read(Follow(archive, RequestsQuery(last=0))) == [1, 2]


def test_more_rows_than_one_answer_has_are_all_read(path: str, archive: Archive):
    following = Follow(archive, RequestsQuery(last=1))
    count = 2 * MOST_ROWS + 5
    add(path, *range(count), now=NOW)
    assert read(following) == list(range(count))


def test_what_does_not_fit_is_left_out_before_and_after(path: str, archive: Archive):
    add(path, 1, now=NOW, status=500)
    add(path, 2, now=NOW + 1)
    add(path, 3, now=NOW + 2, status=500)
    add(path, 4, now=NOW + 3)
    following = Follow(archive, RequestsQuery(last=1, where="status=500"))
    assert read(following) == [3]
    add(path, 5, now=NOW + 4)
    assert read(following) == []
    add(path, 6, now=NOW + 5, status=500)
    assert read(following) == [6]


def test_a_journal_that_is_not_there_yet_is_waited_for(path: str, archive: Archive):
    following = Follow(archive, RequestsQuery(last=5))
    assert read(following) == []
    add(path, 1, 2, now=NOW)
    assert read(following) == [1, 2]


def test_it_goes_on_in_the_journal_that_took_the_place_of_one(path: str, archive: Archive):
    add(path, 1, now=NOW)
    following = Follow(archive, RequestsQuery(last=5))
    assert read(following) == [1]
    set_aside(path, "20260101")
    assert read(following) == []
    add(path, 2, now=NOW - 500)
    assert read(following) == [2]
    assert read(following) == []


def test_it_goes_on_after_a_damaged_one_was_set_aside(path: str, archive: Archive):
    add(path, 1, now=NOW)
    following = Follow(archive, RequestsQuery(last=5))
    assert read(following) == [1]
    set_aside(path, "20260101")
    Path(path).write_bytes(b"not a database at all" * 500)
    with pytest.raises(JournalDamaged):
        read(following)
    set_aside(path, "20260102")
    add(path, 2, now=NOW + 1)
    assert read(following) == [2]
