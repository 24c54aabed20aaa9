"""Folders, lock, state file, logs and events: what the supervisor keeps on disk."""

import os
import signal
import subprocess
import sys

import pytest

from primectl.clock import SystemClock
from primectl.config.topology import Place
from primectl.errors import CommandRefused, ConfigError
from primectl.wire.control import EventsQuery
from primectl.wire.stats import LogLine
from supervisor import adopt, kernel, logread, runtime
from supervisor.eventlog import EventLog
from supervisor.events import Kind, Tell
from supervisor.logtail import LINES_A_TURN, LogTail
from supervisor.statefile import Entry, State, read_state, write_state


@pytest.fixture
def place(tmp_path):
    made = Place("test", str(tmp_path / "run" / "test"), str(tmp_path / "state"), str(tmp_path / "run" / "test"))
    runtime.prepare_folders(made)
    return made


# --- folders and lock -------------------------------------------------------------------------------------------------


def test_a_folder_that_others_could_enter_is_made_private(tmp_path):
    (tmp_path / "run").mkdir(mode=0o777)
    (tmp_path / "run" / "test").mkdir(mode=0o755)
    runtime.prepare_folders(Place("test", f"{tmp_path}/run/test", f"{tmp_path}/state", f"{tmp_path}/run/test"))
    assert (tmp_path / "run" / "test").stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "test").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is no folder"):
        runtime.prepare_folders(Place("test", f"{tmp_path}/run/test", f"{tmp_path}/state", f"{tmp_path}/run/test"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path):
    (tmp_path / "run" / "test").mkdir(parents=True)
    os.chown(tmp_path / "run" / "test", 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345, not to you"):
        runtime.prepare_folders(Place("test", f"{tmp_path}/run/test", f"{tmp_path}/state", f"{tmp_path}/run/test"))


def test_the_lock_is_for_one_and_names_its_holder(place):
    lock = runtime.Lock(place)
    with pytest.raises(CommandRefused, match=f"its supervisor is process {os.getpid()}"):
        runtime.Lock(place)
    lock.remove()
    runtime.Lock(place).remove()
    assert os.listdir(place.runtime) == []


# --- the state file ---------------------------------------------------------------------------------------------------


@pytest.fixture
def sleeper():
    processes = []

    def start(code="import signal; signal.pause()"):
        process = subprocess.Popen([sys.executable, "-c", f"print(flush=True); {code}"], stdout=subprocess.PIPE)
        processes.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def end_leftovers(place):
    with adopt.Estate(place) as estate:
        return estate.end(SystemClock())


def entry(process, ticks=None, role=Kind.WORKER):
    return Entry("w.1", role, "w", process.pid, 1, kernel.start_ticks(process.pid) if ticks is None else ticks)


def test_a_leftover_is_found_by_the_state_file_and_ended(place, sleeper):
    process = sleeper()
    write_state(place, State(kernel.boot_id(), [entry(process)]))
    assert end_leftovers(place) == ["w.1"]
    assert process.wait() == -signal.SIGTERM


def test_a_process_that_took_over_the_pid_is_left_alone(place, sleeper):
    process = sleeper()
    write_state(place, State(kernel.boot_id(), [entry(process, ticks=1)]))
    with adopt.Estate(place) as estate:
        assert (estate.alive, [each.id for each in estate.fallen]) == ([], ["w.1"])
    assert end_leftovers(place) == []
    assert process.poll() is None


def test_a_state_file_of_another_boot_names_nobody(place, sleeper):
    write_state(place, State("another", [entry(sleeper())]))
    assert read_state(place) is None
    assert end_leftovers(place) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"boot": 1}', b"\xff\xfe"])
def test_a_broken_state_file_names_nobody(place, content):
    with open(place.state_file, "wb") as file:
        file.write(content)
    assert read_state(place) is None
    assert end_leftovers(place) == []


def test_who_does_not_leave_gets_sigkill(place, sleeper):
    process = sleeper("import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()")
    process.stdout.readline()
    write_state(place, State(kernel.boot_id(), [entry(process)]))
    assert end_leftovers(place) == ["w.1"]
    assert process.wait() == -signal.SIGKILL


# --- logs -------------------------------------------------------------------------------------------------------------


def merged(place, processes, lines):
    steps = logread.merged(place, processes, lines)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def append(place, process, text):
    with open(place.log_file(process), "a") as file:
        file.write(text)


def test_logs_are_merged_by_time_and_lines_without_one_stay_with_the_line_above(place):
    append(place, "a.1", "2026-01-01T00:00:01.000Z ERROR bad\n  | trace\n2026-01-01T00:00:03.000Z INFO late\n")
    append(place, "b.1", "2026-01-01T00:00:02.000Z INFO middle\n")
    assert [line.text[-6:].strip() for line in merged(place, ["a.1", "b.1"], 10)] == [
        "OR bad",
        "trace",
        "middle",
        "O late",
    ]
    assert len(merged(place, ["a.1", "b.1"], 2)) == 2
    assert merged(place, ["a.1"], -5) == []


def test_a_log_that_was_just_rotated_is_read_on_in_the_older_file(place):
    append(place, "a.1", "old\n")
    os.rename(place.log_file("a.1"), f"{place.log_file('a.1')}.1")
    append(place, "a.1", "new\n")
    assert [line.text for line in merged(place, ["a.1"], 5)] == ["old", "new"]


def test_only_lines_of_this_life_explain_its_end(place):
    append(place, "a.1", "earlier\n")
    since = logread.size(place.log_file("a.1"))
    append(place, "a.1", "later\n")
    assert logread.lines_of_life(place.log_file("a.1"), 20, since) == ["later"]


def test_the_last_lines_of_a_life_are_found_after_rotations_too(place):
    path = place.log_file("a.1")
    append(place, "a.1", "earlier life\n")
    since = logread.size(path)
    append(place, "a.1", "one\n")
    os.rename(path, f"{path}.1")
    append(place, "a.1", "two\n")
    assert logread.lines_of_life(path, 20, since) == ["one", "two"]
    os.rename(f"{path}.1", f"{path}.2")
    os.rename(path, f"{path}.1")
    append(place, "a.1", "")
    assert logread.lines_of_life(path, 20, since) == ["one", "two"]
    assert logread.lines_of_life(path, 1, since) == ["two"]
    assert logread.lines_of_life(path, 20, since, most_bytes=6) == ["two"]


def test_control_characters_of_a_log_reach_nobodys_terminal(place):
    append(place, "a.1", "\x1b[2Jgone\x07\n")
    assert [line.text for line in merged(place, ["a.1"], 1)] == ["\\x1b[2Jgone\\x07"]


@pytest.fixture
def tail(place):
    append(place, "a.1", "before\n")
    opened = LogTail(place)
    opened.open()
    yield opened
    opened.close()


def texts(published):
    return [] if published is None else [line.text for line in published.lines]


def test_the_tail_has_what_is_written_from_now_on_whole_lines_only(place, tail):
    assert tail.read() is None
    append(place, "a.1", "one\ntw")
    assert texts(tail.read()) == ["one"]
    append(place, "a.1", "o\n")
    assert texts(tail.read()) == ["two"]


def test_the_tail_follows_a_rotation_and_loses_nothing(place, tail):
    append(place, "a.1", "last of the old\n")
    os.rename(place.log_file("a.1"), f"{place.log_file('a.1')}.1")
    append(place, "a.1", "first of the new\n")
    assert texts(tail.read()) == ["last of the old", "first of the new"]


def test_a_log_that_comes_later_is_tailed_from_its_start(place, tail):
    append(place, "b.1", "hello\n")
    assert tail.read().lines == [LogLine("b.1", "hello")]


def test_what_comes_too_fast_is_skipped_and_said_to_be(place, tail):
    append(place, "a.1", "".join(f"line {number}\n" for number in range(100_000)))
    published = tail.read()
    assert len(published.lines) == LINES_A_TURN
    assert published.skipped == 100_000 - LINES_A_TURN
    assert published.lines[-1].text == "line 99999"


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_are_numbered_on_across_supervisors(tmp_path):
    path = str(tmp_path / "events.jsonl")
    first = EventLog(path)
    first.add(1.0, Tell("running", "test", "running"))
    first.flush()
    first.close()
    with open(path, "a") as file:
        file.write('{"number": 2, "time"')
    second = EventLog(path)
    assert second.add(2.0, Tell("stopped", "test", "stopped", "alice")).number == 2
    second.flush()
    assert [event.kind for event in second.answer(EventsQuery(10))] == ["running", "stopped"]
    assert second.answer(EventsQuery(0)) == []
    second.close()
    third = EventLog(path)  # what was cut off has spoilt no line after it
    assert [event.kind for event in third.answer(EventsQuery(10))] == ["running", "stopped"]
    third.close()


def test_the_event_file_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("supervisor.eventlog.FILE_BYTES", 2000)
    log = EventLog(str(tmp_path / "events.jsonl"))
    for _ in range(200):
        log.add(1.0, Tell("crashed", "w.1", "x" * 100))
        log.flush()
    log.close()
    assert sorted(os.listdir(tmp_path)) == ["events.jsonl", *(f"events.jsonl.{older}" for older in (1, 2, 3))]
    assert all(os.stat(tmp_path / name).st_size < 2500 for name in os.listdir(tmp_path))


def test_numbers_go_on_although_the_file_was_just_begun_anew(tmp_path):
    path = str(tmp_path / "events.jsonl")
    log = EventLog(path)
    log.add(1.0, Tell("running", "test", "running"))
    log.flush()
    log.close()
    os.rename(path, f"{path}.1")
    again = EventLog(path)
    assert again.add(2.0, Tell("stopped", "test", "stopped")).number == 2
    assert [event.number for event in again.answer(EventsQuery(10))] == [1, 2]
    again.close()


def test_changes_of_state_are_told_to_those_who_ask_for_them_and_push_nothing_else_out(tmp_path, monkeypatch):
    monkeypatch.setattr("supervisor.eventlog.KEPT", 5)
    log = EventLog(str(tmp_path / "events.jsonl"))
    log.add(1.0, Tell("scale", "work", "scale work from 1 to 64", "ana", "1", "64"))
    for worker in range(64):
        log.add(1.0, Tell("state", f"work.{worker}", "starting -> running"))
    assert [event.number for event in log.flush()] == list(range(1, 66))
    assert [event.kind for event in log.answer(EventsQuery(10))] == ["scale"]
    assert [event.number for event in log.answer(EventsQuery(3, states=True))] == [63, 64, 65]
    assert [event.number for event in log.answer(EventsQuery(2, since=60, states=True))] == [61, 62]
    log.close()


def test_events_that_a_full_disk_does_not_take_are_counted_and_remembered(tmp_path):
    os.symlink("/dev/full", tmp_path / "events.jsonl")
    log = EventLog(str(tmp_path / "events.jsonl"))
    for _ in range(3):
        log.add(1.0, Tell("running", "test", "running"))
    assert len(log.flush()) == 3
    assert log.dropped == 3
    assert [event.number for event in log.answer(EventsQuery(9))] == [1, 2, 3]
    log.close()
