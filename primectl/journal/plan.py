"""What to send again: recorded requests and an operator's wishes -> Plan."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from primectl.errors import ConfigError
from primectl.journal import fill
from primectl.journal.fill import Secret
from primectl.journal.pace import due_times
from primectl.journal.steps import Outgoing, Plan, Skipped, Step
from primectl.message import Headers
from primectl.wire.journal import REPLAY_HEADER, Entry

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""RFC 9110 9.2.1; all others may change something."""

MADE_ANEW = frozenset(
    (
        "connection", "content-length", "date", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", REPLAY_HEADER,
    )
)  # fmt: skip
"""Fields that belong to the connection of then (RFC 9110 7.6.1), or that the sender makes: never sent along."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"/[!-~\x80-\xff]*")
_LINE_ENDS = re.compile(r"[\r\n\0]")


class Wishes(Struct, frozen=True, kw_only=True):
    """What an operator wants of a replay.

    `speed` 1 is the original pace, 2 twice as fast, `pace.MAX` all at once; `rate` requests a second at most, 0 for no
    such bound. `unsafe` says what becomes of methods that may change something: with "ask" those are sent whose ids are
    in `allowed`. `set_headers` with an empty value take the field out. `edits` has what an operator made of a request
    (of `bare`), by the id of the original; None where it was cancelled.
    """

    speed: float = 1.0
    rate: float = 0.0
    repeat: int = 1
    unsafe: Literal["ask", "skip", "send"] = "skip"
    allowed: frozenset[str] = frozenset()
    secrets: tuple[Secret, ...] = ()
    set_headers: Headers = ()
    edits: Mapping[str, Outgoing | None] = {}


class Summary(Struct, frozen=True):
    """A plan in figures: `methods` of what is sent, `reasons` of what is skipped, each with how many; most first."""

    count: int
    bytes: int
    seconds: float
    skipped: int
    methods: dict[str, int] = {}
    reasons: dict[str, int] = {}


class _NotSent(Exception):
    """Why a request is skipped, in words."""


def make(entries: Iterable[Entry], wishes: Wishes) -> Plan:
    """The steps in order of time, `wishes.repeat` times, and what is skipped and why."""
    chosen: list[tuple[Entry, Outgoing]] = []
    skipped: list[Skipped] = []
    for entry in sorted(entries, key=lambda entry: entry.row.time):
        try:
            chosen.append((entry, _ready(entry, wishes)))
        except _NotSent as error:
            skipped.append(Skipped(entry, str(error)))
    due = due_times((entry.row.time for entry, _ in chosen), wishes.speed, wishes.rate, wishes.repeat)
    return Plan(
        steps=tuple(Step(number, *chosen[number % len(chosen)], due_s=due_s) for number, due_s in enumerate(due)),
        skipped=tuple(skipped),
        size=sum(len(outgoing.body) for _, outgoing in chosen) * wishes.repeat,
        seconds=due[-1] if due else 0.0,
    )


def summary(plan: Plan) -> Summary:
    methods = Counter(step.outgoing.method for step in plan.steps)
    reasons = Counter(re.sub(r" at \d+ of \d+ bytes$", "", each.why) for each in plan.skipped)
    return Summary(
        count=len(plan.steps),
        bytes=plan.size,
        seconds=plan.seconds,
        skipped=len(plan.skipped),
        methods=dict(methods.most_common()),
        reasons=dict(reasons.most_common()),
    )


def is_unsafe(method: str) -> bool:
    """Whether sending it again may change something: whatever is not known to be safe."""
    return method not in SAFE_METHODS


def unused_secrets(plan: Plan, wishes: Wishes) -> list[str]:
    """Names of secrets that nothing in the plan has a place for: most likely slips of typing."""
    once = plan.steps[: len(plan.steps) // wishes.repeat]
    entries = [step.entry for step in once] + [each.entry for each in plan.skipped]
    return fill.unused(wishes.secrets, [(bare(entry), entry.redacted) for entry in entries])


def bare(entry: Entry, set_headers: Headers = ()) -> Outgoing:
    """The request without what belongs to the connection of then, and with these fields set or taken out. What was
    redacted is there as its token."""
    taken_out = MADE_ANEW.union(name.lower() for name, _ in set_headers) if set_headers else MADE_ANEW
    fields = [field for field in entry.fields if field[0].lower() not in taken_out]
    fields += [field for field in set_headers if field[1]]
    return Outgoing(entry.row.method, entry.target, tuple(fields), entry.body)


def unusable(entry: Entry) -> str:
    """Why a recorded request cannot be sent again by anybody, "" where it can."""
    return _cut(entry) or mistake_in(Outgoing(entry.row.method, entry.target, entry.fields))


def _cut(entry: Entry) -> str:
    return f"its body is cut at {len(entry.body)} of {entry.row.asked_size} bytes" if entry.row.cut else ""


def mistake_in(outgoing: Outgoing) -> str:
    """What of it no HTTP/1.1 request can have, "" where there is nothing."""
    if not outgoing.method:
        return "it was no HTTP request"
    if not _TOKEN.fullmatch(outgoing.method) or outgoing.method == "CONNECT":
        return f'its method "{outgoing.method}" cannot be sent'
    if not _TARGET.fullmatch(outgoing.target) and (outgoing.method, outgoing.target) != ("OPTIONS", "*"):
        return f'its target "{outgoing.target}" is no path'
    for name, value in outgoing.fields:
        if not _TOKEN.fullmatch(name) or _LINE_ENDS.search(value):
            return f'its header field "{name}" cannot be sent'
    return ""


def parse_header(text: str) -> tuple[str, str]:
    """Name and value of `--set-header 'Name: value'`. Raises ConfigError."""
    name, separator, value = text.partition(":")
    value = value.strip()
    if not separator or not _TOKEN.fullmatch(name):
        what = f'expected "Name: value", got "{text}"'
        raise ConfigError(what, "--set-header", 'With an empty value, "Name:", the field is taken out')
    if name.lower() in MADE_ANEW:
        raise ConfigError(f"{name} is made anew for each request, it cannot be set", "--set-header")
    if _LINE_ENDS.search(value):
        raise ConfigError(f"the value of {name} has a line break", "--set-header", "Give it in one line")
    return name, value.encode().decode("latin-1")


def parse_headers(texts: Sequence[str]) -> Headers:
    """All `--set-header` of a command line. Raises ConfigError."""
    return tuple(parse_header(text) for text in texts)


def _ready(entry: Entry, wishes: Wishes) -> Outgoing:
    """The request as it is sent. Raises _NotSent."""
    plain = bare(entry, wishes.set_headers)
    outgoing = wishes.edits.get(entry.row.id, plain)
    if outgoing is None:
        raise _NotSent("its edit was cancelled")
    why = (_cut(entry) if outgoing == plain else "") or mistake_in(outgoing)
    if why:
        raise _NotSent(why)
    allowed = wishes.unsafe == "send" or (wishes.unsafe == "ask" and entry.row.id in wishes.allowed)
    if is_unsafe(outgoing.method) and not allowed:
        raise _NotSent(f"{outgoing.method} may change something")
    try:
        return fill.fill(outgoing, wishes.secrets, entry.redacted)
    except fill.Missing as error:
        raise _NotSent(f"its {error} was redacted and no secret gives it") from None
