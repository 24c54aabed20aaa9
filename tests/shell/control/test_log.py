"""A process's log: whole lines, none lost or doubled, whatever is rotated, whoever writes, however full the disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from primectl.control import log as log_module
from primectl.control.log import ProcessLog, stamp
from primectl.control.rotation import Limits, is_written, make_room

ROOT = Path(__file__).parents[3]
SMALL = Limits(4096, 1e9, 1000)
LINES = 3000


def files(path: Path) -> list[Path]:
    """A log's files, the oldest first."""
    older = [file for file in path.parent.glob(f"{path.name}.*") if file.suffix[1:].isdigit()]
    return [*sorted(older, key=lambda file: -int(file.suffix[1:])), *([path] if path.exists() else [])]


def lines(path: Path) -> list[str]:
    """All lines of all files, each file ending with a whole one."""
    whole = [file.read_text() for file in files(path)]
    assert all(text.endswith("\n") for text in whole if text)
    return "".join(whole).splitlines()


def as_one(path: Path) -> list[str]:
    return "".join(file.read_text() for file in files(path)).splitlines()


def a_log(tmp_path: Path, limits: Limits = SMALL) -> ProcessLog:
    return ProcessLog(str(tmp_path / "a.log"), limits, capture=False)


def in_a_process(code: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code as a process of the cluster would: its prints go to a.log in the folder."""
    begin = f"""
import os, subprocess, sys, threading, resource, ctypes
from primectl.control import prints
from primectl.control.log import ProcessLog
from primectl.control.rotation import Limits
path, arguments = {str(tmp_path / "a.log")!r}, sys.argv[1:]
def begin(limits):
    log = ProcessLog(path, limits)
    prints.belong_to(log)
    return log
"""
    return subprocess.run(
        [sys.executable, "-c", begin + code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def numbers(path: Path, writer: str) -> list[int]:
    return [int(line.split()[1]) for line in lines(path) if line.startswith(f"{writer} ")]


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_a_log_is_rotated_by_size_and_the_oldest_file_goes(tmp_path: Path) -> None:
    log = a_log(tmp_path, Limits(100, 1e9, 2))
    for number in range(5):
        log.write(f"{number} {'x' * 100}\n".encode())
        log.tend()
    log.close()
    assert [file.name for file in files(tmp_path / "a.log")] == ["a.log.2", "a.log.1", "a.log"]
    assert [line[0] for line in lines(tmp_path / "a.log")] == ["3", "4"]


def test_a_log_is_rotated_when_its_first_line_is_old(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"{stamp(time.time() - 7200)} INFO two hours ago\n")
    log = a_log(tmp_path, Limits(1 << 20, 10_000, 3))
    log.tend()
    assert len(files(tmp_path / "a.log")) == 1
    log.close()
    log = a_log(tmp_path, Limits(1 << 20, 3600, 3))
    log.tend()
    log.tend()
    log.info("now")
    assert [file.name for file in files(tmp_path / "a.log")] == ["a.log.1", "a.log"]
    assert lines(tmp_path / "a.log")[1].endswith(" INFO now")
    log.close()


def test_an_empty_log_is_not_rotated(tmp_path: Path) -> None:
    log = a_log(tmp_path, Limits(4096, 0.0, 3))
    log.tend()
    log.reopen(rotate=True)
    assert [file.name for file in files(tmp_path / "a.log")] == ["a.log"]
    log.close()


def test_a_log_that_was_renamed_by_somebody_else_goes_on_under_its_name(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.write(b"one\n")
    os.rename(tmp_path / "a.log", tmp_path / "a.log-20260101")
    log.write(b"two\n")
    log.reopen()
    log.write(b"three\n")
    log.reopen()
    assert (tmp_path / "a.log-20260101").read_text() == "one\ntwo\n"
    assert (tmp_path / "a.log").read_text() == "three\n"
    log.close()


def test_a_log_that_was_removed_is_begun_anew(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    os.unlink(tmp_path / "a.log")
    log.tend()
    log.write(b"here\n")
    assert (tmp_path / "a.log").read_text() == "here\n"
    log.close()


def test_rotation_on_command(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.write(b"one\n")
    log.reopen(rotate=True)
    log.write(b"two\n")
    assert (tmp_path / "a.log.1").read_text() == "one\n"
    assert (tmp_path / "a.log").read_text() == "two\n"
    log.close()


def test_a_line_that_has_no_end_yet_is_waited_for(tmp_path: Path) -> None:
    log = a_log(tmp_path, Limits(10, 1e9, 3))
    log.write(b"a whole line\nand a ha")
    log.tend()
    log.write(b"lf\n")
    log.tend()
    log.write(b"new\n")
    assert (tmp_path / "a.log.1").read_text() == "a whole line\nand a half\n"
    assert (tmp_path / "a.log").read_text() == "new\n"
    log.close()


def test_a_line_that_finds_no_end_does_not_keep_the_log_from_its_rotation(tmp_path: Path) -> None:
    log = a_log(tmp_path, Limits(10, 1e9, 3))
    log.write(b"a whole line\nand a ha")
    for _ in range(log_module.PATIENCE + 1):
        log.tend()
    log.write(b"lf\n")
    assert (tmp_path / "a.log.1").read_text() == "a whole line\nand a ha"
    assert (tmp_path / "a.log").read_text() == "lf\n"
    log.close()


def test_a_file_that_a_child_still_writes_is_not_the_one_that_goes(tmp_path: Path) -> None:
    for number, text in ((1, "new"), (2, "old"), (3, "oldest")):
        (tmp_path / f"a.log.{number}").write_text(text)
    with open(tmp_path / "a.log.3", "a") as child:
        assert is_written(str(tmp_path / "a.log.3"))
        assert make_room(str(tmp_path / "a.log"), 3)
        child.write(" and on")
    assert not is_written(str(tmp_path / "a.log.3"))
    assert (tmp_path / "a.log.3").read_text() == "oldest and on"
    assert (tmp_path / "a.log.2").read_text() == "new"
    assert not (tmp_path / "a.log.1").exists()


def test_files_that_are_all_written_still_are_bounded_in_number(tmp_path: Path) -> None:
    with open(tmp_path / "a.log.1", "a"), open(tmp_path / "a.log.2", "a") as older:
        assert not make_room(str(tmp_path / "a.log"), 2)
        assert os.fstat(older.fileno()).st_nlink == 0


# --- writers ----------------------------------------------------------------------------------------------------------

WRITE_ALL = '''
CHILD = """
import os
for number in range(%d): os.write(1, f"child {number} {'c' * 20}\\\\n".encode())
"""
def write(name):
    for number in range(LINES):
        print(name, number, "x" * 20)
def raw(name):
    for number in range(LINES):
        os.write(1, f"{name} {number} {'y' * 20}\\n".encode())
libc = ctypes.CDLL(None)
def in_c(name):
    for number in range(LINES):
        # As stdio does it for a line longer than its buffer: in pieces.
        libc.write(2, f"{name} {number} ".encode(), len(f"{name} {number} "))
        libc.write(2, b"zzz\\n", 4)
threads = [threading.Thread(target=target, args=(name,)) for name, target in (("A", write), ("B", write), ("C", raw))]
'''


def test_no_line_of_threads_and_children_is_lost_split_or_out_of_order_by_rotations(tmp_path: Path) -> None:
    code = f"""
LINES = {LINES}
{WRITE_ALL}
log = begin(Limits(4096, 1e9, 10_000))
child = subprocess.Popen([sys.executable, "-c", CHILD % LINES])
for thread in threads: thread.start()
while any(thread.is_alive() for thread in threads) or child.poll() is None:
    log.info("between")
    log.tend()
prints.finish()
"""
    in_a_process(code, tmp_path)
    assert len(files(tmp_path / "a.log")) > 3
    for writer in ("A", "B", "C", "child"):
        assert numbers(tmp_path / "a.log", writer) == list(range(LINES)), writer
    known = re.compile(r"[ABC] \d+ [xy]{20}|child \d+ c{20}|\S+Z INFO between")
    assert [line for line in lines(tmp_path / "a.log") if not known.fullmatch(line)] == []


def test_a_line_that_c_code_writes_in_pieces_is_whole_for_who_reads_the_files_one_after_the_other(
    tmp_path: Path,
) -> None:
    code = f"""
LINES = {10 * LINES}
{WRITE_ALL}
log = begin(Limits(4096, 1e9, 10_000))
thread = threading.Thread(target=in_c, args=("D",))
thread.start()
while thread.is_alive():
    log.tend()
"""
    in_a_process(code, tmp_path)
    assert len(files(tmp_path / "a.log")) > 3
    assert as_one(tmp_path / "a.log") == [f"D {number} zzz" for number in range(10 * LINES)]


def test_reopening_by_name_loses_nothing_either(tmp_path: Path) -> None:
    code = f"""
LINES = {LINES}
log = begin(Limits(1 << 30, 1e9, 3))
def write(name):
    for number in range(LINES):
        print(name, number)
threads = [threading.Thread(target=write, args=(name,)) for name in "AB"]
for thread in threads: thread.start()
moved = 0
while any(thread.is_alive() for thread in threads):
    os.rename(path, f"{{path}}.{{1_000_000 - moved}}")
    moved += 1
    log.reopen()
prints.finish()
"""
    in_a_process(code, tmp_path)
    assert len(files(tmp_path / "a.log")) > 3
    for writer in "AB":
        assert numbers(tmp_path / "a.log", writer) == list(range(LINES))


def test_a_forked_process_that_takes_a_log_of_its_own_leaves_its_parents_alone(tmp_path: Path) -> None:
    code = """
first = begin(Limits(4096, 1e9, 100))
print("of the parent")
held = sys.stdout
if os.fork() == 0:
    path = path.replace("a.log", "b.log")
    mine = ProcessLog(path, Limits(4096, 1e9, 100), instead_of=first)
    prints.belong_to(mine)
    for number in range(500):
        print("B", number, file=held)
        mine.tend()
    prints.finish()
    os._exit(0)
os.wait()
print("of the parent again")
from primectl.control.rotation import is_written
first.close()
os.close(1), os.close(2)
assert not is_written(arguments[0]), "somebody holds the log"
"""
    in_a_process(code, tmp_path, str(tmp_path / "a.log"))
    assert (tmp_path / "a.log").read_text() == "of the parent\nof the parent again\n"
    assert lines(tmp_path / "b.log") == [f"B {number}" for number in range(500)]


def test_what_threads_print_in_pieces_comes_as_whole_lines(tmp_path: Path) -> None:
    code = """
begin(Limits(1 << 20, 1e9, 3))
sys.setswitchinterval(1e-6)
def write(name):
    for number in range(500):
        print(name, end=" ", flush=True)
        print(number, end="")
        print()
threads = [threading.Thread(target=write, args=(name,)) for name in "ABC"]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("without an end", end="")
"""
    in_a_process(code, tmp_path)
    found = lines(tmp_path / "a.log")
    assert found.pop() == "without an end"
    assert sorted(found) == sorted(f"{name} {number}" for name in "ABC" for number in range(500))


def test_a_line_that_never_ends_is_handed_on(tmp_path: Path) -> None:
    code = """
begin(Limits(1 << 20, 1e9, 3))
for _ in range(100): print("x" * 999, end="")
os._exit(0)
"""
    in_a_process(code, tmp_path)
    assert (tmp_path / "a.log").stat().st_size > 80_000


# --- a full disk ------------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_nobody_and_drops_are_counted(tmp_path: Path) -> None:
    os.symlink("/dev/full", tmp_path / "a.log")
    code = """
log = begin(Limits(4096, 1e9, 3))
log.error("bad", "two\\nlines")
print("three\\nfour")
print("five", file=sys.stderr, flush=True)
log.tend()
log.reopen(rotate=True)
os.write(os.open(arguments[0], os.O_CREAT | os.O_WRONLY), str(log.dropped).encode())
"""
    in_a_process(code, tmp_path, str(tmp_path / "count"))
    assert (tmp_path / "count").read_text() == "6"


def test_the_log_says_how_many_lines_were_dropped_once_there_is_room(tmp_path: Path) -> None:
    code = """
log = begin(Limits(1 << 20, 1e9, 3))
log.write(b"before\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (12, resource.RLIM_INFINITY))
log.write(b"torn in two\\n")
print("gone")
log.write(b"gone\\ngone\\n")
log.tend()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.tend()
log.write(b"after\\n")
"""
    in_a_process(code, tmp_path)
    found = (tmp_path / "a.log").read_text().splitlines()
    assert found[:2] == ["before", "torn "]
    assert re.fullmatch(r"\S+Z WARN 4 lines of this log were dropped: File too large", found[2])
    assert found[3:] == ["after"]


def test_what_was_dropped_is_said_with_the_next_line_too(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log._lost(1, OSError(28, "No space left on device"))
    log.write(b"next\n")
    log.write(b"and next\n")
    found = (tmp_path / "a.log").read_text().splitlines()
    assert found[0].endswith(" WARN 1 line of this log was dropped: No space left on device")
    assert found[1:] == ["next", "and next"]
    log.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_small_disk_fills_up_and_has_room_again(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (tmp_path / "big").write_bytes(b"x" * 40_000)
        log = a_log(tmp_path, Limits(1 << 20, 1e9, 3))
        for number in range(2000):
            log.write(f"A {number} xxxxxxxxxxxxxxxxxxxxxxx\n".encode())
        assert log.dropped > 0
        (tmp_path / "big").unlink()
        log.tend()
        log.write(b"A 2000 last\n")
        log.close()
        found = (tmp_path / "a.log").read_text().splitlines()
        told = [int(match[1]) for line in found if (match := re.search(r"WARN (\d+) lines of this log were", line))]
        whole = [line for line in found if re.fullmatch(r"A \d+ (x{23}|last)", line)]
        assert sum(told) == log.dropped
        assert len(whole) + log.dropped == 2001
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_log_that_cannot_be_opened_drops_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    os.rename(tmp_path / "later", tmp_path / "gone")
    log = ProcessLog(str(tmp_path / "later" / "a.log"), SMALL, capture=False)
    log.write(b"nobody has it\n")
    assert log.dropped == 1
    os.rename(tmp_path / "gone", tmp_path / "later")
    log.tend()
    log.write(b"here\n")
    found = (tmp_path / "later" / "a.log").read_text().splitlines()
    assert "1 line of this log was dropped" in found[0]
    assert found[1:] == ["here"]
    log.close()
