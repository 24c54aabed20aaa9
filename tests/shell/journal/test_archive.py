"""Reading a journal on a real disk, while it is written and while nothing runs."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from primectl.errors import ConfigError, JournalDamaged, JournalError, JournalNewer, NotFound
from primectl.journal.archive import PAGE, Archive
from primectl.journal.entry import packed, pages
from primectl.journal.store import Journal, set_aside
from primectl.wire.journal import DEAD, Record, RequestsQuery
from tests.support.otherusers import USER
from tests.support.records import a_record, asked

NOW = 1.7e9


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "journal.db")


@pytest.fixture
def journal(path: str) -> Iterator[Journal]:
    journal = Journal.open_writer(path)
    yield journal
    journal.close()


@pytest.fixture
def archive(path: str) -> Iterator[Archive]:
    with Archive(path) as archive:
        yield archive


def add(journal: Journal, *records: Record, now: float = NOW) -> None:
    """Each ended a moment before `now`."""
    journal.append(pages("server.1", now - 1.5, packed(records), {}), now)


def a_replay(number: int, original: int, status: int = 200) -> Record:
    mark = (("x-primectl-replay", f"0123abcd/{original:013x}"),)
    return a_record(number, request=asked(fields=mark), status=status)


def ids(found: object) -> list[int]:
    return [int(row.id, 16) for row in found]  # type: ignore[attr-defined]


# --- lists ------------------------------------------------------------------------------------------------------------


def test_where_there_is_no_journal_yet_there_are_no_rows(archive: Archive):
    assert not archive.exists
    assert archive.query(RequestsQuery()).requests == []
    assert (list(archive.rows(RequestsQuery())), list(archive.entries()), archive.by_run("0123abcd")) == ([], [], {})
    with pytest.raises(NotFound, match="no request 51bb is recorded"):
        archive.entry("51bb")


def test_a_file_that_is_just_being_made_has_no_rows(archive: Archive, path: str):
    Path(path).parent.mkdir()
    Path(path).touch()
    assert archive.query(RequestsQuery()).requests == []


def test_rows_come_newest_first_with_the_times_of_their_hops(journal: Journal, archive: Archive):
    add(journal, a_record(1), a_record(2))
    add(journal, a_record(3), now=NOW + 1)
    found = archive.query(RequestsQuery(last=2))
    assert ids(found.requests) == [3, 2]
    assert (found.kept, found.newest) == (3, found.requests[0].number)
    assert [hop.worker for hop in found.requests[0].hops] == ["parse.1", "compute.3"]


def test_what_comes_after_a_number_comes_oldest_first_and_is_seen_while_it_is_written(
    journal: Journal, archive: Archive
):
    add(journal, a_record(1))
    newest = archive.query(RequestsQuery()).newest
    assert archive.query(RequestsQuery(after=newest)).requests == []
    add(journal, a_record(2), a_record(3), a_record(4), now=NOW + 1)
    first = archive.query(RequestsQuery(after=newest, last=2)).requests
    assert ids(first) == [2, 3]
    assert ids(archive.query(RequestsQuery(after=first[-1].number)).requests) == [4]


def test_a_filter_a_time_dead_letters_and_originals_choose(journal: Journal, archive: Archive):
    add(journal, a_record(1, status=500), a_record(2))
    add(journal, a_record(3, flags=DEAD, status=502), a_record(4, flags=DEAD, status=502), now=NOW + 60)
    add(journal, a_replay(5, original=3), a_replay(6, original=2, status=500), now=NOW + 120)

    def found(**query: object) -> list[int]:
        return ids(archive.query(RequestsQuery(**query)).requests)  # type: ignore[arg-type]

    assert found(where="status>=500") == [6, 4, 3, 1]
    assert found(where="status>=500", originals=True) == [4, 3, 1]
    assert found(where="replay", originals=True) == [6, 5]
    assert found(dead=True) == [4]
    assert found(where="dead") == [4, 3]
    assert found(where="redeemed") == [3]
    assert found(since=NOW + 30) == [6, 5, 4, 3]
    assert found(until=NOW + 30) == [2, 1]
    assert found(since=NOW + 30, until=NOW + 90, where="pool=compute") == [4, 3]


def test_all_rows_are_read_in_pages(journal: Journal, archive: Archive):
    count = 2 * PAGE + 17
    add(journal, *(a_record(number) for number in range(count)))
    assert ids(archive.rows(RequestsQuery(last=0))) == list(reversed(range(count)))
    assert ids(archive.rows(RequestsQuery(last=PAGE + 1)))[-1] == count - PAGE - 1
    assert ids(archive.rows(RequestsQuery(last=0, after=1))) == list(range(count))
    assert len(archive.query(RequestsQuery(last=5000)).requests) == 1000


def test_a_mistake_in_a_filter_is_the_askers(archive: Archive):
    with pytest.raises(ConfigError, match="there is no field"):
        archive.query(RequestsQuery(where="stats=500"))
    with pytest.raises(ConfigError, match="there is no field"):
        list(archive.entries(where="stats=500"))


def test_the_rows_of_a_run_are_found_by_their_own_ids(journal: Journal, archive: Archive):
    add(journal, a_record(1), a_replay(2, original=1), a_replay(3, original=1))
    found = archive.by_run("0123abcd", since=NOW - 10)
    assert {own: row.replay_of for own, row in found.items()} == {f"{n:013x}": f"{1:013x}" for n in (2, 3)}
    assert [hop.pool for hop in found[f"{2:013x}"].hops] == ["parse", "compute"]
    assert archive.by_run("00000000") == {}


# --- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_is_found_by_its_id_or_the_end_of_it(journal: Journal, archive: Archive):
    add(journal, a_record(0xABC51BB, request=asked("/optimize", body=b"{}", method="POST")), a_record(0xABC51BC))
    for end in ("000000abc51bb", "51bb", "51BB", "bb"):
        entry = archive.entry(end)
        assert (entry.row.method, entry.target, entry.body, entry.answer_body) == ("POST", "/optimize", b"{}", b"7")


def test_the_end_of_several_ids_is_refused_and_names_them(journal: Journal, archive: Archive):
    add(journal, *(a_record(0x51BB + (n << 16)) for n in range(5)))
    with pytest.raises(
        ConfigError, match=r"several requests end in 51bb: \w{13}, \w{13}, \w{13} and more\. Give more digits"
    ):
        archive.entry("51bb")
    with pytest.raises(ConfigError, match="expected the id of a request"):
        archive.entry("51bb'; --")


def test_of_a_request_that_was_recorded_twice_the_newest_counts(journal: Journal, archive: Archive):
    add(journal, a_record(7, body=b"old"))
    add(journal, a_record(7, body=b"new"), now=NOW + 5)
    assert archive.entry("7").answer_body == b"new"


def test_entries_come_in_order_of_time_the_newest_so_many(journal: Journal, archive: Archive):
    add(journal, a_record(1), now=NOW + 20)
    journal.append(pages("server.2", NOW - 1.5, packed([a_record(2)]), {}), NOW + 21)  # it was away for a while
    add(journal, a_replay(3, original=1), a_record(4), now=NOW + 30)

    def found(**chosen: object) -> list[int]:
        return [int(entry.row.id, 16) for entry in archive.entries(**chosen)]  # type: ignore[arg-type]

    assert found() == [2, 1, 4]
    assert found(originals=False) == [2, 1, 3, 4]
    assert found(last=2) == [2, 4]
    assert found(where="id=1 or id=2") == [2, 1]
    assert found(where="replay") == [3]


def test_entries_of_ids_come_in_order_of_time_and_all_ids_must_be_there(journal: Journal, archive: Archive):
    add(journal, *(a_record(number) for number in (1, 2, 3)))
    assert [int(entry.row.id, 16) for entry in archive.entries_of(["3", "1", "3"])] == [1, 3]
    with pytest.raises(NotFound, match="no request 9 is recorded"):
        list(archive.entries_of(["1", "9"]))


def test_entries_go_on_while_the_journal_is_written_and_pruned(journal: Journal, archive: Archive):
    for batch in range(4):
        add(journal, *(a_record(1000 * batch + number) for number in range(PAGE)), now=NOW + batch)
    entries = archive.entries()
    first = next(entries)
    while journal.prune(NOW + 4, 1.5, 1 << 30):
        pass
    add(journal, a_record(9999), now=NOW + 9)
    left = [int(entry.row.id, 16) for entry in entries]
    assert int(first.row.id, 16) == 0
    assert left[-1] == 3000 + PAGE - 1
    assert set(range(3000, 3000 + PAGE)) <= set(left)


def test_the_number_of_rows_is_known_whoever_has_written_and_pruned_them(journal: Journal, archive: Archive, path: str):
    add(journal, *(a_record(number) for number in range(700)))
    second = Journal.open_writer(path)
    add(second, a_record(900), a_record(901, flags=DEAD, status=502), now=NOW + 60)
    second.close()
    assert archive.query(RequestsQuery()).kept == 702
    while journal.prune(NOW + 60, 30.0, 1 << 30):
        pass
    found = archive.query(RequestsQuery(last=1000))
    assert found.kept == len(found.requests) == 2


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_journal_of_a_newer_version_is_refused_with_both_versions(journal: Journal, archive: Archive, path: str):
    journal._connection.execute("PRAGMA user_version = 7")
    with pytest.raises(JournalNewer, match="schema is version 7, this program knows 1"):
        archive.query(RequestsQuery())


def test_a_damaged_journal_is_said_in_one_line(archive: Archive, path: str):
    Path(path).parent.mkdir()
    Path(path).write_bytes(b"this is no database, and never was one" * 200)
    with pytest.raises(JournalDamaged) as caught:
        archive.query(RequestsQuery())
    assert str(caught.value).startswith(f"{path}: the journal is damaged")
    assert "\n" not in str(caught.value)


def test_a_block_that_cannot_be_read_is_said_in_one_line(journal: Journal, archive: Archive):
    add(journal, a_record(1))
    journal._connection.execute("UPDATE blocks SET records = x'c1c1'")
    with pytest.raises(JournalDamaged, match="cannot be read"):
        archive.entry("1")


def test_a_journal_that_was_set_aside_is_left_for_the_next(journal: Journal, archive: Archive, path: str):
    add(journal, a_record(1))
    assert ids(archive.query(RequestsQuery()).requests) == [1]
    journal.close()
    set_aside(path, "20260101")
    assert archive.query(RequestsQuery()).requests == []
    following = Journal.open_writer(path)
    add(following, a_record(2), now=NOW + 5)
    assert ids(archive.query(RequestsQuery()).requests) == [2]
    following.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may read and not write")
def test_who_may_read_but_not_write_there_sees_what_the_last_writer_has_left(journal: Journal, path: str):
    add(journal, a_record(1))
    journal.close()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = Path(folder) / "journal.db"
        copy.write_bytes(Path(path).read_bytes())
        copy.chmod(0o644)
        somebody = pwd.getpwnam(USER)
        pid = os.fork()
        if pid == 0:  # a process of our own: the interpreter's folder may be closed to others
            try:
                os.setgid(somebody.pw_gid)
                os.setuid(somebody.pw_uid)
                found = ids(Archive(str(copy)).query(RequestsQuery()).requests)
                os._exit(0 if found == [1] and sorted(os.listdir(folder)) == ["journal.db"] else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_who_may_not_read_it_is_told_so(tmp_path: Path):
    folder = tmp_path / "loop"
    folder.symlink_to(folder)
    with pytest.raises(JournalError, match="symbolic links"):
        Archive(str(folder / "journal.db")).query(RequestsQuery())


def test_reading_leaves_a_journal_as_it_was(journal: Journal, archive: Archive, path: str):
    add(journal, a_record(1))
    journal.close()
    before = Path(path).read_bytes()
    archive.query(RequestsQuery(where="path~x"))
    archive.entry("1")
    assert Path(path).read_bytes() == before
