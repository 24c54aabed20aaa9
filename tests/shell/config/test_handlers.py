"""Handlers are tried in a child: what is found out, and that nothing of theirs reaches the caller."""

import os
import sys
from pathlib import Path

import pytest

from primectl.config.handlers import (
    HandlerProblem,
    check_handlers,
    handler_problems,
    require_handlers,
    whole_config,
)
from primectl.config.load import Loaded, load, load_sample, sample_names
from primectl.errors import ConfigError, StartFailed

MODULES = {
    "good": "def f(request, job): ...\nvalue = 3\n",
    "division": "print('noise')\n1 / 0\n",
    "syntax": "def f(:\n",
    "importing": "import not_there_at_all\n",
    "leaving": "raise SystemExit('bye')\n",
    "dying": "import os\nos._exit(3)\n",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "slow": "import threading\nthreading.Event().wait()\n",
    "forking": "import os, signal\nif os.fork() == 0:\n    signal.pause()\ndef f(request, job): ...\n",
    "env": "import os\nit = os.environ.get('WANTED', 'no')\nif it != 'yes': raise ValueError(it)\ndef f(a, b): ...\n",
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf").mkdir()
    for name, text in MODULES.items():
        Path("conf", f"{name}.py").write_text(text)


def problems(**pools: str) -> list[HandlerProblem]:
    """Pools by name, each with its handler and further lines."""
    routes = "".join(f'"/{name}" = "{name}"\n' for name in pools)
    tables = "".join(f"[pools.{name}]\nhandler = {rest}\n" for name, rest in pools.items())
    Path("conf/my.toml").write_text(f"[routes]\n{routes}{tables}")
    return handler_problems(load("conf/my.toml"))


@pytest.mark.parametrize("name", sample_names())
def test_the_handlers_of_the_samples_are_fine(name: str) -> None:
    assert handler_problems(load_sample(name)) == []
    check_handlers(load_sample(name))
    require_handlers(load_sample(name))


def test_every_handler_is_judged_in_the_order_of_the_file() -> None:
    assert problems(a='"good:f"', b='"good:g"', c='"good:value"', d='"nowhere:f"') == [
        HandlerProblem(
            "b", "missing", 'conf/my.toml: pools.b.handler: good has no "g". Name a function that it defines.'
        ),
        HandlerProblem(
            "c",
            "not_callable",
            'conf/my.toml: pools.c.handler: "good:value" is not callable, it is of type int. '
            "Name a function, or an object with __call__.",
        ),
        HandlerProblem(
            "d",
            "missing",
            'conf/my.toml: pools.d.handler: there is no module "nowhere" for "nowhere:f". '
            "Install it, or put it in the folder of the config file.",
        ),
    ]


def test_a_function_for_keys_is_judged_as_a_handler_is_but_not_in_its_pools_environment() -> None:
    env = '\nenv = { WANTED = "yes" }'
    assert [
        (each.pool, each.kind, each.line)
        for each in problems(
            a='"good:f"\naffinity = "good:g"',
            b='"good:f"\naffinity = "good:f"',
            c=f'"env:f"\naffinity = "env:f"{env}',
            d='"good:f"\naffinity = "nowhere:f"',
        )
    ] == [
        (
            "a",
            "missing",
            'conf/my.toml: pools.a.affinity: good has no "g". Name a function that it defines.',
        ),
        (
            "c",
            "raised",
            'conf/my.toml: pools.c.affinity: "env:f" raised ValueError: no (env.py, line 3). Mend its module.',
        ),
        (
            "d",
            "missing",
            'conf/my.toml: pools.d.affinity: there is no module "nowhere" for "nowhere:f". '
            "Install it, or put it in the folder of the config file.",
        ),
    ]


def test_what_a_module_raises_comes_as_one_line_and_as_its_own_traceback(tmp_path: Path) -> None:
    assert problems(a='"division:f"') == [
        HandlerProblem(
            "a",
            "raised",
            'conf/my.toml: pools.a.handler: "division:f" raised ZeroDivisionError: division by zero '
            "(division.py, line 2). Mend its module.",
            "Traceback (most recent call last):\n"
            f'  File "{tmp_path}/conf/division.py", line 2, in <module>\n'
            "    1 / 0\n"
            "    ~~^~~\n"
            "ZeroDivisionError: division by zero",
        )
    ]


@pytest.mark.parametrize(
    ("handler", "line"),
    [
        ("syntax:f", "raised SyntaxError: invalid syntax (syntax.py, line 1). Mend its module."),
        (
            "importing:f",
            "raised ModuleNotFoundError: No module named 'not_there_at_all' (importing.py, line 1). Mend its module.",
        ),
        ("leaving:f", "raised SystemExit: bye (leaving.py, line 1). Mend its module."),
        ("dying:f", "ended its interpreter with status 3 while it was imported"),
        ("killed:f", "ended its interpreter by SIGKILL while it was imported"),
    ],
)
def test_a_module_that_cannot_be_imported_by_its_own_fault(handler: str, line: str) -> None:
    found = problems(a=f'"{handler}"', b='"good:f"')
    assert [(each.pool, each.kind, each.line) for each in found] == [
        ("a", "raised", f'conf/my.toml: pools.a.handler: "{handler}" {line}')
    ]


def test_an_import_without_end_is_ended_after_the_pools_start_timeout() -> None:
    assert [each.line for each in problems(a='"slow:f"\nstart_timeout = "300ms"', b='"good:f"')] == [
        'conf/my.toml: pools.a.handler: "slow:f" takes longer than its start_timeout of 0.3 s to import. '
        "Raise start_timeout, or import less."
    ]


def test_a_process_that_a_module_leaves_behind_keeps_nobody_waiting() -> None:
    assert problems(a='"forking:f"') == []


def test_each_pool_has_its_own_environment_and_the_caller_keeps_its_own() -> None:
    found = problems(a='"env:f"\nenv = { WANTED = "yes" }', b='"env:f"\nenv = { WANTED = "no" }')
    assert [each.line for each in found] == [
        'conf/my.toml: pools.b.handler: "env:f" raised ValueError: no (env.py, line 3). Mend its module.'
    ]
    assert "WANTED" not in os.environ
    assert "env" not in sys.modules


def loaded(first: str, second: str) -> Loaded:
    Path("conf/my.toml").write_text(
        f'[routes]\n"/a" = "a"\n"/b" = "b"\n[pools.a]\nhandler = "{first}"\n[pools.b]\nhandler = "{second}"\n'
    )
    return load("conf/my.toml")


MISSING = 'conf/my.toml: pools.a.handler: good has no "g". Name a function that it defines.'
DYING = 'conf/my.toml: pools.b.handler: "dying:f" ended its interpreter with status 3 while it was imported'


def test_check_tells_every_line_as_a_mistake_of_the_config() -> None:
    with pytest.raises(ConfigError) as caught:
        check_handlers(loaded("good:g", "dying:f"))
    assert caught.value.problems == (MISSING, DYING)


def test_up_tells_of_handlers_that_are_not_there_as_mistakes_of_the_config() -> None:
    with pytest.raises(ConfigError) as caught:
        require_handlers(loaded("good:g", "dying:f"))
    assert (caught.value.problems, caught.value.exit_code) == ((MISSING,), 2)


def test_up_tells_of_handlers_that_raise_as_a_failed_start_with_the_end_of_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(StartFailed) as caught:
        require_handlers(loaded("division:f", "dying:f"))
    assert caught.value.exit_code == 1
    assert str(caught.value).splitlines() == [
        'conf/my.toml: pools.a.handler: "division:f" raised ZeroDivisionError: division by zero '
        "(division.py, line 2). Mend its module.",
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/conf/division.py", line 2, in <module>',
        "    1 / 0",
        "    ~~^~~",
        "ZeroDivisionError: division by zero",
        DYING,
    ]


def test_mistakes_of_the_file_and_of_its_handlers_are_told_in_one_run() -> None:
    Path("conf/my.toml").write_text(
        '[cluster]\nnam = "x"\n[routes]\n"/a" = "a"\n[pools.a]\nhandler = "good:g"\nworkers = "two"\n'
        '[pools.b]\nhandler = "no colon"\n'
    )
    with pytest.raises(ConfigError) as error:
        whole_config("conf/my.toml", Path.cwd())
    keys = [line.split(": ")[1] for line in error.value.problems]
    assert keys == ["cluster.nam", "pools.a.workers", "pools.b.handler", "pools.a.handler"]
