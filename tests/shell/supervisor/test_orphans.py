"""Orphans that come to the supervisor, those of a whole container if it is PID 1, are reaped when they end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.running import eventually, running, standin_config

NO_HOUSEKEEPING = """
import sys
import supervisor.run
from tests.support.standin_supervisor import programs
from supervisor.__main__ import main

supervisor.run.HOUSEKEEPING_ROUNDS = 1 << 60
sys.exit(main(programs()))
"""


def test_orphans_are_reaped_as_they_end_not_when_it_is_time_for_housekeeping(tmp_path: Path) -> None:
    program = tmp_path / "untidy.py"
    program.write_text(NO_HOUSEKEEPING)
    with running(tmp_path, standin_config(2, env={"STANDIN": "orphans"}), [str(program)]) as up:
        supervisor = psutil.Process(up.process.pid)

        def children() -> list[str]:
            found = []
            for child in supervisor.children():
                with suppress(psutil.NoSuchProcess):  # reaped since they were listed
                    found.append(child.status())
            return found

        eventually(lambda: len(children()) == 4)
        assert psutil.STATUS_ZOMBIE not in children()
        up.stop()
        assert up.leftovers() == []
