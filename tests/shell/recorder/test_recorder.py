"""The recorder as a process: what it writes, what it says to servers, what becomes of it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from primectl.config.model import JournalConfig
from primectl.config.topology import RECORDER
from primectl.journal.store import Journal, connect
from primectl.wire import frames
from primectl.wire.control import Dump, KillNow, Refusal, Reread, Retire, process_topic, role_topic
from primectl.wire.journal import DEAD, Entry, EntryQuery, Requests, RequestsQuery
from primectl.wire.stats import Acknowledged, Dumped, Report
from tests.support.plane import Plane, exit_status, random_frames, wait_for
from tests.support.recording import Recording, Server, a_recording, reconfigure, records
from tests.support.records import a_record, asked

ME = process_topic(RECORDER)


@pytest.fixture
def recording() -> Iterator[Recording]:
    with a_recording() as recording:
        yield recording


def wait_for_report(recording: Recording, kind: type[Report], what: str) -> Report:
    found: list[Report] = []

    def look() -> bool:
        found.extend(each.report for each in recording.plane.reports(wait_ms=20) if isinstance(each.report, kind))
        return bool(found)

    wait_for(look, what)
    return found[0]


# --- records ----------------------------------------------------------------------------------------------------------


def test_what_a_server_says_is_written_and_then_it_is_told_so(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 3))
    server.say(*records(4, 5))
    server.hear(5)
    assert recording.ids() == [1, 2, 3, 4, 5]


def test_several_servers_are_told_what_is_written_of_theirs(recording: Recording):
    servers = [Server(recording.plane, f"server.{number}", 7 + number) for number in (1, 2, 3)]
    for number, server in enumerate(servers):
        server.say(*records(number * 10 + 1, number * 10 + number + 1))
    for number, server in enumerate(servers):
        server.hear(number + 1)
    assert sorted(recording.ids()) == [1, 11, 12, 21, 22, 23]


def test_secrets_are_never_in_any_file(recording: Recording):
    server = Server(recording.plane)
    server.say(a_record(1, request=asked(fields=(("Authorization", "Sesame-open-up"),))))
    server.hear(1)
    found = [path for path in Path(recording.path).parent.iterdir() if path.is_file()]
    assert {path.name for path in found} >= {"journal.db", "journal.db-wal", "journal.key"}
    for path in found:
        assert b"Sesame-open-up" not in path.read_bytes()
    assert b"redacted:14:" in Path(f"{recording.path}-wal").read_bytes()


def test_only_the_owner_may_read_what_is_recorded(recording: Recording):
    for name in ("journal.db", "journal.db-wal", "journal.db-shm", "journal.key"):
        assert stat.S_IMODE((Path(recording.path).parent / name).stat().st_mode) == 0o600


def test_a_replay_that_succeeds_redeems_the_dead_letter(recording: Recording):
    server = Server(recording.plane)
    mark = (("x-primectl-replay", f"0123abcd/{1:013x}"),)
    server.say(a_record(1, status=502, flags=DEAD))
    server.say(a_record(2, request=asked(fields=mark)))
    server.hear(2)
    dead, replay = recording.rows()
    assert (dead.dead, dead.redeemed) == (True, True)
    assert (replay.replay_of, replay.replay_run) == (dead.id, "0123abcd")


def test_frames_that_are_none_of_ours_are_counted_and_hurt_nobody(recording: Recording):
    server = Server(recording.plane)
    made = random_frames()
    for message in made:
        server.out.send_multipart(message)
    server.say(*records(1, 1))
    server.hear(1)
    assert recording.ids() == [1]
    recording.sample(lambda sample: sample.counters["malformed"] >= len(made), "the malformed ones counted")


def test_records_that_cannot_be_read_are_left_out_and_those_around_them_kept(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 1))
    server.out.send(frames.encode(("E", "server.1", 9, 2, 1e9, 0, [["no", "record"]])))
    server.say(*records(3, 3), first=3)
    server.hear(3)
    assert recording.ids() == [1, 3]
    recording.sample(lambda sample: sample.counters["malformed"] == 1, "the malformed one counted")


def test_what_was_dropped_is_not_lost_and_what_never_came_is(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 1))
    server.say(*records(5, 5), first=5, dropped=3)
    server.say(*records(8, 8), first=8, dropped=3)
    server.hear(8)
    recording.sample(lambda sample: sample.lost == 2, "two rows lost")


def test_it_tells_what_it_has(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 7))
    server.hear(7)
    sample = recording.sample(lambda sample: sample.kept == 7, "seven rows")
    files = sum(os.stat(f"{recording.path}{end}").st_size for end in ("", "-wal"))
    assert (sample.rows, sample.size, sample.oldest, sample.trouble) == (7, files, 1.7e9 + 1, "")


# --- its death --------------------------------------------------------------------------------------------------------


def test_what_was_said_to_be_written_outlives_a_sigkill_and_the_rest_comes_again(recording: Recording):
    """Killed between two commits of many: with each one a thousand rows or so are written, and 5000 are under way."""
    server = Server(recording.plane)
    sent = cut_off = 0
    for _ in range(3):
        before = sent
        for _ in range(100):
            server.say(*records(sent + 1, sent + 50), first=sent + 1)
            sent += 50
        server.hear(before + 1)
        recording.kill()
        known = server.written
        cut_off += sent - known
        assert recording.ids()[:known] == list(range(1, known + 1))
        server.link_anew(recording.start)
        for first in range(known + 1, sent + 1, 50):
            server.say(*records(first, min(first + 49, sent)), first=first)
        server.hear(sent)
        assert recording.ids() == list(range(1, sent + 1))
    assert cut_off > 0
    recording.sample(lambda sample: sample.lost == 0, "nothing lost")


def test_what_was_written_but_not_said_to_be_is_not_written_twice(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 20))
    server.hear(20)
    recording.kill()
    server.link_anew(recording.start)
    server.say(*records(1, 10), first=1)
    server.say(*records(11, 30), first=11)
    server.hear(30)
    assert recording.ids() == list(range(1, 31))


def test_told_to_leave_it_writes_what_has_come_and_tells_it(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 1))
    server.hear(1)
    recording.process.send_signal(signal.SIGSTOP)
    for number in range(2, 200):
        server.say(*records(number, number))
    recording.plane.tell(ME, Retire(5))
    recording.process.send_signal(signal.SIGCONT)
    assert exit_status(recording.process) == 0
    server.hear(199)
    assert not Path(f"{recording.path}-wal").exists()
    assert len(recording.ids()) == 199


def test_sigterm_is_the_same(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 3))
    server.hear(3)
    recording.process.terminate()
    assert exit_status(recording.process) == 0


def test_killed_it_leaves_at_once(recording: Recording):
    recording.plane.tell(role_topic(RECORDER), KillNow(5))
    assert exit_status(recording.process) == 0


def test_it_says_where_it_is(recording: Recording):
    recording.plane.tell(ME, Dump(3))
    report = wait_for_report(recording, Dumped, "the dump")
    assert isinstance(report, Dumped)
    assert "questions" in report.text


def test_new_settings_are_taken_while_it_runs(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 1))
    server.hear(1)
    reconfigure(recording.plane, redact_headers=("x-mine",), keep=0.001)
    recording.plane.tell(ME, Reread(4))
    wait_for_report(recording, Acknowledged, "the acknowledgement")
    server.say(a_record(2, request=asked(fields=(("X-Mine", "Sesame"),))), first=2)
    server.hear(2)
    wait_for(lambda: 1 not in recording.ids(), "the old row gone")
    assert b"Sesame" not in Path(f"{recording.path}-wal").read_bytes()


def test_a_mistake_of_its_own_ends_it_where_everybody_can_see(recording: Recording):
    recording.kill()
    server = Server(recording.plane)
    server.link_anew(lambda: recording.plane.start("tests.support.broken_recorder", RECORDER, 2))
    server.say(*records(1, 1))
    assert exit_status(recording.plane.processes[-1]) == 1
    assert "ZeroDivisionError: a mistake" in recording.plane.log(RECORDER)


# --- what can happen to the file --------------------------------------------------------------------------------------


def aside(recording: Recording) -> list[Path]:
    folder = Path(recording.path).parent
    return sorted(path for path in folder.glob("journal.db.damaged-*") if not path.name.endswith(("-wal", "-shm")))


@pytest.mark.parametrize("content", [b"garbage " * 4096, b"SQLite format 3\0" + bytes(100)])
def test_a_file_that_is_no_journal_is_set_aside_and_said_so(content: bytes):
    with a_recording(prepare=lambda plane: Path(plane.place.journal_file).write_bytes(content)) as recording:
        server = Server(recording.plane)
        server.say(*records(1, 1))
        server.hear(1)
        assert recording.ids() == [1]
        [found] = aside(recording)
        assert found.read_bytes() == content
        assert "is damaged" in recording.plane.log(RECORDER)
        assert found.name in recording.plane.log(RECORDER)


def test_a_file_that_is_damaged_while_it_is_written_is_set_aside(recording: Recording):
    server = Server(recording.plane)
    server.say(*[a_record(number, body=bytes(5000)) for number in range(1, 2001)])
    server.hear(2000)
    with open(recording.path, "r+b") as file:  # all but its first page, under the recorder's hands
        size = os.fstat(file.fileno()).st_size
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with open(f"{recording.path}-wal", "r+b") as file:
        file.write(b"\xa5" * os.fstat(file.fileno()).st_size)
    number = 2001
    while not aside(recording):
        server.say(*[a_record(each, body=bytes(5000)) for each in range(number, number + 200)], first=number)
        number += 200
        server.hear(number - 1)
        assert number < 40_000, "nothing was noticed"
    server.say(a_record(7), first=number)
    server.hear(number)
    assert recording.ids()[-1] == 7
    assert recording.process.poll() is None


def test_a_file_that_was_cut_short_is_set_aside():
    def cut(plane: Plane) -> None:
        journal = Journal.open_writer(plane.place.journal_file)
        journal.close()
        os.truncate(plane.place.journal_file, 6000)

    with a_recording(prepare=cut) as recording:
        server = Server(recording.plane)
        server.say(*records(1, 1))
        server.hear(1)
        assert recording.ids() == [1]
        assert len(aside(recording)) == 1


def test_a_file_that_was_removed_is_begun_anew(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 1))
    server.hear(1)
    for end in ("", "-wal", "-shm"):
        Path(f"{recording.path}{end}").unlink()
    wait_for(lambda: Path(recording.path).exists(), "a new journal")
    server.say(*records(2, 2))
    server.hear(2)
    assert recording.ids() == [2]


def newer(plane: Plane) -> None:
    Journal.open_writer(plane.place.journal_file).close()
    with sqlite3.connect(plane.place.journal_file) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()


def test_a_journal_of_a_newer_version_is_left_alone_until_it_is_moved_away():
    with a_recording(prepare=newer) as recording:
        before = Path(recording.path).read_bytes()
        server = Server(recording.plane)
        server.say(*records(1, 5))
        server.hear(5)  # they can be forgotten: nobody will ever write them
        sample = recording.sample(lambda sample: sample.refused == 5, "five rows refused")
        assert "version 9" in sample.trouble
        assert "knows 1" in sample.trouble
        assert Path(recording.path).read_bytes() == before
        Path(recording.path).rename(f"{recording.path}.newer")
        recording.sample(lambda sample: not sample.trouble, "recording again")
        server.say(*records(6, 6))
        server.hear(6)
        assert recording.ids() == [6]


def limit_file_size(pid: int, size: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_on_a_full_disk_recording_stops_says_so_and_resumes_with_what_waited(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 1))
    server.hear(1)
    limit_file_size(recording.process.pid, 8192)
    server.say(*[a_record(number, body=bytes(5000)) for number in range(2, 102)])
    sample = recording.sample(lambda sample: bool(sample.trouble), "the trouble")
    assert "the disk" in sample.trouble
    assert server.written == 1
    limit_file_size(recording.process.pid, resource.RLIM_INFINITY)
    server.hear(101)
    assert recording.ids() == list(range(1, 102))
    sample = recording.sample(lambda sample: not sample.trouble, "recording again")
    assert sample.refused == 0


def test_on_a_full_disk_what_waits_is_bounded_and_the_rest_is_refused(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 1))
    server.hear(1)
    limit_file_size(recording.process.pid, 8192)
    for number in range(2, 802):
        server.say(a_record(number, body=bytes(60_000)), first=number)
    sample = recording.sample(lambda sample: sample.refused > 400, "most of them refused")
    assert sample.trouble
    limit_file_size(recording.process.pid, resource.RLIM_INFINITY)
    server.hear(801)
    assert len(recording.ids()) == 801 - recording.sample(lambda sample: not sample.trouble, "the end").refused


def test_a_folder_that_may_not_be_written_is_told_and_tried_again():
    """Root may write anywhere, so the file's name is taken by a folder instead."""
    with a_recording(prepare=lambda plane: Path(plane.place.journal_file).mkdir()) as recording:
        sample = recording.sample(lambda sample: bool(sample.trouble), "the trouble")
        assert recording.path in sample.trouble
        Path(recording.path).rmdir()
        recording.sample(lambda sample: not sample.trouble, "recording")
        server = Server(recording.plane)
        server.say(*records(1, 1))
        server.hear(1)


def test_another_writer_is_waited_for(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 1))
    server.hear(1)
    other = connect(recording.path, write=True)
    other.execute("BEGIN IMMEDIATE")
    server.say(*records(2, 2))
    recording.sample(lambda sample: "another process is writing" in sample.trouble, "the trouble")
    other.execute("COMMIT")
    other.close()
    server.hear(2)
    assert recording.ids() == [1, 2]


def test_the_journal_stays_as_small_as_it_shall_be_while_rows_come():
    most = 2 << 20
    with a_recording(JournalConfig(max_size=most)) as recording:
        server = Server(recording.plane)
        number = 1
        for _ in range(30):
            server.say(*[a_record(each, body=bytes(2000)) for each in range(number, number + 200)])
            number += 200
            server.hear(number - 1)
        recording.sample(lambda sample: sample.rows == 6000 and sample.size <= most * 1.25, "a small journal")
        ids = recording.ids()
        assert ids == list(range(ids[0], 6001))
        assert len(ids) > 200


# --- questions --------------------------------------------------------------------------------------------------------


def test_rows_and_entries_are_answered(recording: Recording):
    server = Server(recording.plane)
    server.say(*records(1, 3))
    server.hear(3)
    reply = recording.ask("/requests", RequestsQuery(last=2))
    assert reply.status == 200
    assert [row.id for row in frames.body(reply.body, Requests).requests] == [f"{3:013x}", f"{2:013x}"]
    reply = recording.ask("/requests/entry", EntryQuery(f"{2:013x}"))
    assert reply.status == 200
    assert frames.body(reply.body, Entry).target == "/is_prime?possible_prime=7"


@pytest.mark.parametrize(
    ("path", "body", "status", "what"),
    [
        ("/requests", RequestsQuery(where="status >="), 400, "status >="),
        ("/requests/entry", EntryQuery("00000000000ff"), 404, "00000000000ff"),
        ("/nothing", RequestsQuery(), 404, "/nothing"),
        ("/requests/entry", RequestsQuery(), 400, "EntryQuery"),
    ],
)
def test_what_cannot_be_answered_is_said_in_words(
    recording: Recording, path: str, body: RequestsQuery | EntryQuery, status: int, what: str
):
    reply = recording.ask(path, body)
    assert reply.status == status
    assert what in frames.body(reply.body, Refusal).what


def test_a_question_to_a_journal_of_a_newer_version_is_refused_with_the_version():
    with a_recording(prepare=newer) as recording:
        reply = recording.ask("/requests", RequestsQuery())
        assert reply.status == 500
        assert "version 9" in frames.body(reply.body, Refusal).what
