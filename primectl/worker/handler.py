"""Step 5: one job through the user's handler, whatever kind of callable it is and whatever comes out of it."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, cast

import msgspec

from primectl.config.entry import resolve
from primectl.message import JSON, PLAIN, Forward, HTTPError, Job, Response
from primectl.wire.frames import decode_payload
from primectl.wire.job import WireJob

OCTETS = "application/octet-stream"
BODY_LIMIT = 256 << 20


class Outcome(msgspec.Struct, frozen=True):
    """What a handler made of a job. `trouble` is a traceback for the log, empty when all went well."""

    result: Response | Forward
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
        target = self._call if inspect.isroutine(self._call) else type(self._call).__call__
        self._is_async = inspect.iscoroutinefunction(target)
        self._runner: asyncio.Runner | None = None

    def start(self) -> None:
        """In the worker itself, after the fork."""
        if self._is_async:
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
        if inspect.iscoroutine(result):
            if self._runner is None:
                self._runner = asyncio.Runner()
            self._runner.run(result)

    def run(self, wire: WireJob, job: Job) -> Outcome:
        """Run the handler. Whatever it raises becomes an answer: a worker does not die of a job."""
        try:
            payload = decode_payload(wire.kind, wire.payload)
            result = self._call(payload, job)
            if self._runner is not None and inspect.iscoroutine(result):
                result = self._runner.run(cast("Coroutine[Any, Any, object]", result))
            return Outcome(_result(result))
        except HTTPError as error:
            problem = Response.problem(error.status, error.detail, job.request_id)
            return Outcome(Response(problem.status, (*problem.fields, *error.headers.items()), problem.body))
        except (Exception, SystemExit) as error:
            return _raised(error, job)


def _raised(error: BaseException, job: Job) -> Outcome:
    detail = f"the handler of pool {job.pool} failed; the log of {job.worker} has the traceback"
    return Outcome(
        Response.problem(500, detail, job.request_id),
        failed=True,
        trouble="".join(traceback.format_exception(error)),
    )


def _result(result: object) -> Response | Forward:
    kind = type(result)
    if kind is Response:
        return _checked(cast("Response", result))
    if kind is Forward:
        return cast("Forward", result)
    if isinstance(result, str):
        return Response.text(result)
    if isinstance(result, bytes | bytearray | memoryview):
        return Response.data(bytes(result), OCTETS)
    if isinstance(result, dict | list):
        return Response(200, (("content-type", JSON),), msgspec.json.encode(result))
    raise TypeError(f"a handler returns Response, Forward, str, bytes, dict or list, not {kind.__name__}")


def _checked(response: Response) -> Response:
    """Struct fields are not checked when they are set; what a handler filled in wrongly must not reach the wire."""
    status = cast("object", response.status)
    body = cast("object", response.body)
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"a Response has a status from 200 to 599, not {status!r}")
    if type(body) is not bytes:
        raise TypeError(f"the body of a Response is bytes, not {type(body).__name__}")
    if len(body) > BODY_LIMIT:
        raise ValueError(f"the body of a Response has at most {BODY_LIMIT} bytes, not {len(body)}")
    if response.fields is PLAIN:
        return response
    for field in cast("tuple[object, ...]", response.fields):
        if not isinstance(field, tuple) or [type(part) for part in field] != [str, str]:
            raise TypeError(f"a header of a Response is a pair of str, not {field!r}")
    return response
