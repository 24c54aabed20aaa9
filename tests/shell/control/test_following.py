"""Following a log: every line once and in order, however often it was rotated between two looks."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from primectl.control.following import LogReader, chain
from primectl.control.log import ProcessLog
from primectl.control.rotation import Limits


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "a.log")


def write(path: str, *lines: str, end: str = "\n") -> None:
    with open(path, "a") as file:
        file.write("".join(f"{line}{end}" for line in lines))


def rotate(path: str, keep: int = 3) -> None:
    for number in range(keep, 0, -1):
        older = f"{path}.{number - 1}" if number > 1 else path
        if os.path.exists(older):
            os.replace(older, f"{path}.{number}")


def read(reader: LogReader, most: int = 1 << 20) -> list[str]:
    reader.look()
    return [line.decode() for line in reader.read(most)]


def test_any_number_of_rotations_between_two_looks_loses_nothing(path: str) -> None:
    write(path, "before")
    reader = LogReader(path, from_end=True)
    write(path, "one")
    for name in ("two", "three", "four"):
        rotate(path)
        write(path, name)
    assert read(reader) == ["one", "two", "three", "four"]
    assert read(reader) == []
    reader.close()


def test_a_file_that_was_removed_meanwhile_is_still_read_to_its_end(path: str) -> None:
    write(path, "before")
    reader = LogReader(path, from_end=True)
    write(path, "last of the old")
    for name in ("lost 1", "lost 2", "two", "three", "four"):
        rotate(path, keep=2)
        write(path, name)
    assert read(reader) == ["last of the old", "two", "three", "four"]
    reader.close()


def test_a_full_file_that_a_child_still_writes_is_read_on(path: str) -> None:
    write(path, "one")
    reader = LogReader(path, from_end=True)
    with open(path, "a") as child:
        rotate(path)
        write(path, "two")
        assert read(reader) == ["two"]
        child.write("of the child\n")
        child.flush()
        assert read(reader) == ["of the child"]
    reader.close()


def test_the_end_of_a_line_is_waited_for_across_a_rotation(path: str) -> None:
    write(path, "")
    reader = LogReader(path, from_end=True)
    with open(path, "a") as child:
        child.write("ha")
        child.flush()
        assert read(reader) == []
        rotate(path)
        write(path, "new")
        assert read(reader) == ["new"]
        child.write("lf\n")
        child.flush()
        assert read(reader) == ["half"]
    reader.close()


def test_a_line_that_a_rotation_has_cut_is_read_as_one(path: str) -> None:
    write(path, "")
    reader = LogReader(path, from_end=True)
    write(path, "one\nha", end="")
    assert read(reader) == ["one"]
    rotate(path)
    assert read(reader) == []
    write(path, "lf\ntwo")
    assert read(reader) == ["half", "two"]
    reader.close()


def test_older_files_of_before_are_not_news_though_somebody_renamed_the_log(path: str) -> None:
    write(path, "ancient")
    rotate(path)
    os.utime(f"{path}.1", (1, 1))
    write(path, "before")
    reader = LogReader(path, from_end=True)
    os.rename(path, f"{path}-20260101")
    write(path, "new")
    assert read(reader) == ["new"]
    reader.close()


def test_a_log_that_is_just_being_rotated_when_the_reader_comes_has_no_old_news(path: str) -> None:
    write(path, "before")
    rotate(path)
    reader = LogReader(path, from_end=True)
    assert read(reader) == []
    write(path, "new")
    assert read(reader) == ["new"]
    reader.close()


def test_what_is_skipped_is_counted_and_ends_with_a_line(path: str) -> None:
    write(path, "before")
    reader = LogReader(path, from_end=True)
    write(path, *(f"line {number:04}" for number in range(1000)))
    rotate(path)
    write(path, *(f"line {number:04}" for number in range(1000, 1100)))
    assert reader.look() == 11_000
    assert reader.skip(25) == (10_975, 1098)
    assert [line.decode() for line in reader.read(1 << 20)] == ["line 1098", "line 1099"]
    reader.close()


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_reader_that_comes_while_files_are_renamed_misses_none(path: str, moment: int) -> None:
    write(path, "known")
    reader = LogReader(path, from_end=True)
    for name in ("one", "two", "three"):
        rotate(path, keep=9)
        write(path, name)
    # known is .3 now, and just then the next rotation has come so far:
    for number in (3, 2, 1)[: moment + 1]:
        os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    assert read(reader) == ["one", "two", "three"]
    reader.close()


def test_older_files_are_listed_once_the_newest_first(path: str) -> None:
    for name in ("one", "two", "three"):
        rotate(path)
        write(path, name)
    texts = []
    for fd, _ in chain(path):
        texts.append(os.read(fd, 100))
        os.close(fd)
    assert texts == [b"three\n", b"two\n", b"one\n"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_of_writes_rotations_and_looks_each_line_comes_once_in_order(path: str, seed: int) -> None:
    chance = random.Random(seed)
    log = ProcessLog(path, Limits(60, 1e9, 1000), capture=False)
    reader = LogReader(path, from_end=True)
    written, found = 0, []
    for _ in range(400):
        match chance.choice("wwwtlr"):
            case "w":
                log.write(f"{written}\n".encode())
                written += 1
            case "t":
                log.tend()
            case "l":
                found += read(reader, chance.choice([1, 7, 1 << 20]))
            case _:
                reader.look()
    while reader.look():
        found += [line.decode() for line in reader.read(1 << 20)]
    assert [int(line) for line in found] == list(range(written))
    reader.close()
    log.close()
