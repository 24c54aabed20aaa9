"""Saved sets: a recorded request as a JSON object, and back. A set is a file with one of these a line (JSONL).

What `requests show --json` prints has the same shape. A line may also be written by hand; all that it must have is
`method` and `target` (or `path` and `query`):

    {"method": "GET", "target": "/is_prime?possible_prime=7", "answer": {"status": 200, "body": "7"}}

`target` and `answer.status` are what counts where `path`, `query` and `status` say something else: those are there to
be read. Of an answer, only what the line says is expected: a status that it does not say is `NOT_SAID`, no headers are
`()`, and a body that it does not say is one cut at 0 bytes. Unknown keys are refused, or a slip of typing would make a
test that expects nothing; `comment` is for people.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from primectl.config.problems import nearest
from primectl.errors import ConfigError
from primectl.message import Headers
from primectl.wire.journal import Entry, HopTimes, Row

NOT_SAID = -1
"""`Row.status` of an entry whose set does not say which one is expected."""
LONGEST_ID = 13
"""Hexadecimal digits of an X-Request-Id."""
LAST_TIME = 253_402_300_799.0
"""The end of the year 9999: a later time has no ISO text."""

_ID = re.compile(rf"[0-9a-f]{{1,{LONGEST_ID}}}")
_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_TYPE = re.compile(r"`([^`]*)`")
_WORDS = {
    "str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false",
    "array": "a list", "object": "an object",
}  # fmt: skip


# --- writing ----------------------------------------------------------------------------------------------------------


def row_to_json(row: Row) -> dict[str, Any]:
    """A row of a list: its fields, `time` as ISO 8601 UTC text with milliseconds, and the `target`."""
    fields: dict[str, Any] = msgspec.to_builtins(row)
    fields["time"] = time_text(row.time)
    fields["target"] = f"{row.path}?{row.query}" if row.query else row.path
    return fields


def to_json(entry: Entry) -> dict[str, Any]:
    """The whole entry. Bodies are text where they are UTF-8, else base64, as `body_encoding` says."""
    fields = row_to_json(entry.row)
    answer = {"status": entry.row.status, "headers": entry.answer_fields, **_body_to_json(entry.answer_body)}
    if entry.row.status == NOT_SAID:
        del fields["status"], answer["status"]
    return fields | {
        "request": {
            "version": entry.version,
            "scheme": entry.scheme,
            "headers": entry.fields,
            **_body_to_json(entry.body),
        },
        "answer": answer,
        "redacted": entry.redacted,
    }


def to_line(entry: Entry) -> bytes:
    """The entry as a line of a set, with its end."""
    return msgspec.json.encode(to_json(entry)) + b"\n"


def time_text(unix_s: float) -> str:
    """ "2026-01-31T12:00:00.123Z"."""
    return datetime.fromtimestamp(round(unix_s, 3), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _body_to_json(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode(), "body_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "body_encoding": "base64"}


# --- reading ----------------------------------------------------------------------------------------------------------

_Pairs = list[tuple[str, str]] | dict[str, str]


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    version: str = "1.1"
    scheme: str = "http"
    headers: _Pairs = []
    body: str = ""
    body_encoding: Literal["utf-8", "base64"] = "utf-8"


class _Answer(Struct, frozen=True, forbid_unknown_fields=True):
    status: int | None = None
    headers: _Pairs = []
    body: str | None = None
    body_encoding: Literal["utf-8", "base64"] = "utf-8"


class _Line(Struct, forbid_unknown_fields=True, kw_only=True):
    method: str
    target: str | None = None
    id: str = ""
    number: int = 0
    time: str | float = 0.0
    path: str = ""
    query: str = ""
    status: int | None = None
    ms: float = 0.0
    pool: str = ""
    worker: str = ""
    server: str = ""
    client: str = ""
    attempts: int = 1
    size: int = 0
    asked_size: int = 0
    problem: str = ""
    hops: list[HopTimes] = []
    cut: bool = False
    answer_cut: bool = False
    dead: bool = False
    redeemed: bool = False
    streamed: bool = False
    imported: bool = False
    replay_of: str = ""
    replay_run: str = ""
    request: _Asked = _Asked()
    answer: _Answer = _Answer()
    redacted: list[str] = []
    comment: str = ""


_KEYS = {"": _Line, "request": _Asked, "answer": _Answer}
_decode = msgspec.json.Decoder(_Line).decode


def from_json(value: Mapping[str, Any], where: str = "") -> Entry:
    """The entry of one object; its `id` is "" where it has none. Raises ConfigError, which begins with `where`."""
    try:
        return _entry(msgspec.convert(value, _Line), where)
    except msgspec.ValidationError as error:
        raise mistake(str(error), where) from None


def numbered(number: int) -> str:
    """The id of a request that has none: its line in the set, or its place in the archive."""
    return f"{number:0{LONGEST_ID}x}"


def read_set(lines: Iterable[bytes], name: str, unnamed: Callable[[int], str] = numbered) -> Iterator[Entry]:
    """The entries of a set in the order of its lines; empty lines and those that begin with # are passed over.

    `name` is the file's, for errors. `unnamed` makes the id of an entry without one from the number of its line. Raises
    ConfigError that names file and line at the first line that is wrong, so who must not do things by halves reads all
    before it begins.
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        where = f"{name}:{number}"
        try:
            entry = _entry(_decode(text), where)
        except msgspec.ValidationError as error:
            raise mistake(str(error), where) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"not a JSON object: {_reason(error)}", where, "A set has one object a line") from None
        if not entry.row.id:
            entry = structs.replace(entry, row=structs.replace(entry.row, id=unnamed(number)))
        yield entry


def _entry(line: _Line, where: str) -> Entry:
    path, query = line.path, line.query
    if line.target is not None:
        path, _, query = line.target.partition("?")
    elif not path:
        raise ConfigError('the key "target" is missing', where, "It is the path with its query, such as /a?b=c")
    body = _body(line.request.body, line.request.body_encoding, _below(where, "request"))
    answered = line.answer.body
    answer_body = _body(answered or "", line.answer.body_encoding, _below(where, "answer"))
    answer_cut = line.answer_cut or answered is None
    status = line.answer.status if line.answer.status is not None else line.status
    return Entry(
        row=Row(
            id=_id(line.id, "id", where),
            number=line.number,
            time=_time(line.time, where),
            method=line.method,
            path=path,
            query=query,
            status=NOT_SAID if status is None else status,
            ms=line.ms,
            pool=line.pool,
            worker=line.worker,
            server=line.server,
            client=line.client,
            attempts=line.attempts,
            size=max(line.size, len(answer_body)) if answer_cut else len(answer_body),
            asked_size=max(line.asked_size, len(body)) if line.cut else len(body),
            problem=line.problem,
            hops=line.hops,
            cut=line.cut,
            answer_cut=answer_cut,
            dead=line.dead,
            redeemed=line.redeemed,
            streamed=line.streamed,
            imported=line.imported,
            replay_of=_id(line.replay_of, "replay_of", where),
            replay_run=line.replay_run,
        ),
        version=line.request.version,
        scheme=line.request.scheme,
        fields=_fields(line.request.headers, _below(where, "request.headers")),
        body=body,
        answer_fields=_fields(line.answer.headers, _below(where, "answer.headers")),
        answer_body=answer_body,
        redacted=line.redacted,
    )


def _id(text: str, key: str, where: str) -> str:
    if text and not _ID.fullmatch(text):
        what = f'expected an X-Request-Id of 1 to {LONGEST_ID} hexadecimal digits in lower case, got "{text}"'
        raise ConfigError(what, _below(where, key), "Leave it out to have one made")
    return text and text.zfill(LONGEST_ID)


def _time(value: str | float, where: str) -> float:
    """Unix seconds of ISO 8601 text (UTC where it names no zone), or of a number of them."""
    try:
        if isinstance(value, str):
            said = datetime.fromisoformat(value)
            value = (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
        if 0 <= value <= LAST_TIME:
            return float(value)
    except ValueError:
        pass
    what = f"expected a time such as 2026-01-31T12:00:00.123Z, got {msgspec.json.encode(value).decode()}"
    raise ConfigError(what, _below(where, "time"))


def _body(text: str, encoding: str, where: str) -> bytes:
    try:
        return text.encode() if encoding == "utf-8" else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"not {encoding}: {error}", _below(where, "body")) from None


def _fields(pairs: _Pairs, where: str) -> Headers:
    fields = tuple(pairs.items() if isinstance(pairs, dict) else pairs)
    for name, value in fields:
        try:
            f"{name}{value}".encode("latin-1")
        except UnicodeEncodeError:
            raise ConfigError(f'the field "{name}" has a character that is not in Latin-1', where) from None
    return fields


def mistake(text: str, where: str) -> ConfigError:
    """What msgspec says of a value that does not fit, in our words; its path stands behind `where`."""
    found = _AT.fullmatch(text)
    assert found is not None
    what, path = found["what"], (found["path"] or "").removeprefix("$").removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(what):
        known = _KEYS.get(path)
        mend = nearest(unknown[1], known.__struct_fields__) if known else ""
        return ConfigError(f'unknown key "{unknown[1]}"', _below(where, path), mend)
    if missing := _MISSING.fullmatch(what):
        return ConfigError(f'the key "{missing[1]}" is missing', _below(where, path))
    what = _TYPE.sub(lambda type_: " or ".join(_WORDS.get(word, word) for word in type_[1].split(" | ")), what)
    return ConfigError(f"{what[:1].lower()}{what[1:]}", _below(where, path))


def _below(where: str, key: str) -> str:
    return ": ".join(filter(None, (where, key)))


def _reason(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ")
