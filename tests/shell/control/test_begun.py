"""What a worker has begun is read from its file after it was killed, and by its next life."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from primectl.config.topology import Place
from primectl.control.begun import BROKEN, RING, BegunLog, last_life, read_begun, running
from primectl.control.notes import NONE, Begun
from primectl.wire.job import JobId, first_job
from supervisor import runtime
from tests.support.jobs import job_id

LAST = JobId((1 << 64) - 1)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return Place("test", str(tmp_path), str(tmp_path), str(tmp_path)).begun_file("compute.1")


def begun(path: str) -> Begun:
    found = read_begun(path)
    assert found is not None
    return found


def test_a_worker_that_has_begun_nothing_has_lost_nothing(path: str):
    BegunLog(path).close()
    assert begun(path) == Begun(NONE, frozenset(), 0.0, frozenset())
    assert begun(path).lost() == frozenset()


def test_the_job_begun_last_is_current_whatever_its_method(path: str):
    log = BegunLog(path)
    log.begin(job_id(1), True, 1.0)
    log.begin(job_id(2), False, 2.0)
    assert begun(path).current == job_id(2)
    assert begun(path).lost() == {job_id(2)}


def test_every_job_that_may_run_only_once_is_remembered_and_no_other(path: str):
    log = BegunLog(path)
    for serial in range(1, 6):
        log.begin(job_id(serial), serial % 2 == 1, float(serial))
    assert begun(path).ids == {job_id(1), job_id(3), job_id(5)}
    assert begun(path).complete_since == 0.0


def test_the_largest_id_that_a_server_can_give_is_kept_whole(path: str):
    log = BegunLog(path)
    log.begin(LAST, True, 1.0)
    assert begun(path).current == LAST
    assert begun(path).ids == {LAST}


def test_once_older_jobs_are_forgotten_the_file_says_since_when_it_knows(path: str):
    log = BegunLog(path)
    for serial in range(1, RING + 1):
        log.begin(first_job(1, serial), True, float(serial))
    assert begun(path).complete_since == 0.0
    log.begin(first_job(1, RING + 1), True, RING + 1.0)
    assert begun(path).complete_since == 2.0
    assert begun(path).ids == {first_job(1, serial) for serial in range(2, RING + 2)}


def test_a_worker_that_rests_loses_nothing_when_it_goes(path: str):
    log = BegunLog(path)
    log.begin(job_id(1), True, 1.0)
    log.rest()
    assert begun(path).lost() == frozenset()
    assert begun(path).ids == {job_id(1)}


def test_the_next_life_of_a_worker_keeps_what_the_last_one_ended_in(path: str):
    for serial in (1, 2):
        log = BegunLog(path)
        log.begin(job_id(serial), serial == 1, float(serial))
        log.close()
    BegunLog(path).close()
    found = begun(path)
    assert (found.current, found.broken, found.ids) == (NONE, {job_id(1), job_id(2)}, {job_id(1)})
    assert found.lost() == {job_id(1), job_id(2)}


def test_the_lives_that_are_told_of_are_bounded(path: str):
    for serial in range(1, 3 * BROKEN + 1):
        log = BegunLog(path)
        log.begin(job_id(serial), False, 1.0)
        log.close()
    BegunLog(path).close()
    assert begun(path).broken == {job_id(serial) for serial in range(2 * BROKEN + 1, 3 * BROKEN + 1)}


def test_notes_from_before_the_host_was_booted_are_not_believed(path: str):
    log = BegunLog(path)
    log.begin(job_id(1), True, time.monotonic() + 1000.0)
    log.close()
    BegunLog(path).close()
    assert begun(path) == Begun(NONE, frozenset(), 0.0, frozenset())


@pytest.mark.parametrize("content", [b"", b"no log", bytes(1 << 17)])
def test_what_is_no_log_of_ours_tells_nothing_and_is_begun_anew(path: str, content: bytes):
    Path(path).write_bytes(content)
    assert read_begun(path) is None
    log = BegunLog(path)
    log.begin(job_id(1), True, 1.0)
    assert begun(path).ids == {job_id(1)}


def test_no_file_tells_nothing(path: str):
    assert read_begun(path) is None


def test_a_file_that_cannot_be_made_is_an_error(tmp_path: Path):
    with pytest.raises(OSError, match="nowhere"):
        BegunLog(str(tmp_path / "nowhere" / "compute.1.begun"))


def test_a_clean_stop_leaves_no_such_file_behind(tmp_path: Path):
    runtime_folder = tmp_path / "run"
    place = Place("test", str(runtime_folder), str(tmp_path / "state"), str(runtime_folder))
    runtime.prepare_folders(place)
    lock = runtime.Lock(place)
    BegunLog(place.begun_file("compute.1")).close()
    runtime.remove_files(place, lock)
    assert not runtime_folder.exists()


def test_what_a_worker_began_directly_before_sigkill_is_there(path: str):
    source = f"""
import signal
from primectl.control.begun import BegunLog
log = BegunLog({path!r})
log.begin({job_id(1)}, True, 1.0)
log.begin({job_id(2)}, True, 2.0)
signal.raise_signal(signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", source], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert begun(path).ids == {job_id(1), job_id(2)}
    assert begun(path).lost() == {job_id(2)}
    assert not begun(path).alive


def test_a_worker_counts_as_alive_for_as_long_as_its_process_lives(path: str):
    source = f"""
import sys
from primectl.control.begun import BegunLog
log = BegunLog({path!r})
print("begun", flush=True)
sys.stdin.read()
"""
    worker = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"begun\n"
        assert begun(path).alive
        worker.send_signal(signal.SIGSTOP)
        assert begun(path).alive
        worker.kill()
        worker.wait()
    assert not begun(path).alive


def test_which_life_has_noted_last_tells_its_job_from_that_of_the_one_before(path: str):
    assert last_life(path) is running(path) is None
    log = BegunLog(path)
    log.begin(job_id(7), False, 1.0)
    assert (last_life(path), running(path)) == ((1, job_id(7)), job_id(7))
    log.close()
    assert last_life(path) == (1, job_id(7)), "the next has ended before it noted anything"
    BegunLog(path).close()
    assert last_life(path) == (2, NONE)
    Path(path).write_bytes(b"no notes of ours, but long enough to be read" * 8)
    assert last_life(path) is None
