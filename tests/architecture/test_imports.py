"""Who may import whom, and what a quick command must not drag in."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import primectl

ROOT = Path(__file__).parents[2]
HEAVY = ("asyncio", "socket", "subprocess", "textual", "typer", "uvloop", "zmq")


def test_every_arrow_between_packages_points_the_agreed_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["primectl.config.load", "primectl.config.schema", "primectl.message"])
def test_a_config_is_loaded_without_event_loop_sockets_screen_or_command_line(module: str) -> None:
    program = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_sample_handlers_know_only_what_a_users_handler_knows() -> None:
    for file in (ROOT / "primectl" / "handlers").glob("*.py"):
        named: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                named.add(node.module or "")
            elif isinstance(node, ast.Import):
                named.update(alias.name for alias in node.names)
        ours = {name for name in named if name.partition(".")[0] in ("primectl", "supervisor", "tui")}
        assert ours <= {"primectl.message"}, file.name


def test_the_package_exports_what_handlers_need_and_no_more() -> None:
    assert primectl.__all__ == ["Forward", "HTTPError", "Job", "JobCancelled", "PrimectlError", "Request", "Response"]
    public = {name for name in vars(primectl) if not name.startswith("_")}
    modules = {name for name in public if isinstance(getattr(primectl, name), type(sys))}
    assert public - modules == set(primectl.__all__)
