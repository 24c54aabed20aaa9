"""Kills for want of memory, by counters in files: a death is put down to one of them at most."""

from pathlib import Path

import pytest

from supervisor.oom import OomKills, counter_files, read_count

EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"


class Hands:
    """A clock that stands still until it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "memory.events"
    path.write_text(EVENTS.format(7))
    return path


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (EVENTS.format(3), 3),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1),
        ("nr_free_pages 12\noom_kill 0\n", 0),
        ("low 0\nhigh 0\n", None),
        ("oom_kill lots\n", None),
        ("", None),
    ],
)
def test_the_count_is_read_from_whatever_the_kernel_writes(text: str, count: int | None) -> None:
    assert read_count(text) == count


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/user.slice/app\n", ["/sys/fs/cgroup/user.slice/app/memory.events", "/sys/fs/cgroup/memory.events"]),
        (
            "4:memory:/docker/1\n1:cpu:/docker/1\n",
            ["/sys/fs/cgroup/memory/docker/1/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"],
        ),
        ("", []),
    ],
)
def test_the_own_control_group_comes_first_and_the_host_last(groups: str, files: list[str]) -> None:
    assert [str(path) for path in counter_files(groups)] == [*files, "/proc/vmstat"]


def test_what_was_counted_before_explains_nothing(file: Path) -> None:
    assert not OomKills([file]).take_one()


def test_each_kill_explains_one_death(file: Path) -> None:
    kills = OomKills([file])
    file.write_text(EVENTS.format(9))
    assert [kills.take_one() for _ in range(3)] == [True, True, False]


def test_a_kill_of_a_while_ago_explains_no_death_of_now(file: Path) -> None:
    clock = Hands()
    kills = OomKills([file], clock)
    file.write_text(EVENTS.format(8))
    kills.look()
    clock.now = 6.0
    assert not kills.take_one()


def test_a_counter_that_cannot_be_read_explains_nothing(file: Path, tmp_path: Path) -> None:
    assert not OomKills([tmp_path / "nothing"]).take_one()
    kills = OomKills([file])
    file.unlink()
    assert not kills.take_one()


def test_the_first_file_that_counts_is_taken(file: Path, tmp_path: Path) -> None:
    mute = tmp_path / "mute"
    mute.write_text("low 0\n")
    kills = OomKills([tmp_path / "nothing", mute, file])
    file.write_text(EVENTS.format(8))
    assert kills.take_one()


def test_this_host_can_be_asked() -> None:
    assert not OomKills().take_one()
