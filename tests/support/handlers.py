"""Handlers for tests: each does one thing that a cluster has to cope with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from primectl import Forward, HTTPError, Job, JobCancelled, Request, Response

LONG_S = 60.0


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
    """Forwards to the pool that it is told, after so many seconds."""
    time.sleep(value.get("wait", 0))
    return Forward(value["to"], value.get("payload"), value.get("key", ""))


def rounds(left: int, job: Job) -> Response | Forward:
    """Is forwarded to its own pool so many times."""
    return Forward(job.pool, left - 1) if left else Response.text("round")


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


def fail(kind: str, job: Job) -> Any:
    """Everything that a handler can do wrong without ending its process."""
    return {
        "exit": _raise(SystemExit(3)),
        "interrupt": _raise(KeyboardInterrupt()),
        "memory": lambda: bytearray(1 << 62),
        "recursion": lambda: fail("recursion", job),
        "cancelled": _raise(JobCancelled()),
        "generator": _raise(GeneratorExit()),
        "group": _raise(BaseExceptionGroup("all", [KeyError(1), SystemExit(1)])),
        "unshown": _raise(Unshown()),
        "none": lambda: None,
        "tuple": lambda: (200, "text"),
        "status": lambda: Response(700),
        "surrogate": lambda: Response(200, (("x-name", "\udc80"),)),
        "payload": lambda: Forward("other", object()),
        "hostile": lambda: Forward("other", Hostile()),
        "key": lambda: Forward("other", 1, key=b"bytes"),  # type: ignore[arg-type]
        "thread": _leave_a_thread,
        "fork": _fork,
        "fine": lambda: "fine",
    }[kind]()


async def afail(kind: str, job: Job) -> Any:
    """The same, asynchronous."""
    await asyncio.sleep(0)
    return fail(kind, job)


class Hostile:
    """A payload whose own code fails."""

    def __index__(self) -> int:
        raise OSError("no number")


class Unshown(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise RecursionError("no text")


def _raise(error: BaseException) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


def _leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(LONG_S,), daemon=False).start()
    raise ValueError("a thread is left behind")


def _fork() -> str:
    """The child comes out of the handler as the parent does."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return f"child {child}"


def cancelled_in(where: str, job: Job) -> Response:
    """Stays in one place for very long, and prints how it came out."""
    print(f"begun {where}", flush=True)
    try:
        PLACES[where]()
    except JobCancelled:
        print(f"cancelled in {where}", flush=True)
        raise
    return Response.text("not cancelled")


def _loop() -> None:
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        pass


def _swallowing_loop() -> None:
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


def _recv() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)


def _lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


PLACES: dict[str, Callable[[], object]] = {
    "sleep": lambda: time.sleep(LONG_S),
    "loop": _loop,
    "swallowing_loop": _swallowing_loop,
    "recv": _recv,
    "lock": _lock,
    "child": lambda: subprocess.run(["sleep", str(LONG_S)], check=True),
    "event": lambda: threading.Event().wait(LONG_S),
}


def forgiving(value: float, job: Job) -> Response:
    """Takes its cancellation for a hint, cleans up and returns as if nothing were."""
    print("begun", flush=True)
    try:
        time.sleep(value)
    except JobCancelled:
        print("taken for a hint", flush=True)
    return Response.text("done")


def deaf(value: float, job: Job) -> Response:
    """Does not let go, whatever is raised in it."""
    print("begun", flush=True)
    until = time.monotonic() + value
    while time.monotonic() < until:
        try:
            time.sleep(0.01)
        except BaseException as error:
            print(f"ignored {type(error).__name__}", flush=True)
    return Response.text("done")


def spin(value: float, job: Job) -> Response:
    """A short job in pure Python, with a word about its cancellation if one reaches it."""
    until = time.monotonic() + value
    while time.monotonic() < until:
        sum(range(20))
    return Response.text(str(job.id))


async def await_(value: float, job: Job) -> Response:
    """Awaits; what is cancelled is the task."""
    print("begun", flush=True)
    try:
        await asyncio.sleep(value)
    except asyncio.CancelledError:
        print("the task is cancelled", flush=True)
        raise
    return Response.text("awaited")


async def async_loop(value: float, job: Job) -> Response:
    """Never awaits."""
    print("begun", flush=True)
    _loop()
    return Response.text("not cancelled")


def stream(value: Any, job: Job) -> Iterator[object]:
    """What it is told, item by item: a text, a number of bytes, seconds to wait, the name of what to raise."""
    try:
        yield from _told(value)
    except JobCancelled:
        print("the stream is cancelled", flush=True)
        raise
    finally:
        print("the stream is closed", flush=True)


async def astream(value: Any, job: Job) -> AsyncIterator[object]:
    """The same, asynchronous."""
    try:
        for item in _told(value):
            await asyncio.sleep(0)
            yield item
    finally:
        print("the stream is closed", flush=True)


def _told(value: list[Any]) -> Iterator[object]:
    for item in value:
        if item == "raise":
            raise ValueError("half-way")
        if item == "http":
            raise HTTPError(404, "no such thing")
        if item == "response":
            yield Response(201, (("content-type", "text/csv"),), b"head,")
        elif item == "forward":
            yield Forward("other", "onward")
        elif item == "wrong":
            yield 7.0
        elif isinstance(item, float):
            time.sleep(item)
        elif isinstance(item, int):
            print(f"giving {item} bytes", flush=True)
            yield b"x" * item
        else:
            yield item


def lines(path: str, job: Job) -> Any:
    """A file is an iterator of its lines."""
    return open(path, "rb")


def key_of(payload: Any) -> Any:
    """The affinity of a payload: what it says, or an error."""
    if isinstance(payload, Request):
        return payload.query.get("key")
    if payload == "bad":
        raise ValueError("no key")
    return payload
