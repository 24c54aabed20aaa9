"""Whether the handlers of a config can be imported § runs their code, in a child interpreter, never in the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Literal

import msgspec
from msgspec import Struct

from primectl.config.import_check import Outcome, Trial
from primectl.config.load import Loaded
from primectl.config.problems import line
from primectl.errors import ConfigError

FaultKind = Literal["missing", "not_callable", "raised"]

_GRACE_S = 10.0
"""For the child's own start and end, beside the time that handlers may take."""


class HandlerProblem(Struct, frozen=True):
    """A pool whose handler cannot be used: `line` for one line, `traceback` of what it raised (or empty).

    "missing" and "not_callable" are mistakes in the config; "raised" is one in the handler's own code, at its import.
    """

    pool: str
    kind: FaultKind
    line: str
    traceback: str = ""


def check_handlers(loaded: Loaded) -> list[HandlerProblem]:
    """Import every handler as its workers would; one problem for each that cannot be used, in the file's order.

    Takes as long as the slowest import, at most its pool's start_timeout. Handlers get no input, and what they print
    is dropped. Raises ConfigError if the child itself fails.
    """
    trials = [
        Trial(name, pool.handler, loaded.import_path, pool.env, pool.start_timeout)
        for name, pool in loaded.config.pools.items()
    ]
    problems = []
    for outcome in _run(trials):
        if outcome.fault:
            handler = loaded.config.pools[outcome.pool].handler
            what = f'"{handler}" {outcome.what}' if outcome.fault == "raised" else outcome.what
            told = line(loaded.name, ("pools", outcome.pool, "handler"), what, outcome.mend)
            problems.append(HandlerProblem(outcome.pool, outcome.fault, told, outcome.traceback))
    return problems


def require_handlers(loaded: Loaded) -> None:
    """Raises ConfigError with a line for every handler that cannot be used, whatever the reason."""
    problems = check_handlers(loaded)
    if problems:
        raise ConfigError("handlers cannot be used", loaded.name, problems=tuple(each.line for each in problems))


def _run(trials: list[Trial]) -> list[Outcome]:
    command = [sys.executable, "-m", "primectl.config.import_check"]
    # A session of its own: whatever the handlers start can be ended with it, in one go.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
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
