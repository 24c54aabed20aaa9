"""Whether a supervisor runs, told by the lock on its pid file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from primectl.config.topology import Place
from primectl.control.running import supervisor_pid


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(cluster="prime", runtime=str(tmp_path), state=str(tmp_path), sockets=str(tmp_path))


def test_no_pid_file_is_no_supervisor(place: Place) -> None:
    assert supervisor_pid(place) is None


def test_a_locked_pid_file_names_the_supervisor(place: Place) -> None:
    with open(place.pid_file, "w") as file:
        file.write(f"{os.getpid()}\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        assert supervisor_pid(place) == os.getpid()
    assert supervisor_pid(place) is None, "the lock went with its holder, though the pid still lives"


@pytest.mark.parametrize("text", ["", "not a number", "0", "999999999"])
def test_a_pid_file_that_names_nobody_is_no_supervisor(place: Place, text: str) -> None:
    Path(place.pid_file).write_text(text)
    assert supervisor_pid(place) is None
