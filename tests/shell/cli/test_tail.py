"""Reading and following log files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from primectl.cli import tail
from primectl.cli.tail import Follower, last_lines, targets
from primectl.config.topology import Place
from primectl.control.following import LONGEST
from primectl.errors import NotFound


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(cluster="prime", runtime=str(tmp_path), state=str(tmp_path), sockets=str(tmp_path))
    Path(place.logs).mkdir()
    return place


def write(place: Place, process: str, *lines: str, end: str = "\n") -> None:
    with open(place.log_file(process), "a") as log:
        log.write("\n".join(lines) + end)


def rotate(place: Place, process: str) -> None:
    os.replace(place.log_file(process), f"{place.log_file(process)}.1")


def read(follower: Follower) -> list[tuple[str, str]]:
    return [(line.process, line.text) for line in follower.read()]


def texts(place: Place, processes: list[str], last: int) -> list[str]:
    return [line.text for line in last_lines(place, processes, last)]


def test_the_last_lines_of_several_logs_are_found_at_their_ends(place: Place) -> None:
    write(place, "a.1", *(f"2026-01-01T12:00:{second:02}Z a{second}" for second in range(0, 60, 2)))
    write(place, "b.1", *(f"2026-01-01T12:00:{second:02}Z b{second}" for second in range(1, 60, 2)))
    assert [text.split()[1] for text in texts(place, ["a.1", "b.1"], 4)] == ["a56", "b57", "a58", "b59"]


def test_a_log_larger_than_one_read_is_read_backwards(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "READ_BYTES", 7)
    write(place, "a.1", *(f"line {number}" for number in range(100)))
    assert texts(place, ["a.1"], 3) == ["line 97", "line 98", "line 99"]
    assert texts(place, ["a.1"], 1000) == [f"line {number}" for number in range(100)]
    assert texts(place, ["a.1"], 0) == []


def test_the_log_before_the_last_rotation_fills_up_what_is_asked_for(place: Place) -> None:
    write(place, "a.1", "one", "two")
    rotate(place, "a.1")
    write(place, "a.1", "three")
    assert texts(place, ["a.1"], 2) == ["two", "three"]


def test_bytes_that_are_no_text_do_not_hide_a_log(place: Place) -> None:
    Path(place.log_file("a.1")).write_bytes(b"fine\n\xff\xfe\nfine too\n")
    assert texts(place, ["a.1"], 9) == ["fine", "\ufffd\ufffd", "fine too"]


def test_a_target_without_a_log_is_refused_with_the_pools_that_have_one(place: Place) -> None:
    write(place, "compute.1", "x")
    write(place, "server.1", "x")
    assert targets(place, "compute") == ["compute.1"]
    with pytest.raises(NotFound, match=r"no log of 'comptue'\. Say all, compute, or a process id") as caught:
        targets(place, "comptue")
    assert caught.value.exit_code == 3


def test_a_cluster_that_never_ran_has_no_logs(tmp_path: Path) -> None:
    nowhere = Place(cluster="prime", runtime="", state=str(tmp_path / "none"), sockets="")
    with pytest.raises(NotFound, match="cluster prime has no logs"):
        targets(nowhere, "all")


def test_a_follower_shows_what_comes_and_nothing_that_was_there(place: Place) -> None:
    write(place, "a.1", "before")
    follower = Follower(place)
    assert read(follower) == []
    write(place, "a.1", "after")
    assert read(follower) == [("a.1", "after")]
    assert read(follower) == []
    follower.close()


def test_a_line_is_shown_once_it_is_whole(place: Place) -> None:
    write(place, "a.1", "before")
    follower = Follower(place)
    write(place, "a.1", "half", end="")
    assert read(follower) == []
    write(place, "a.1", " and half")
    assert read(follower) == [("a.1", "half and half")]
    follower.close()


def test_the_log_of_a_new_process_is_shown_from_its_beginning(place: Place) -> None:
    follower = Follower(place, "a")
    write(place, "a.2", "hello")
    write(place, "b.1", "not asked for")
    assert read(follower) == [("a.2", "hello")]
    follower.close()


def test_rotation_loses_no_line(place: Place) -> None:
    write(place, "a.1", "before")
    follower = Follower(place)
    write(place, "a.1", "last of the old")
    rotate(place, "a.1")
    write(place, "a.1", "first of the new")
    assert read(follower) + read(follower) == [("a.1", "last of the old"), ("a.1", "first of the new")]
    follower.close()


def test_a_log_that_was_emptied_is_read_from_its_beginning(place: Place) -> None:
    write(place, "a.1", "a long line from before")
    follower = Follower(place)
    os.truncate(place.log_file("a.1"), 0)
    write(place, "a.1", "new")
    assert read(follower) == [("a.1", "new")]
    follower.close()


def test_the_tail_ends_where_the_follower_begins(place: Place) -> None:
    write(place, "a.1", "one")
    follower = Follower(place)
    write(place, "a.1", "two")
    assert [line.text for line in last_lines(place, ["a.1"], 10, follower.marks())] == ["one"]
    assert read(follower) == [("a.1", "two")]
    follower.close()


def test_a_log_that_is_too_far_ahead_is_skipped_and_it_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "READ_BYTES", 64)
    write(place, "a.1", "before")
    follower = Follower(place, behind_limit=1000)
    write(place, "a.1", *(f"line {number}" for number in range(1000)))
    lines = read(follower)
    assert "came too fast to be shown" in lines[0][1]
    assert lines[-1] == ("a.1", "line 999")
    assert len(lines) < 12
    follower.close()


def test_a_line_without_an_end_does_not_grow_for_ever(place: Place) -> None:
    write(place, "a.1", "before")
    follower = Follower(place)
    write(place, "a.1", "x" * 3 * LONGEST, end="")
    assert len(read(follower)) == 1
    follower.close()


# --- whole logs -------------------------------------------------------------------------------------------------------

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def entry(second: int) -> str:
    return f"2026-01-01T12:{second // 60:02}:{second % 60:02}.000Z INFO {second}"


def test_a_whole_log_is_all_of_its_files_and_ends_where_it_is_told(place: Place) -> None:
    for name in ("one", "two"):
        write(place, "a.1", name)
        os.rename(place.log_file("a.1"), f"{place.log_file('a.1')}.{2 if name == 'one' else 1}")
    write(place, "a.1", "three")
    follower = Follower(place)
    write(place, "a.1", "four")
    path = place.log_file("a.1")
    assert list(tail.whole_log(path, 0.0, None)) == ["one", "two", "three", "four"]
    assert list(tail.whole_log(path, 0.0, follower.marks()["a.1"])) == ["one", "two", "three"]
    rotate(place, "a.1")
    assert list(tail.whole_log(path, 0.0, follower.marks()["a.1"])) == ["one", "three"]
    follower.close()


def test_a_line_that_a_rotation_has_cut_is_one(place: Place) -> None:
    write(place, "a.1", "one\nha", end="")
    rotate(place, "a.1")
    write(place, "a.1", "lf", "two")
    assert list(tail.whole_log(place.log_file("a.1"), 0.0, None)) == ["one", "half", "two"]
    assert texts(place, ["a.1"], 2) == ["half", "two"]


@pytest.mark.parametrize("second", [0, 1, 500, 1234, 2999, 3000])
def test_a_large_log_is_read_from_a_time_on(place: Place, second: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "READ_BYTES", 256)
    write(place, "a.1", *(f"{entry(number)}\nprinted" for number in range(3000)))
    found = list(tail.whole_log(place.log_file("a.1"), NOON + second, None))
    wanted = [line for number in range(second, 3000) for line in (entry(number), "printed")]
    assert found[len(found) - len(wanted) :] == wanted
    assert len(found) - len(wanted) < 40
