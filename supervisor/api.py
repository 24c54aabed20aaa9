"""What a request on `control` asks for: a question that is answered at once, an order for the core, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import msgspec
from msgspec import Struct, structs

from primectl.config.check import check
from primectl.config.model import Config
from primectl.config.problems import Problems
from primectl.errors import WireError
from primectl.wire import frames
from primectl.wire.control import (
    Apply,
    DrainOrder,
    DumpOrder,
    EventsQuery,
    Kill,
    LogsQuery,
    Refusal,
    ReloadOrder,
    ReopenOrder,
    Request,
    Restart,
    ResumeOrder,
    Scale,
    Stop,
)
from primectl.wire.journal import EntryQuery, RequestsQuery
from supervisor.events import ApplyOrder, Order
from supervisor.plan import nearest, printable

LONGEST_S = 86_400.0 * 7
LATEST_S = 253_402_300_799.0
"""A moment, in Unix seconds: the end of the year 9999."""
NAME_LENGTH = 128
PATH_LENGTH = 4096
OPERATOR_LENGTH = 64


class ClusterQuery(Struct, frozen=True):
    """GET /cluster; it has no body."""


Query = ClusterQuery | EventsQuery | LogsQuery
JournalQuery = RequestsQuery | EntryQuery
"""What the recorder answers."""
Body = Query | JournalQuery | Order | Apply

_BODIES: Mapping[tuple[str, str], type[Body]] = {
    ("GET", "/cluster"): ClusterQuery,
    ("GET", "/events"): EventsQuery,
    ("GET", "/logs"): LogsQuery,
    ("GET", "/requests"): RequestsQuery,
    ("GET", "/requests/entry"): EntryQuery,
    ("POST", "/scale"): Scale,
    ("POST", "/kill"): Kill,
    ("POST", "/restart"): Restart,
    ("POST", "/reload"): ReloadOrder,
    ("POST", "/apply"): Apply,
    ("POST", "/drain"): DrainOrder,
    ("POST", "/resume"): ResumeOrder,
    ("POST", "/dump"): DumpOrder,
    ("POST", "/reopen"): ReopenOrder,
    ("POST", "/stop"): Stop,
}
_NIL = b"\xc0"
_LONG = ("_path", "where")


class Refused(Struct, frozen=True):
    status: int
    refusal: Refusal


def read(request: Request) -> Query | JournalQuery | Order | Refused:
    """What is asked; never raises, whatever was sent."""
    kind = _BODIES.get((request.method, request.path))
    if kind is None:
        known = [f"{method} {path}" for method, path in _BODIES]
        asked = f"{request.method[:16]} {request.path[:NAME_LENGTH]}"
        return Refused(404, Refusal(f'there is no "{printable(asked)}"', mend=nearest(asked, known)))
    if kind is ClusterQuery:
        return ClusterQuery()
    where = f"{request.method} {request.path}"
    if bytes(request.body) == _NIL:
        # Every key of these has a default; the others need a body.
        return kind() if kind in (EventsQuery, LogsQuery, RequestsQuery, Stop) else _missing(where, kind)
    try:
        body: Body = frames.body(request.body, kind, where)
    except WireError as error:
        return Refused(400, Refusal(error.what, error.where))
    return _nonsense(body, where) or (_applicable(body, where) if isinstance(body, Apply) else body)


def _applicable(asked: Apply, where: str) -> ApplyOrder | Refused:
    """The config in it, if it is one that a cluster can have."""
    try:
        config = msgspec.json.decode(asked.config, type=Config)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Refused(400, Refusal(f"config: {printable(str(error))}", where))
    problems = Problems(asked.config_path, msgspec.to_builtins(config))
    check(config, problems)
    if lines := problems.lines():
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        return Refused(400, Refusal(f"{lines[0]}{more}", mend="`primectl check` says all that is wrong with a file"))
    folders = asked.config_path, asked.import_path
    return ApplyOrder(config, *folders, asked.dry_run, asked.timeout_s, asked.keep_sizes)


def _missing(where: str, kind: type[Struct]) -> Refused:
    fields = ", ".join(field.name for field in structs.fields(kind) if field.required)
    return Refused(400, Refusal("the body is missing", where, f"Give {fields}"))


def _nonsense(body: Struct, where: str) -> Refused | None:
    """Values that have the right type and cannot be meant."""
    for field in structs.fields(body):
        value = getattr(body, field.name)
        longest_s = LATEST_S if isinstance(body, RequestsQuery) else LONGEST_S
        if isinstance(value, float) and not (isfinite(value) and 0 <= value <= longest_s):
            what = f"{field.name}: expected seconds from 0 to {longest_s:.0f}, got {value}"
            return Refused(400, Refusal(what, where))
        if isinstance(body, RequestsQuery) and isinstance(value, int) and not 0 <= value < 1 << 63:
            return Refused(400, Refusal(f"{field.name}: expected a number that is not negative, got {value}", where))
        if isinstance(value, str) and len(value) > (PATH_LENGTH if field.name.endswith(_LONG) else NAME_LENGTH):
            return Refused(400, Refusal(f"{field.name} is {len(value)} characters long", where))
    return None


def operator(request: Request) -> str:
    """The name given, fit for the event log."""
    return printable(request.operator[:OPERATOR_LENGTH])
