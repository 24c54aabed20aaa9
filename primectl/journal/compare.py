"""The answer then and the answer now: the same, or what differs.

Most answers are equal byte by byte, and are found so at once; all else here is for the others.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import blake2b
from itertools import islice

from msgspec import Struct

from primectl.errors import ConfigError
from primectl.journal import jsondiff, textdiff
from primectl.journal.jsondiff import Ignoring, Pointer
from primectl.journal.sets import NOT_SAID
from primectl.journal.steps import Outcome
from primectl.message import Headers
from primectl.wire.journal import Entry, HopTimes

IGNORED_HEADERS = frozenset({
    "age",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
})  # fmt: skip
"""What belongs to the moment or to the connection. The length is compared where there is no body to compare."""
TOLD = 50
"""So many differences of one answer are told; the others are counted."""
_BODYLESS = frozenset({204, 205, 304})
_PROBLEM = "application/problem+json"
_ANSWER_HEADER = "answer header "
_ANSWER_BODY = "answer body "


class Kind(StrEnum):
    SAME = "same"
    CHANGED = "changed"
    FAILED = "failed"
    """There was no answer."""


class Rules(Struct, frozen=True):
    """What counts as a difference. `headers` (small letters) and `pointers` into JSON bodies are not compared.

    Figures of which one has a fraction may differ by `tolerance`, relative or absolute. An answer that took more than
    `slower` times as long as then, and `slower_ms` longer, is slower.
    """

    headers: frozenset[str] = IGNORED_HEADERS
    pointers: tuple[Pointer, ...] = ()
    tolerance: float = 0.0
    slower: float = 2.0
    slower_ms: float = 5.0


class Difference(Struct, frozen=True):
    """`what`: `status`, `header NAME`, `body`, `body /POINTER`, `body line N` or `body length`.

    The sides are short texts, None where a side has nothing.
    """

    what: str
    before: str | None
    after: str | None


class Result(Struct, frozen=True, kw_only=True):
    """What came of one request. `id` is that of the original, `replay_id` that of the answer now.

    `new_error`: it was answered below 500 and now is not. `fixed`: it was not and now is. `why` says why there was no
    answer. `notes` say what could not be compared. `more` differences were found beside those told.
    """

    id: str
    replay_id: str
    number: int
    """Of the step, from 0."""
    method: str
    target: str
    kind: Kind
    why: str = ""
    new_error: bool = False
    fixed: bool = False
    slower: bool = False
    redeems: bool = False
    """The original is a dead letter that is answered below 400 now."""
    time: float
    """Unix seconds of the original."""
    status_before: int
    status_after: int
    ms_before: float
    ms_after: float
    hops_before: list[HopTimes] = []
    hops_after: list[HopTimes] = []
    differences: tuple[Difference, ...] = ()
    more: int = 0
    notes: tuple[str, ...] = ()


def rules(ignore: Iterable[str], tolerance: float = 0.0) -> Rules:
    """Rules with these ignored beside the usual ones: names of header fields and JSON pointers. Raises ConfigError."""
    names, pointers = set(IGNORED_HEADERS), []
    for item in ignore:
        if item.startswith("/"):
            pointers.append(jsondiff.pointer(item, "--ignore"))
        elif item and item.isascii() and item.isprintable() and not any(c in item for c in ' ,:;/"'):
            names.add(item.lower())
        else:
            raise ConfigError(f"{item!r} is neither a header nor a JSON pointer", "--ignore", "Write date, or /trip/id")
    return Rules(frozenset(names), tuple(pointers), tolerance)


def compare(entry: Entry, outcome: Outcome, rules: Rules) -> Result:
    """The answer of then, which `entry` has, and `outcome`."""
    row = entry.row
    before, after = row.status, outcome.status
    ms_after = outcome.seconds * 1e3
    was_good = 0 < before < 500 or before == NOT_SAID
    is_good = 0 < after < 500
    found: list[Difference] = []
    more = 0
    notes: list[str] = []
    if not after:
        kind = Kind.FAILED
    else:
        if before == NOT_SAID:
            if not is_good:
                found.append(Difference("status", None, str(after)))
            elif not entry.answer_fields and _says_no_body(entry):
                notes.append("nothing to compare: there is no answer of then")
        elif before != after:
            found.append(Difference("status", str(before) if before else "no answer", str(after)))
        if before:
            every = _answer_differences(entry, outcome, rules, notes)
            found.extend(islice(every, TOLD - len(found)))
            more = sum(1 for _ in every)
        kind = Kind.CHANGED if found else Kind.SAME
    return Result(
        id=row.id,
        replay_id=outcome.request_id,
        number=outcome.number,
        method=row.method,
        target=entry.target,
        kind=kind,
        why=outcome.error,
        new_error=was_good and not is_good,
        fixed=is_good and not was_good,
        redeems=row.dead and not row.redeemed and 0 < after < 400,
        slower=before > 0 and after > 0 and 0 < row.ms < min(ms_after / rules.slower, ms_after - rules.slower_ms),
        time=row.time,
        status_before=max(before, 0),
        status_after=after,
        ms_before=row.ms,
        ms_after=ms_after,
        hops_before=row.hops,
        differences=tuple(found),
        more=more,
        notes=tuple(notes),
    )


def _answer_differences(entry: Entry, outcome: Outcome, rules: Rules, notes: list[str]) -> Iterator[Difference]:
    """Those of headers and bodies. Adds to `notes` what could not be compared."""
    row = entry.row
    ignored, pointers = rules.headers, rules.pointers
    for name in entry.redacted:
        if name.startswith(_ANSWER_HEADER):
            ignored |= {name.removeprefix(_ANSWER_HEADER).lower()}
            notes.append(f"{name.removeprefix('answer ')} is redacted, not compared")
        elif name.startswith(_ANSWER_BODY):
            pointers += (jsondiff.pointer(name.removeprefix(_ANSWER_BODY), name),)
            notes.append(f"{name.removeprefix('answer ')} is redacted, not compared")
    # A set that was written by hand expects only those headers that it names, if it names any.
    if entry.answer_fields != outcome.fields and (entry.answer_fields or row.number):
        yield from _header_differences(_by_name(entry.answer_fields, ignored), _by_name(outcome.fields, ignored))
    bodyless = row.method == "HEAD" or row.status in _BODYLESS
    if bodyless or outcome.status in _BODYLESS:
        if row.status == outcome.status and bodyless:
            yield from _length_differences(entry.answer_fields, outcome.fields, rules)
        elif not bodyless and entry.answer_body:
            yield Difference("body", _told(row.size or len(entry.answer_body), entry.answer_body), None)
        return
    if _says_no_body(entry):
        return
    old, new = entry.answer_body, outcome.body
    if row.answer_cut:
        notes.append(f"the body is compared as far as it was recorded: {len(old)} of {row.size} bytes")
        if row.size != len(new):
            yield Difference("body length", f"{row.size} bytes", f"{len(new)} bytes")
        new = new[: len(old)]
    if old != new:
        yield from _body_differences(entry, outcome, new, Ignoring(pointers), rules.tolerance)


def _says_no_body(entry: Entry) -> bool:
    """Of a set that was written by hand: what the body should be, it does not say."""
    return entry.row.answer_cut and not entry.row.size


def _by_name(fields: Headers, ignored: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for field, value in fields:
        name = field.lower()
        if name not in ignored:
            found.setdefault(name, []).append(value.strip())
    return found


def _header_differences(old: dict[str, list[str]], new: dict[str, list[str]]) -> Iterator[Difference]:
    if old == new:
        return
    for name in [*old, *(name for name in new if name not in old)]:
        if old.get(name) != new.get(name):
            yield Difference(f"header {name}", *_values(old.get(name), new.get(name)))


def _values(old: list[str] | None, new: list[str] | None) -> tuple[str | None, str | None]:
    if old is None or new is None:
        return (None, jsondiff.cut(", ".join(new or ()))) if old is None else (jsondiff.cut(", ".join(old)), None)
    return jsondiff.excerpts(", ".join(old), ", ".join(new))


def _length_differences(old: Headers, new: Headers, rules: Rules) -> Iterator[Difference]:
    """Of answers that tell the length of a body that they do not have; ours records it nowhere."""
    nothing: frozenset[str] = frozenset()
    before, after = (_by_name(fields, nothing).get("content-length") for fields in (old, new))
    if before and after and before != after:
        yield Difference("header content-length", *_values(before, after))


def _body_differences(
    entry: Entry, outcome: Outcome, new: bytes, ignoring: Ignoring, tolerance: float
) -> Iterator[Difference]:
    """Of two bodies that are not the same bytes; `new` is as much of it as was recorded of the old one."""
    old = entry.answer_body
    cut = entry.row.answer_cut
    types = _type(entry.answer_fields), _type(outcome.fields)
    if not cut and (any(map(_is_json, types)) or (old[:1] in (b"{", b"[") and new[:1] in (b"{", b"["))):
        try:
            documents = jsondiff.parse(old), jsondiff.parse(new)
        except ValueError:
            pass
        else:
            if types == (_PROBLEM, _PROBLEM):
                ignoring = ignoring.also(("request_id",))
            for where, before, after in jsondiff.differences(*documents, ignoring, tolerance):
                yield Difference(f"body {where}" if where else "body", before, after)
            return
    texts = _text(old, cut), _text(new, cut)
    if texts[0] is not None and texts[1] is not None and texts[0] != texts[1]:
        for line, was, now in textdiff.differences(texts[0], texts[1]):
            yield Difference(f"body line {line}", was, now)
    else:
        yield Difference("body", _told(len(old), old), _told(len(new), new))


def _type(fields: Headers) -> str:
    value = next((value for name, value in fields if name.lower() == "content-type"), "")
    return value.partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _text(body: bytes, cut: bool) -> str | None:
    """None for what is no text. Where a body was cut, the last character may not be whole, and is left out."""
    if b"\0" in body:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body, final=not cut)
    except UnicodeDecodeError:
        return None


def _told(size: int, body: bytes) -> str:
    return f"{size} bytes, blake2b {blake2b(body, digest_size=8).hexdigest()}" if body else "empty"
