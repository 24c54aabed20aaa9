"""The child of `config.handlers` § imports each function in a process of its own and says what came of it.

    python -m primectl.config.import_check     list[Trial] as JSON on stdin, list[Outcome] as JSON on stdout

One interpreter starts, and forks for each handler and each key function: every pool has its own environment, and a
module that ends its process takes nothing else along.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from typing import Literal

import msgspec
from msgspec import Struct

from primectl.config.entry import HandlerFault, find, own_traceback
from primectl.config.identity import IdentityFault, assume, out_of_reach
from primectl.config.model import PoolConfig
from primectl.config.problems import Path

Fault = Literal["", "missing", "not_callable", "raised"]
Key = Literal["handler", "affinity"]
"""The key of a pool's table that names the function."""

_END = b"\n"


class Trial(Struct, frozen=True):
    """A function to import, as those who call it would."""

    pool: str
    key: Key
    entry: str
    import_path: str
    env: dict[str, str]
    timeout_s: float
    settings: PoolConfig | None = None
    """The pool whose limits and identity it runs with; None: with ours."""


class Outcome(Struct, frozen=True):
    """What came of it. `fault` is empty when the function can be used; `what` and `mend` are parts of a sentence."""

    fault: Fault = ""
    what: str = ""
    mend: str = ""
    traceback: str = ""
    key: Path = ()
    """The key of the pool's table that is at fault, where it is another than that of the trial."""


class Running(Struct, frozen=True):
    """A trial in its fork; its outcome comes by the pipe."""

    trial: Trial
    pid: int
    pipe: int
    deadline: float


def main() -> None:
    trials = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Trial])
    running = [_start(trial) for trial in trials]
    outcomes = [_finish(each) for each in running]
    sys.stdout.buffer.write(msgspec.json.encode(outcomes))


def _start(trial: Trial) -> Running:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _run(trial, writer)
    os.close(writer)
    return Running(trial, pid, reader, time.monotonic() + trial.timeout_s)


def _run(trial: Trial, writer: int) -> None:
    """In the fork; never returns."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.environ.update(trial.env)
    sys.path.insert(0, trial.import_path)
    try:
        outcome = _outcome(trial)
        with open(writer, "wb") as pipe:
            pipe.write(msgspec.json.encode(outcome) + _END)
    finally:
        os._exit(0)


def _outcome(trial: Trial) -> Outcome:
    try:
        if trial.settings is not None:
            assume(trial.pool, trial.settings)
        find(trial.entry)
    except IdentityFault as error:
        return Outcome("missing", error.what, error.mend, key=error.fault.key)
    except BaseException as error:
        closed = "" if trial.settings is None else out_of_reach(trial.settings, trial.import_path)
        if closed and isinstance(error, ImportError | HandlerFault | PermissionError):
            return Outcome("missing", closed, "Open it to that user, or move it", key=("user",))
        if isinstance(error, HandlerFault):
            kind: Fault = "not_callable" if error.kind == "not_callable" else "missing"
            return Outcome(kind, error.what, error.mend)
        return Outcome("raised", f"{_shown(error)}{_place(error)}", "Mend its module", own_traceback(error))
    return Outcome()


def _shown(error: BaseException) -> str:
    return "raised " + " ".join(traceback.format_exception_only(error)[-1].split())


def _place(error: BaseException) -> str:
    """Where in the handler's code, as far as it is known."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({os.path.basename(error.filename)}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""


def _finish(running: Running) -> Outcome:
    """Wait for a fork to end, or end it; the outcome it wrote, or why there is none."""
    told = bytearray()
    late = False
    while True:
        ready, _, _ = select.select([running.pipe], [], [], max(0.0, running.deadline - time.monotonic()))
        if not ready:
            late = True
            os.kill(running.pid, signal.SIGKILL)
            break
        chunk = os.read(running.pipe, 1 << 16)
        told += chunk
        # Not only the end of the pipe: a process that the handler has forked holds it open.
        if not chunk or told.endswith(_END):
            break
    os.close(running.pipe)
    _, status = os.waitpid(running.pid, 0)
    if late:
        what = f"takes longer than its start_timeout of {running.trial.timeout_s:g} s to import"
        return Outcome("raised", what, "Raise start_timeout, or import less")
    if not told:
        code = os.waitstatus_to_exitcode(status)
        how = f"with status {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        return Outcome("raised", f"ended its interpreter {how} while it was imported", "")
    return msgspec.json.decode(bytes(told), type=Outcome)


if __name__ == "__main__":
    main()
