"""Whether a config's functions can be imported § runs their code, in a child interpreter, never in the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from primectl.config.identity import SERVICE_VARIABLES
from primectl.config.import_check import Outcome, Trial
from primectl.config.load import Loaded, Mistakes, default_config
from primectl.config.model import PoolConfig
from primectl.config.problems import line
from primectl.errors import ConfigError, StartFailed

FaultKind = Literal["missing", "not_callable", "raised"]

_TRACEBACK_LINES = 12
_GRACE_S = 10.0
"""For the child's own start and end, beside the time that handlers may take."""


class HandlerProblem(Struct, frozen=True):
    """A pool's function that cannot be used: `line` for one line, `traceback` of what it raised (or empty).

    "missing" and "not_callable" are mistakes in the config; "raised" is one in the function's module, at its import.
    """

    pool: str
    kind: FaultKind
    line: str
    traceback: str = ""


def handler_problems(loaded: Loaded) -> list[HandlerProblem]:
    """Import every handler and key function as those who call it would; one problem for each that cannot be used, in
    the file's order.

    Takes as long as the slowest import, at most its pool's start_timeout. Handlers get no input, and what they print
    is dropped. Raises ConfigError if the child itself fails.
    """
    trials = [trial for name, pool in loaded.config.pools.items() for trial in _trials(name, pool, loaded.import_path)]
    problems = []
    for trial, outcome in zip(trials, _run(trials), strict=True):
        if outcome.fault:
            what = f'"{trial.entry}" {outcome.what}' if outcome.fault == "raised" else outcome.what
            told = line(loaded.name, ("pools", trial.pool, *(outcome.key or (trial.key,))), what, outcome.mend)
            problems.append(HandlerProblem(trial.pool, outcome.fault, told, outcome.traceback))
    return problems


def _trials(name: str, pool: PoolConfig, import_path: str) -> Iterator[Trial]:
    yield Trial(name, "handler", pool.handler, import_path, pool.env, pool.start_timeout, pool)
    if pool.affinity:
        # With nothing of the pool's own: servers and the workers of other pools call it.
        yield Trial(name, "affinity", pool.affinity, import_path, {}, pool.start_timeout)


def whole_config(explicit: str | None, cwd: Path) -> Loaded:
    """`default_config`; where it finds mistakes, those of the handlers are told in the same run."""
    try:
        return default_config(explicit, cwd)
    except Mistakes as mistakes:
        more = handler_problems(mistakes.usable) if mistakes.usable.config.pools else []
        told = (*mistakes.problems, *(each.line for each in more))
        raise ConfigError(mistakes.what, mistakes.where, problems=told) from None


def check_handlers(loaded: Loaded) -> None:
    """For `check`: raises ConfigError with a line for every handler that cannot be used, whatever the reason."""
    _refuse(loaded, handler_problems(loaded))


def require_handlers(loaded: Loaded) -> None:
    """For `up`: raises ConfigError for handlers that are not there or no handlers, which the config can mend.

    One whose own code raises is a process that would not start: StartFailed, with the end of its traceback.
    """
    problems = handler_problems(loaded)
    _refuse(loaded, [each for each in problems if each.kind != "raised"])
    if problems:
        ends = [line for each in problems for line in (each.line, *each.traceback.splitlines()[-_TRACEBACK_LINES:])]
        raise StartFailed("\n".join(ends))


def _refuse(loaded: Loaded, problems: list[HandlerProblem]) -> None:
    if problems:
        raise ConfigError("handlers cannot be used", loaded.name, problems=tuple(each.line for each in problems))


def _run(trials: list[Trial]) -> list[Outcome]:
    command = [sys.executable, "-m", "primectl.config.import_check"]
    # A session of its own: whatever the handlers start can be ended with it, in one go.
    environ = {name: value for name, value in os.environ.items() if name not in SERVICE_VARIABLES}
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=environ
    )
    try:
        told, _ = child.communicate(msgspec.json.encode(trials), max(each.timeout_s for each in trials) + _GRACE_S)
    except subprocess.TimeoutExpired:
        told = b""
    finally:
        _end_session(child.pid)
        child.wait()
    if not told or child.returncode != 0:
        raise ConfigError(
            f"the handlers could not be checked: the checking process ended with status {child.returncode}"
        )
    return msgspec.json.decode(told, type=list[Outcome])


def _end_session(session: int) -> None:
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return
