"""§ Step 5: one job through the user's handler, whatever kind of callable it is and whatever comes out of it."""

from __future__ import annotations

import asyncio
import inspect
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FrameType
from typing import cast

import msgspec

from primectl.config.entry import resolve
from primectl.control.stacks import block
from primectl.message import JSON, PLAIN, Forward, HTTPError, Job, Response
from primectl.wire.frames import decode_payload
from primectl.wire.job import WireJob
from primectl.worker.interrupt import drive, enter_awaiting, enter_handler
from primectl.worker.items import END, Items

OCTETS = "application/octet-stream"
BODY_LIMIT = 256 << 20


class Streamed(msgspec.Struct, frozen=True):
    """An answer of which only the head is there, with the first bytes of its body."""

    head: Response
    rest: Items


class Outcome(msgspec.Struct, frozen=True):
    """What a handler made of a job: None when it was cancelled. `trouble` is a traceback for the log, or empty."""

    result: Response | Forward | Streamed | None
    failed: bool = False
    trouble: str = ""


class Handler:
    """A pool's handler, ready to be called.

    It is a function of (payload, job), plain or async, or an object with `__call__` and, if it likes, `start()` and
    `stop()`, which run once in each worker, before its first job and after its last.
    """

    def __init__(self, entry: str) -> None:
        """Imports the handler; raises what `config.entry.resolve` and the module raise."""
        self._call = resolve(entry)
        self._runner: asyncio.Runner | None = None
        self._task: asyncio.Task[object] | None = None
        self._copied = False

    def start(self) -> None:
        """In the worker itself, after the fork."""
        os.register_at_fork(after_in_child=self._is_copy)
        target = self._call if inspect.isroutine(self._call) else type(self._call).__call__
        if inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target):
            self._runner = asyncio.Runner()
        self._lifecycle("start")

    def stop(self) -> None:
        self._lifecycle("stop")
        if self._runner is not None:
            self._runner.close()

    def _lifecycle(self, name: str) -> None:
        method: Callable[[], object] | None = getattr(self._call, name, None)
        if method is None or inspect.isroutine(self._call):
            return
        result = method()
        if inspect.isawaitable(result):
            self._wait(result)

    def _is_copy(self) -> None:
        """In a process that the handler has forked."""
        self._copied = True

    # --- a job --------------------------------------------------------------------------------------------------------

    def run(self, wire: WireJob, job: Job) -> Outcome:
        """Run the handler. Whatever it raises becomes an answer: a worker does not die of a job."""
        try:
            payload = decode_payload(wire.kind, wire.payload)
            result = enter_handler(self._call, payload, job)
            if type(result) is Response:
                outcome = Outcome(_checked(result))
            elif type(result) is Forward:
                outcome = Outcome(result)
            else:
                outcome = self._outcome(result)
        except BaseException as error:
            outcome = _raised(error, job)
        if self._copied:
            self.leave_if_copied()
        return outcome

    def leave_if_copied(self) -> None:
        """A child process that the handler forked has come out of it: there is one worker, and this is not it."""
        if self._copied:
            os._exit(0)

    def cancel_task(self) -> bool:
        """From another thread: have a handler that awaits something see that its job is cancelled. False when it does
        not await."""
        task = self._task
        if task is None or task.get_loop().is_closed():
            return False
        task.get_loop().call_soon_threadsafe(task.cancel)
        return True

    def awaited(self) -> str:
        """From another thread: where an async handler waits, which the stack of its thread does not show."""
        task = self._task
        if task is None:
            return ""
        waiting: list[FrameType] = []
        step: object = task.get_coro()
        while (frame := getattr(step, "cr_frame", None)) is not None:
            waiting.append(frame)
            step = getattr(step, "cr_await", None)
        return block("awaiting in the main thread", reversed(waiting))

    def _outcome(self, result: object) -> Outcome:
        plain = _plain(result)
        if plain is None and inspect.isawaitable(result):
            result = self._wait(result)
            plain = _plain(result)
        if plain is not None:
            return Outcome(plain)
        if not isinstance(result, Iterator | AsyncIterator):
            raise TypeError(
                "a handler returns Response, Forward, str, bytes, dict, list or a generator of str and bytes, "
                f"not {type(result).__name__}"
            )
        items = Items(result, self._wait, self.leave_if_copied)
        try:
            return Outcome(_begun(items))
        except BaseException:
            items.close()
            raise

    def _wait(self, awaitable: Awaitable[object]) -> object:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return drive(self._runner, self._attend(awaitable))

    async def _attend(self, awaitable: Awaitable[object]) -> object:
        self._task = asyncio.current_task()
        try:
            return await enter_awaiting(awaitable)
        finally:
            self._task = None


def _raised(error: BaseException, job: Job) -> Outcome:
    if job.cancelled:
        return Outcome(None)
    if isinstance(error, HTTPError):
        problem = Response.problem(error.status, error.detail, job.request_id)
        fields = (*problem.fields, *error.headers.items())
        try:
            return Outcome(_checked(Response(problem.status, fields, problem.body)))
        except (TypeError, ValueError) as unusable:
            error = unusable
    detail = f"the handler of pool {job.pool} failed; the log of {job.worker} has the traceback"
    return Outcome(Response.problem(500, detail, job.request_id), failed=True, trouble=told(error))


def told(error: BaseException) -> str:
    """The traceback of anything that a handler raised; also of what cannot be shown as others are."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as unshown:  # its own __str__, a group nested without end: the user's code again
        return f"{type(error).__name__}, whose traceback cannot be shown: {type(unshown).__name__}"


def brief(error: BaseException) -> str:
    """In one line, for the client too."""
    return told(error).rstrip().rpartition("\n")[2]


def _begun(items: Items) -> Response | Forward | Streamed:
    """What the first item says."""
    first = items.pull()
    if first is END:
        return Response()
    if isinstance(first, Forward):
        items.close()
        return first
    if isinstance(first, Response):
        return Streamed(_checked(first), items)
    if isinstance(first, str):
        return Streamed(Response.text(first), items)
    if isinstance(first, bytes | bytearray | memoryview):
        return Streamed(Response.data(bytes(first), OCTETS), items)
    raise TypeError(f"a stream begins with Response, Forward, str or bytes, not {type(first).__name__}")


def _plain(result: object) -> Response | Forward | None:
    """A result that is whole as it is; None for one that has to be awaited, asked item by item, or is none."""
    if isinstance(result, Response):
        return _checked(result)
    if isinstance(result, Forward):
        return result
    if isinstance(result, str):
        return Response.text(result)
    if isinstance(result, bytes | bytearray | memoryview):
        return Response.data(bytes(result), OCTETS)
    if isinstance(result, dict | list):
        return Response(200, (("content-type", JSON),), msgspec.json.encode(result))
    return None


def _checked(response: Response) -> Response:
    """Struct fields are not checked when they are set; what a handler filled in wrongly must not reach the wire."""
    status: object = response.status
    body: object = response.body
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"a Response has a status from 200 to 599, not {status!r}")
    if type(body) is not bytes:
        raise TypeError(f"the body of a Response is bytes, not {type(body).__name__}")
    if len(body) > BODY_LIMIT:
        raise ValueError(f"the body of a Response has at most {BODY_LIMIT} bytes, not {len(body)}")
    if response.fields is PLAIN and type(status) is int:
        return response
    return Response(int(status), tuple(map(_field, cast("tuple[object, ...]", response.fields))), body)


def _field(field: object) -> tuple[str, str]:
    if not isinstance(field, tuple) or [type(part) for part in field] != [str, str]:
        raise TypeError(f"a header of a Response is a pair of str, not {field!r}")
    name, value = cast("tuple[str, str]", field)
    try:
        f"{name}{value}".encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"a header of a Response has characters up to U+00FF, not {field!r}") from None
    return name, value
