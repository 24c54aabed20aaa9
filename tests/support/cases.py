"""Handlers with which a cluster has to cope. Copied beside the config of a cluster under test, they import nothing of
tests.

The last part of the path names the case, the query gives its figures: /plain/sleep?s=0.5. What has run is noted in the
file `notes`, one line a note, which is how a test knows what ran, how often and in which order.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gmpy2

from primectl import Forward, Job, Request, Response

NOTES = Path(__file__).with_name("notes")

Case = Callable[[Request, Job], object]


def note(text: str) -> None:
    """One write, so that a SIGKILL and other workers leave it whole."""
    with open(NOTES, "ab", buffering=0) as notes:
        notes.write(text.encode() + b"\n")


def told(job: Job) -> Response:
    return Response.json({"worker": job.worker, "pid": os.getpid(), "attempt": job.attempt})


def work(asked: Any, job: Job) -> Any:
    """Any case; a payload that is no request is one of `rounds`."""
    if not isinstance(asked, Request):
        return go_round(asked["name"], asked["left"], asked["s"], job)
    return CASES[asked.path.rpartition("/")[2]](asked, job)


def quick(request: Request, job: Job) -> Response:
    return told(job)


def sleep(request: Request, job: Job) -> Response:
    """Notes n and where it runs, sleeps s seconds in one blocking call, notes that it ended."""
    note(f"{request.query.get('n', '')} begins in {os.getpid()}")
    time.sleep(float(request.query["s"]))
    note(f"{request.query.get('n', '')} ends")
    return told(job)


def gated(request: Request, job: Job) -> Response:
    """Notes n and where it runs, then works until the test opens the gate n."""
    name = request.query["n"]
    note(f"{name} begins in {os.getpid()}")
    while not NOTES.with_name(f"gate.{name}").exists():
        time.sleep(0.005)
    return told(job)


def spin(request: Request, job: Job) -> Response:
    """As `sleep`, in pure Python that never waits."""
    note(f"{request.query.get('n', '')} begins in {os.getpid()}")
    until = time.monotonic() + float(request.query["s"])
    while time.monotonic() < until:
        pass
    return told(job)


def stubborn(request: Request, job: Job) -> Response:
    """Goes on whatever is raised in it."""
    note(f"stubborn begins in {os.getpid()}")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(BaseException):
            time.sleep(0.01)
    return told(job)


def stuck(request: Request, job: Job) -> Response:
    """Never returns from C, and holds the interpreter's lock: a mutex that it has locked itself (pthread_mutex_lock is
    not interrupted by signals)."""
    note(f"stuck begins in {os.getpid()}")
    library = ctypes.PyDLL(None)
    mutex = ctypes.create_string_buffer(64)  # PTHREAD_MUTEX_INITIALIZER is all zeros on Linux
    while True:
        library.pthread_mutex_lock(mutex)


def labour(request: Request, job: Job) -> Response:
    """Works for about s seconds in one call into C, and holds the interpreter's lock meanwhile."""
    note(f"labour begins in {os.getpid()}")
    modulus = (1 << 100_000) + 3
    began = time.monotonic()
    gmpy2.powmod(3, 1 << 200, modulus)
    gmpy2.powmod(3, 1 << int(200 * float(request.query["s"]) / (time.monotonic() - began)), modulus)
    note("labour ends")
    return told(job)


def poison(request: Request, job: Job) -> Response:
    """Answers, and leaves a thread that takes the interpreter's lock for ever soon after."""
    note(f"poison begins in {os.getpid()}")

    def hold() -> None:
        library = ctypes.PyDLL(None)
        while True:
            library.pause()

    threading.Timer(0.1, hold).start()
    return told(job)


def trap(request: Request, job: Job) -> Response:
    """Answers, and leaves an alarm whose handler waits for ever, in the main thread between two jobs."""
    note(f"trap begins in {os.getpid()}")
    locked = threading.Lock()
    locked.acquire()
    signal.signal(signal.SIGALRM, lambda *_: locked.acquire() and None)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    return told(job)


def litter(request: Request, job: Job) -> Response:
    """Leaves four children that outlive the job: one in the worker's group, one in a session of its own, and two
    daemons, of which one is a mere copy of the worker."""
    prefix = request.query["n"]
    program = "import os, signal, sys; print(os.getpid(), flush=True); signal.pause()"
    for name, start in (("child", ""), ("session", "import os; os.setsid()\n"), ("daemon", DAEMON)):
        with subprocess.Popen([sys.executable, "-c", start + program], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            note(f"{prefix} {name} is {int(process.stdout.readline())}")
            process.stdout.close()
            process.wait = lambda timeout=None: 0  # type: ignore[method-assign]
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note(f"{prefix} copy is {os.getpid()}")
            while True:
                signal.pause()
        os._exit(0)
    return told(job)


DAEMON = "import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"


def die(request: Request, job: Job) -> Response:
    """Kills every worker that it meets."""
    note(f"{request.query.get('n', '')} dies")
    os.kill(os.getpid(), signal.SIGKILL)
    return told(job)


def fail(request: Request, job: Job) -> Response:
    raise RuntimeError("asked to fail")


def leave(request: Request, job: Job) -> Response:
    raise SystemExit(3)


def starve(request: Request, job: Job) -> Response:
    raise MemoryError


def nonsense(request: Request, job: Job) -> object:
    return object()


def large(request: Request, job: Job) -> Response:
    return Response.data(bytes(int(request.query["bytes"])))


HOARD: list[bytes] = []


def hoard(request: Request, job: Job) -> Response:
    """Keeps so many mib of memory."""
    HOARD.append(b"x" * (int(request.query["mib"]) << 20))
    return told(job)


def count(request: Request, job: Job) -> Response:
    """Notes its n or its body, and answers with it."""
    told_what = request.query.get("n") or request.body.decode()
    note(told_what)
    return Response.text(told_what)


def size(request: Request, job: Job) -> Response:
    return Response.text(str(len(request.body)))


def rounds(request: Request, job: Job) -> Forward | Response:
    """Forwarded to its own pool `left` times, each taking s seconds."""
    query = request.query
    return go_round(query["n"], int(query["left"]), float(query["s"]), job)


def go_round(name: str, left: int, seconds: float, job: Job) -> Forward | Response:
    note(f"{name} {left}")
    time.sleep(seconds)
    return Forward(job.pool, {"name": name, "left": left - 1, "s": seconds}) if left else told(job)


CASES: dict[str, Case] = {
    case.__name__: case
    for case in (
        quick,
        sleep,
        gated,
        spin,
        stubborn,
        stuck,
        labour,
        poison,
        trap,
        litter,
        die,
        fail,
        leave,
        starve,
        nonsense,
        large,
        hoard,
        count,
        size,
        rounds,
    )
}


def first(request: Request, job: Job) -> Forward:
    """Hands everything on to the pool `second`."""
    return Forward("second", request)


async def napping(request: Request, job: Job) -> Response:
    """As `sleep`, for an event loop."""
    note(f"{request.query.get('n', '')} begins in {os.getpid()}")
    await asyncio.sleep(float(request.query["s"]))
    return told(job)


def parts(request: Request, job: Job) -> Iterator[bytes]:
    """`n` parts of `bytes` each, one every `s` seconds; notes each by `name`, and that it has ended. Raises at part
    `fail`, or kills its worker at part `die`."""
    query = request.query
    name = query.get("name", "")
    total, length, pause_s = int(query["n"]), int(query.get("bytes", "1000")), float(query.get("s", "0"))
    try:
        for number in range(total):
            if str(number) == query.get("fail"):
                raise RuntimeError("asked to fail half-way")
            if str(number) == query.get("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            note(f"{name} part {number}")
            yield part(number, length)
            time.sleep(pause_s)
    finally:
        note(f"{name} ends")


def part(number: int, length: int) -> bytes:
    """Bytes that tell where they belong."""
    return (b"%08d\n" % number).ljust(length, b".")


def key_of(request: Request) -> str:
    """The affinity of a pool that looks at the query's k; asked for `lock` it keeps the interpreter's lock for ever."""
    while request.query.get("k") == "lock":
        ctypes.PyDLL(None).pause()
    return request.query.get("k", "")
