"""Step 9: what shall not be written down is replaced by a keyed hash, before anything is written.

In place of a value stands `redacted:<bytes>:<16 hex digits>`: its length, and a hash of it with the cluster's own key.
So it can be seen whether two values are the same, and with a key that nobody has who has only the journal, short values
cannot be found by trying. Values are hashed as they are meant, not as they are written: a query's without its escapes,
a JSON string's without its quotes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import msgspec
from msgspec import Raw, Struct, structs

from primectl.config.model import JournalConfig
from primectl.message import Headers
from primectl.wire.journal import Record

KEY_BYTES = 32
TOKEN = re.compile(r"redacted:[0-9]{1,12}:[0-9a-f]{16}")
FORM = "application/x-www-form-urlencoded"
ANY = "*"
"""In a pointer: every key of an object, every place in an array."""


class _Asked(Struct, array_like=True, frozen=True, gc=False):
    """`message.Request` without its views, which is decoded in half the time."""

    method: str
    target: str
    fields: Headers = ()
    body: bytes = b""
    client: str = ""
    path_params: Raw = Raw(b"\x80")
    version: str = "1.1"
    scheme: str = "http"


_raws = msgspec.msgpack.Decoder(list[Raw]).decode
_record = msgspec.msgpack.Decoder(Record).decode
_request = msgspec.msgpack.Decoder(_Asked).decode
_encode = msgspec.msgpack.Encoder().encode


class Redacted(Struct, frozen=True):
    """Records as msgpack of a list of them; by place, what was taken out of each (as `Entry.redacted` says it)."""

    records: bytes
    names: dict[int, list[str]] = {}


class Redactor:
    """The rules of [journal] and the key."""

    def __init__(self, config: JournalConfig, key: bytes) -> None:
        self._key = key
        self._headers = frozenset(name.lower() for name in config.redact_headers)
        # What has `set-cookie` in it has `cookie` too: the shorter ones are all that is looked for first.
        self._header_bytes = tuple(
            name.encode()
            for name in self._headers
            if not any(other in name for other in self._headers if other != name)
        )
        self._lengths = frozenset(len(name) for name in self._headers)
        self._query = frozenset(config.redact_query)
        # Outer ones first: what they have replaced has nothing inside.
        self._pointers = sorted(
            ((text, parse_pointer(text)) for text in config.redact_body), key=lambda each: len(each[1])
        )

    def token(self, value: bytes) -> str:
        """What stands in place of the value; a token, as in a file that was exported, stands for itself."""
        if value.startswith(b"redacted:") and (found := TOKEN.fullmatch(value.decode("latin-1"))) is not None:
            return found[0]
        return f"redacted:{len(value)}:{hashlib.blake2b(value, digest_size=8, key=self._key).hexdigest()}"

    # --- records ------------------------------------------------------------------------------------------------------

    def records(self, records: bytes) -> Redacted:
        """The same without what shall not be written; those that have nothing of it are not even decoded.

        Raises msgspec.MsgspecError for what is no list of records.
        """
        if not self._may_touch(records):
            return Redacted(records)
        raws = _raws(records)
        names: dict[int, list[str]] = {}
        changed = False
        for place, raw in enumerate(raws):
            if not self._may_touch(bytes(raw)):
                continue
            before = _record(raw)
            after, found = self.record(before)
            if after is not before:
                raws[place] = Raw(_encode(after))
                changed = True
            if found:
                names[place] = found
        return Redacted(_encode(raws) if changed else records, names)

    def _may_touch(self, encoded: bytes) -> bool:
        if self._query or self._pointers:
            return True
        lowered = encoded.lower()
        for name in self._header_bytes:  # noqa: SIM110  `any` with a generator takes three times as long
            if name in lowered:
                return True
        return False

    def record(self, record: Record) -> tuple[Record, list[str]]:
        """The record, itself if there is nothing to take out, and what was taken out."""
        found: list[str] = []
        asked, asked_bytes = self._asked(record, found)
        fields = self._fields(record.fields, "answer header", found)
        body = self._body(record.body, record.fields, record.body_bytes, "answer ", found)
        if asked is record.asked and fields is record.fields and body is record.body:
            return record, found
        changed = structs.replace(
            record,
            asked=asked,
            asked_bytes=asked_bytes,
            fields=fields,
            body=body,
            body_bytes=_whole_bytes(record.body, record.body_bytes, body),
        )
        return changed, found

    def _asked(self, record: Record, found: list[str]) -> tuple[bytes, int]:
        """The request and the bytes of its whole body."""
        try:
            request = _request(record.asked)
        except msgspec.MsgspecError:
            # No request of ours: nobody could show what is in it, nor say that there is no secret.
            return b"" if record.asked else record.asked, record.asked_bytes
        target = self._target(request.target, found)
        fields = self._fields(request.fields, "header", found)
        body = self._body(request.body, request.fields, record.asked_bytes, "", found)
        if target is request.target and fields is request.fields and body is request.body:
            return record.asked, record.asked_bytes
        changed = structs.replace(request, target=target, fields=fields, body=body)
        return _encode(changed), _whole_bytes(request.body, record.asked_bytes, body)

    # --- header fields and queries ------------------------------------------------------------------------------------

    def _fields(self, fields: Headers, kind: str, found: list[str]) -> Headers:
        lengths = self._lengths
        after: list[tuple[str, str]] = []
        for place, (name, value) in enumerate(fields):
            if len(name) in lengths and (lowered := name.lower()) in self._headers:
                after = after or list(fields)
                after[place] = (name, self.token(value.encode("utf-8", "surrogatepass")))
                _add(found, f"{kind} {lowered}")
        return tuple(after) if after else fields

    def _target(self, target: str, found: list[str]) -> str:
        path, mark, query = target.partition("?")
        after = self._pairs(query, "query", found)
        return target if after is query else f"{path}{mark}{after}"

    def _pairs(self, query: str, kind: str, found: list[str]) -> str:
        """`a=b&c=d`, as latin-1 text. A key stays as it is written, whatever its escapes."""
        if not self._query or not query:
            return query
        pairs = query.split("&")
        changed = False
        for number, pair in enumerate(pairs):
            key, equals, value = pair.partition("=")
            name = unquote(key.replace("+", " "), errors="replace")
            if equals and name in self._query:
                _add(found, f"{kind} {name}")
                pairs[number] = f"{key}={self.token(unquote_to_bytes(_bytes(value.replace('+', ' '))))}"
                changed = True
        return "&".join(pairs) if changed else query

    # --- bodies -------------------------------------------------------------------------------------------------------

    def _body(self, body: bytes, fields: Headers, whole_bytes: int, side: str, found: list[str]) -> bytes:
        """The body; empty where it may have what shall not be written, and where cannot be told."""
        if not body or not (self._query or self._pointers):
            return body
        kind = _content_type(fields)
        if kind.startswith(FORM):
            text = body.decode("latin-1")
            after = self._pairs(text, f"{side}body", found)
            if after is not text:
                return after.encode("latin-1")
        if not self._pointers:
            return body
        says_json = "json" in kind
        looks_like_json = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
        if len(body) < whole_bytes:
            return b"" if says_json or looks_like_json else body
        try:
            return self._json(json.loads(body), f"{side}body", found, body)
        except (json.JSONDecodeError, UnicodeDecodeError):
            return b"" if says_json else body
        except (ValueError, RecursionError):  # it is JSON, with more depth or digits than can be taken
            return b""

    def _json(self, value: Any, kind: str, found: list[str], body: bytes) -> bytes:
        holder = [value]
        changed = False
        for text, steps in self._pointers:
            if replace(holder, ("0", *steps), self._json_token):
                _add(found, f"{kind} {text}")
                changed = True
        # With escapes for what is not ASCII: half a surrogate pair, which JSON may have, has no UTF-8.
        return json.dumps(holder[0], separators=(",", ":")).encode() if changed else body

    def _json_token(self, value: Any) -> str:
        if isinstance(value, str):
            return self.token(value.encode("utf-8", "surrogatepass"))
        return self.token(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())


def parse_pointer(text: str) -> tuple[str, ...]:
    """The steps of a JSON pointer (RFC 6901)."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:])


def replace(value: Any, steps: Sequence[str], new: Callable[[Any], Any]) -> int:
    """Put `new(old)` in each place that the steps of a pointer lead to; how many there are. ANY stands for any step."""
    step, *rest = steps
    places: list[Any] = []
    if isinstance(value, dict):
        places = list(value) if step == ANY else [step] if step in value else []
    elif isinstance(value, list):
        if step == ANY:
            places = list(range(len(value)))
        elif step.isascii() and step.isdigit() and len(step) <= 9 and int(step) < len(value):
            places = [int(step)]
    if rest:
        return sum(replace(value[place], rest, new) for place in places)
    for place in places:
        value[place] = new(value[place])
    return len(places)


def _whole_bytes(before: bytes, whole: int, after: bytes) -> int:
    """Bytes of the whole body: by tokens it gets longer or shorter, and is as whole as it was."""
    return len(after) if len(before) >= whole and (after or not before) else whole


def _bytes(text: str) -> bytes:
    """Of a part of a target: latin-1 as it came by HTTP, but in a file from elsewhere it may be any text."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _content_type(fields: Headers) -> str:
    return next((value.strip().lower() for name, value in fields if name.lower() == "content-type"), "")


def _add(found: list[str], name: str) -> None:
    if name not in found:
        found.append(name)
