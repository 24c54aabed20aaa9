"""All logs of a cluster within their bound: which files go, which are emptied, which are left alone."""

from pathlib import Path

import pytest

from primectl.clock import SystemClock
from primectl.config.model import SupervisorConfig
from primectl.config.topology import Place
from supervisor.logkeeper import LogKeeper

SETTINGS = SupervisorConfig(log_size=4096, log_total=1 << 20)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def keeper(tmp_path: Path) -> LogKeeper:
    place = Place("test", str(tmp_path), str(tmp_path), str(tmp_path))
    return LogKeeper(place, SystemClock(), lambda process: None)


def test_an_older_file_keeps_its_lines_however_much_came_at_once(logs: Path, keeper: LogKeeper) -> None:
    burst = logs / "work.1.log.1"
    burst.write_bytes(b"line\n" * 10_000)
    keeper.look(SETTINGS, {"work.1"})
    assert burst.stat().st_size == 50_000


def test_an_older_file_that_somebody_goes_on_writing_is_emptied(logs: Path, keeper: LogKeeper) -> None:
    with (logs / "work.1.log.1").open("ab") as held:
        held.write(b"line\n" * 10_000)
        held.flush()
        keeper.look(SETTINGS, {"work.1"})
        assert (logs / "work.1.log.1").stat().st_size == 0
    assert keeper.emptied == 1


def test_beyond_the_total_the_oldest_files_go_and_the_one_that_is_written_stays(logs: Path, keeper: LogKeeper) -> None:
    for number in (3, 2, 1):
        (logs / f"work.1.log.{number}").write_bytes(b"x" * 4000)
    (logs / "work.1.log").write_bytes(b"x" * 4000)
    keeper.look(SupervisorConfig(log_size=4096, log_total=9000), {"work.1"})
    assert sorted(path.name for path in logs.iterdir()) == ["work.1.log", "work.1.log.1"]
