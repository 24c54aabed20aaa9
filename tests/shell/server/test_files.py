"""The files that a server writes: unread answers, and lines shared with other servers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from primectl.server.appender import BYTES_A_TICK, Appender
from primectl.server.backlog import BLOCK, Backlog

ROOT = Path(__file__).parents[3]


# --- answers that clients have not read -------------------------------------------------------------------------------


def test_what_is_stored_is_read_back_wherever_it_is_cut(tmp_path: Path):
    backlog = Backlog(str(tmp_path))
    body = os.urandom(3 * BLOCK + 777)
    stored = backlog.store(memoryview(body))
    assert stored is not None
    assert len(stored) == len(body)
    assert stored[:] == body
    for start, stop in ((0, 1), (BLOCK - 1, BLOCK + 1), (BLOCK, 2 * BLOCK), (5, 3 * BLOCK + 5), (len(body) - 1, 10**9)):
        assert stored[start:stop] == body[start:stop]
    assert list(tmp_path.iterdir()) == [], "the file has no name"
    backlog.close()


def test_space_returns_with_the_last_reference_and_is_used_again(tmp_path: Path):
    backlog = Backlog(str(tmp_path), disk=4 * BLOCK)
    first, second = backlog.store(b"a" * 2 * BLOCK), backlog.store(b"b" * (BLOCK + 1))
    assert second is not None
    assert backlog.disk == 4 * BLOCK
    assert backlog.store(b"c" * BLOCK) is None
    assert backlog.failed == 1
    del first
    assert backlog.disk == 2 * BLOCK
    third = backlog.store(b"d" * 2 * BLOCK)
    assert third is not None
    assert (third[:], second[:]) == (b"d" * 2 * BLOCK, b"b" * (BLOCK + 1))
    del second, third
    assert backlog.disk == 0
    backlog.close()


def test_a_disk_without_room_is_told_by_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    backlog = Backlog(str(tmp_path))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        assert backlog.store(b"x" * BLOCK) is None
    assert (backlog.failed, backlog.disk) == (1, 0)
    stored = backlog.store(b"x" * BLOCK)
    assert stored is not None
    del stored
    backlog.close()


def test_after_a_failure_nothing_is_tried_before_the_next_tick(tmp_path: Path):
    backlog = Backlog(str(tmp_path), memory=10, disk=BLOCK)
    backlog.memory = 11
    assert backlog.over_budget
    assert backlog.store(b"x" * 2 * BLOCK) is None
    assert not backlog.over_budget
    backlog.tick()
    assert backlog.over_budget


def test_a_folder_that_is_not_there_is_told_by_none(tmp_path: Path):
    backlog = Backlog(str(tmp_path / "none"))
    assert backlog.store(b"x" * BLOCK) is None


# --- lines ------------------------------------------------------------------------------------------------------------


def test_lines_are_appended_and_one_older_file_is_kept(tmp_path: Path):
    path = tmp_path / "lines"
    appender = Appender(str(path), limit=30)
    for number in range(8):
        assert appender.add(b"line %04d\n" % number)
    assert path.read_bytes() == b"line 0006\nline 0007\n"
    assert Path(f"{path}.1").read_bytes() == b"line 0003\nline 0004\nline 0005\n"


def test_a_line_longer_than_the_limit_has_a_file_of_its_own(tmp_path: Path):
    path = tmp_path / "lines"
    appender = Appender(str(path), limit=10)
    assert appender.add(b"x" * 50 + b"\n")
    assert appender.add(b"y\n")
    assert path.read_bytes() == b"y\n"


def test_a_flood_is_dropped_until_the_next_tick(tmp_path: Path):
    path = tmp_path / "lines"
    appender = Appender(str(path))
    line = b"x" * (BYTES_A_TICK // 4 - 1) + b"\n"
    assert [appender.add(line) for _ in range(5)] == [True] * 4 + [False]
    assert (appender.dropped, appender.trouble) == (1, "too many at once")
    appender.tick()
    assert appender.add(line)
    assert path.stat().st_size == 5 * len(line)


def test_what_cannot_be_written_is_counted_and_why_is_known(tmp_path: Path):
    appender = Appender(str(tmp_path))
    assert not appender.add(b"x\n")
    assert (appender.dropped, appender.trouble) == (1, "Is a directory")


def test_several_processes_lose_no_line_while_the_file_is_renamed(tmp_path: Path):
    """Together they write more than one file takes and less than two, so nothing may be missing."""
    path = tmp_path / "lines"
    script = (
        "import sys\n"
        "from primectl.server.appender import Appender\n"
        "appender = Appender(sys.argv[1], limit=12_000)\n"
        "for number in range(500):\n"
        "    assert appender.add(b'%d %04d\\n' % (int(sys.argv[2]), number))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(number)], cwd=ROOT) for number in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    lines = [*Path(f"{path}.1").read_bytes().splitlines(), *path.read_bytes().splitlines()]
    assert all(len(line) == 6 for line in lines)
    for number in range(4):
        assert [int(line[2:]) for line in lines if line.startswith(b"%d " % number)] == list(range(500))
