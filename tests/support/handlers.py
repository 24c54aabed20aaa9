"""Handlers for tests: each does one thing that a cluster has to cope with."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from primectl import Forward, Job, Response


def echo(value: Any, job: Job) -> Response:
    """Answers with the payload's text."""
    return Response.text(str(value))


def sleep(value: float, job: Job) -> Response:
    """Busy without Python code for so many seconds."""
    time.sleep(value)
    return Response.text(f"slept {value}")


def until_cancelled(value: float, job: Job) -> Response:
    """Works until nobody waits for it any more, at most so many seconds."""
    until = time.monotonic() + value
    while not job.cancelled and time.monotonic() < until:
        time.sleep(0.001)
    return Response.text("cancelled" if job.cancelled else "finished")


def onward(value: Any, job: Job) -> Forward:
    """Forwards to the pool that it is told."""
    return Forward(value["to"], value.get("payload"))


def die_once(path: str, job: Job) -> Response:
    """Kills its worker, unless one has died of it before."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return Response.text(f"attempt {job.attempt}")
    os.kill(os.getpid(), signal.SIGKILL)
    return Response.text("unreachable")


def die(value: Any, job: Job) -> Response:
    """Kills every worker that it meets."""
    os.kill(os.getpid(), signal.SIGKILL)
    return Response.text("unreachable")


def noisy(value: str, job: Job) -> Response:
    """Prints, then raises."""
    print("noise on stdout")
    raise ValueError(value)
