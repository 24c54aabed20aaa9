"""The command line as a process of its own, against no supervisor or one that answers what the test says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from primectl.config import topology
from primectl.config.topology import Place
from primectl.wire import frames
from primectl.wire.control import (
    Drained,
    DrainOrder,
    Kill,
    Killed,
    Progress,
    Refusal,
    Resumed,
    ResumeOrder,
    Scale,
    Scaled,
)
from tests.support.fake_supervisor import FakeSupervisor, PidFile, replies

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "primectl", *words],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def place(environment: dict[str, str]) -> Iterator[Place]:
    place = topology.place("prime", environment, tempfile.gettempdir(), os.getuid())
    Path(place.runtime).mkdir(parents=True)
    Path(place.sockets).mkdir(exist_ok=True)
    yield place
    shutil.rmtree(place.sockets)


CONFIG = """
[routes]
"/" = "echo"

[pools.echo]
handler = "primectl.handlers.echo:echo"
"""


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["pss"], 'there is no command "pss". Did you mean "ps"?'),
        (["frobnicate"], 'there is no command "frobnicate". `primectl --help` lists the commands'),
        (["kill"], "primectl kill: TARGET is missing. See `primectl kill --help`"),
        (["scale"], "primectl scale: POOL=N is missing. See `primectl scale --help`"),
        (["logs", "-n", "many"], "--last: expected a whole number >= 0, got 'many'"),
        (["down", "--timeout", "soon"], "--timeout: expected a duration, got 'soon'. Give it a unit: 500ms, 30s, 2m"),
        (["ps", "-c", "../x"], "-c: '../x' cannot be the name of a cluster. It has 1 to 31 of a-z, 0-9, - and _"),
        (["ps", "-f", "none.toml"], 'none.toml: there is no such file. "primectl init" writes one to start from.'),
        (["up", "--json"], "up --json: in the foreground there is only the log. Add -d"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run: Run, words: list[str], line: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{line}\n")


@pytest.mark.parametrize("words", [["ps", "--jsno"], ["ps", "extra"], ["ps", "-c"], ["-x"]])
def test_what_typer_finds_wrong_is_one_line_and_exit_2_too(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("primectl")
    assert done.stderr.count("\n") == 1
    assert "--help`" in done.stderr


def test_the_help_names_every_command(run: Run) -> None:
    from primectl.cli.main import COMMANDS

    for words in ((), ("--help",), ("-h",)):
        done = run(*words)
        assert done.returncode == 0
        assert all(f"\n  {command} " in done.stdout for command in COMMANDS)
    for command in COMMANDS:
        assert f"Usage: primectl {command} " in run(command, "--help").stdout


def test_the_version_is_told(run: Run) -> None:
    from primectl import __version__

    assert run("--version").stdout == f"primectl {__version__}\n"


# --- config -----------------------------------------------------------------------------------------------------------


def test_init_writes_a_file_that_checks_and_never_overwrites_one(run: Run, tmp_path: Path) -> None:
    assert "`primectl up -d` starts its cluster" in run("init").stdout
    written = (tmp_path / "primectl.toml").read_text()
    assert run("check").stdout == "primectl.toml: ok (1 pool, 1 route)\n"
    again = run("init")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "primectl.toml").read_text() == written
    assert json.loads(run("init", "-f", "other.toml", "--json").stdout)["file"] == "other.toml"


def test_check_prints_every_problem_on_a_line_and_exits_with_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(CONFIG.replace("handler", "hanlder") + "workers = -1\n")
    done = run("check", "bad.toml")
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("bad.toml: pools.echo") for line in lines)
    told = json.loads(run("check", "bad.toml", "--json").stdout)
    assert (told["ok"], told["problems"]) == (False, lines)


def test_check_tells_warnings_on_stderr_and_is_content(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text(f'{CONFIG}\n[pools.unused]\nhandler = "primectl.handlers.art:art"\n')
    done = run("check", "odd.toml")
    assert (done.returncode, done.stdout) == (0, "odd.toml: ok (2 pools, 1 route)\n")
    assert done.stderr.startswith("warning: odd.toml: pools.unused: ")


def test_the_schema_is_json(run: Run) -> None:
    assert json.loads(run("schema").stdout)["title"] == "primectl config"


# --- against a supervisor ---------------------------------------------------------------------------------------------


def test_scale_asks_for_each_pool_and_shows_no_progress_in_a_pipe(run: Run, place: Place) -> None:
    lock = PidFile(place)
    supervisor = FakeSupervisor(
        place, replies(Progress("starting", 1, 4), Scaled("compute", 4, 8, 0.123456)), requests=2
    )
    done = run("scale", "compute=8", "parse=+1", "--json")
    supervisor.join()
    lock.close()
    one = {"pool": "compute", "before": 4, "after": 8, "seconds": 0.123, "operation": 0}
    assert (json.loads(done.stdout), done.stderr) == ({"cluster": "prime", "pools": [one, one]}, "")
    orders = [frames.body(request.body, Scale) for request in supervisor.seen]
    assert [(order.pool, order.workers) for order in orders] == [("compute", "8"), ("parse", "+1")]


def test_a_kill_that_not_all_acknowledge_fails(run: Run, place: Place) -> None:
    lock = PidFile(place)
    supervisor = FakeSupervisor(place, replies(Killed("all", ["a.1", "a.2"], ["a.1"], [], 0, 1.0)))
    done = run("kill", "all", "-y")
    supervisor.join()
    lock.close()
    assert (done.returncode, done.stdout) == (1, "KILL acknowledged by 1 of 2 in 1.00 s; still there: a.2\n")
    assert frames.body(supervisor.seen[0].body, Kill).target == "all"


def test_drain_and_resume_send_their_order_and_say_what_came_of_it(run: Run, place: Place) -> None:
    lock = PidFile(place)
    supervisor = FakeSupervisor(place, replies(Progress("compute finishes 2 jobs", 0, 2), Drained("compute", [], 0.25)))
    done = run("drain", "compute", "--timeout", "90s")
    supervisor.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "compute is drained, it holds nothing (0.25 s); `primectl resume compute` ends that\n"
    order = supervisor.seen[0]
    assert (order.path, frames.body(order.body, DrainOrder)) == ("/drain", DrainOrder("compute", 90.0))
    supervisor = FakeSupervisor(place, replies(Resumed("compute.1", ["compute.1"])))
    done = run("resume", "compute.1", "--json")
    supervisor.join()
    lock.close()
    assert json.loads(done.stdout) == {"target": "compute.1", "processes": ["compute.1"], "operation": 0}
    order = supervisor.seen[0]
    assert (order.path, frames.body(order.body, ResumeOrder)) == ("/resume", ResumeOrder("compute.1"))


@pytest.mark.parametrize("verb", ["drain", "resume"])
@pytest.mark.parametrize(("status", "code"), [(404, 3), (504, 4)])
def test_a_drain_of_nobody_is_exit_3_and_one_that_takes_too_long_exit_4(
    run: Run, place: Place, verb: str, status: int, code: int
) -> None:
    lock = PidFile(place)
    supervisor = FakeSupervisor(place, replies(Refusal("after 60 s compute still has 1 job"), status=status))
    done = run(verb, "compute")
    supervisor.join()
    lock.close()
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "after 60 s compute still has 1 job\n")


@pytest.mark.parametrize(("status", "code"), [(400, 2), (404, 3), (409, 1), (500, 1), (504, 4)])
def test_a_refusal_is_one_line_and_its_exit_code(run: Run, place: Place, status: int, code: int) -> None:
    lock = PidFile(place)
    refusal = Refusal("there is no pool \x1b[31mcomptue", "scale", "The pools are parse and compute")
    supervisor = FakeSupervisor(place, replies(refusal, status=status))
    done = run("scale", "comptue=2")
    supervisor.join()
    lock.close()
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "scale: there is no pool ␛[31mcomptue. The pools are parse and compute\n"


def test_a_supervisor_that_dies_over_a_question_is_exit_3(run: Run, place: Place) -> None:
    supervisor = FakeSupervisor(place, lambda request: [])
    done = run("scale", "compute=2", "-c", "prime")
    supervisor.join()
    assert done.returncode == 3
    assert done.stderr == ("cluster prime does not answer: its supervisor is gone. `primectl up -d` starts it\n")


# --- start-up ---------------------------------------------------------------------------------------------------------


def test_the_command_line_loads_nothing_that_only_a_console_or_a_cluster_needs() -> None:
    heavy = "{'textual', 'rich', 'uvloop', 'asyncio', 'psutil', 'pydantic', 'zmq'}"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys, primectl.cli.main; print(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "[]\n"


def test_ps_loads_neither_screens_nor_an_event_loop(environment: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys; from primectl.cli.main import main; print(main(['ps']), "
        "sorted({'textual', 'rich', 'uvloop', 'asyncio', 'psutil', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout == "3 []\n"
