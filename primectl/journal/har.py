"""HAR 1.2 (HTTP Archive), as browsers and proxies write it, out and in.

What HAR has no place for stands in an entry's field `_primectl`: the rest of the row (id, hops, worker …), what was
redacted, and the target where no URL can say it. Read again, an entry that we wrote is what it was; one of others is
taken for what it most likely means, since no two of them write the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from msgspec import Struct, structs

from primectl.errors import ConfigError
from primectl.journal import sets
from primectl.message import HeaderMap, Headers, reason
from primectl.wire.journal import Entry, Row

VERSION = "1.2"
END = b"\n]}}\n"
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]+)?|\[[0-9A-Fa-f:.]+\](?::[0-9]+)?")
_KEPT_BY_HAR = ("time", "method", "path", "query", "target", "status", "ms")
_URL_LETTERS = "%/:?[]@!$&'()*+,;=~-._|\"<>\\^`{}"
_FORM = "application/x-www-form-urlencoded"
_WHOLE = ("content-encoding", "content-length", "transfer-encoding")
"""Fields of an answer that speak of bytes that HAR does not have: its bodies are unpacked."""


# --- writing ----------------------------------------------------------------------------------------------------------


def begin(creator_version: str) -> bytes:
    """What comes before the first entry. Entries are parted by a comma, and `END` comes behind the last one."""
    creator = msgspec.json.encode({"name": "primectl", "version": creator_version})
    return b'{"log":{"version":"' + VERSION.encode() + b'","creator":' + creator + b',"entries":[\n'


def to_har(entry: Entry) -> dict[str, Any]:
    """One object of `log.entries`."""
    row = entry.row
    url = _url(entry)
    ours = {name: value for name, value in sets.row_to_json(row).items() if name not in _KEPT_BY_HAR}
    ours["redacted"] = entry.redacted
    if _target_of(url) != entry.target:
        ours["target"] = entry.target
    return {
        "startedDateTime": sets.time_text(row.time),
        "time": row.ms,
        "request": {
            "method": row.method,
            "url": url,
            "httpVersion": f"HTTP/{entry.version}",
            "cookies": [],
            "headers": _pairs(entry.fields),
            "queryString": [
                {"name": name, "value": value} for name, value in parse_qsl(row.query, keep_blank_values=True)
            ],
            "headersSize": -1,
            "bodySize": row.asked_size,
            **({"postData": _post_data(entry)} if entry.body else {}),
        },
        "response": {
            "status": max(row.status, 0),
            "statusText": reason(row.status),
            "httpVersion": f"HTTP/{entry.version}",
            "cookies": [],
            "headers": _pairs(entry.answer_fields),
            "content": {"size": row.size, "mimeType": _type(entry.answer_fields), **_text(entry.answer_body)},
            "redirectURL": HeaderMap(entry.answer_fields).get("location", ""),
            "headersSize": -1,
            "bodySize": row.size,
        },
        "cache": {},
        "timings": {"send": 0, "wait": row.ms, "receive": 0},
        "_primectl": ours,
    }


def _url(entry: Entry) -> str:
    host = HeaderMap(entry.fields).get("host", "")
    place = host if _HOST.fullmatch(host) else "localhost"
    target = entry.target if entry.target.startswith("/") else "/"
    return f"{entry.scheme if entry.scheme == 'https' else 'http'}://{place}{target}"


def _pairs(fields: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in fields]


def _type(fields: Headers) -> str:
    return HeaderMap(fields).get("content-type", "")


def _post_data(entry: Entry) -> dict[str, str]:
    """HAR 1.2 has no way to say that a request's body is not text; `_encoding` is what some others write, too."""
    told = _text(entry.body)
    return {
        "mimeType": _type(entry.fields),
        "text": told["text"],
        **({"_encoding": "base64"} if "encoding" in told else {}),
    }


def _text(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(body).decode(), "encoding": "base64"}


# --- reading: what may stand there, in whatever others write it -------------------------------------------------------


class _Pair(Struct):
    name: str = ""
    value: str | None = None
    file_name: str | None = msgspec.field(default=None, name="fileName")
    type: str | None = msgspec.field(default=None, name="contentType")


class _PostData(Struct):
    type: str | None = msgspec.field(default=None, name="mimeType")
    text: str | None = None
    params: list[_Pair] | None = None
    encoding: str | None = None
    our_encoding: str | None = msgspec.field(default=None, name="_encoding")


class _Request(Struct):
    method: str
    url: str
    version: str | None = msgspec.field(default=None, name="httpVersion")
    headers: list[_Pair] | None = None
    query: list[_Pair] | None = msgspec.field(default=None, name="queryString")
    size: float | None = msgspec.field(default=None, name="bodySize")
    post_data: _PostData | None = msgspec.field(default=None, name="postData")


class _Content(Struct):
    size: float | None = None
    text: str | None = None
    encoding: str | None = None


class _Response(Struct):
    status: int | None = None
    headers: list[_Pair] | None = None
    content: _Content | None = None
    error: str | None = msgspec.field(default=None, name="_error")


class _HarEntry(Struct):
    request: _Request
    response: _Response | None = None
    began: str | None = msgspec.field(default=None, name="startedDateTime")
    ms: float | None = msgspec.field(default=None, name="time")
    ours: dict[str, Any] | None = msgspec.field(default=None, name="_primectl")


class _Log(Struct):
    entries: list[_HarEntry]


class _Har(Struct):
    log: _Log


_decode = msgspec.json.Decoder(_Har).decode


def read_har(data: bytes, name: str, unnamed: Callable[[int], str] = sets.numbered) -> Iterator[Entry]:
    """The entries of an archive in its order; those that are no HTTP (`data:`, `ws:`, `blob:` …) are passed over.

    `unnamed` makes the id of one that is not ours from its place, which counts from 1. Raises ConfigError, with `name`
    and the place.
    """
    for number, entry in enumerate(_har(data, name).log.entries, 1):
        if entry.request.url.lower().startswith(("http://", "https://")):
            yield _entry(entry, unnamed(number), f"{name}: log.entries[{number - 1}]")


def _har(data: bytes, name: str) -> _Har:
    text = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return _decode(text)
    except msgspec.ValidationError as error:
        raise sets.mistake(str(error), name) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what, where = str(error), name
        try:
            json.loads(text)
        except json.JSONDecodeError as better:
            what, where = better.msg, f"{name}:{better.lineno}"
        except UnicodeDecodeError:
            pass  # it has said so
        raise ConfigError(f"not JSON: {what}", where, "A HAR file is one JSON object") from None


def _entry(har: _HarEntry, id_: str, where: str) -> Entry:
    request, response = har.request, har.response or _Response()
    target = _target_of(request.url)
    if "?" not in target and request.query:
        target += "?" + urlencode([(pair.name, pair.value or "") for pair in request.query])
    fields = _fields(request.headers)
    host = _authority(request)
    if host and "host" not in HeaderMap(fields):
        fields = (("host", host), *fields)
    body, cut = _asked_body(request, fields, f"{where}.request")
    content = response.content or _Content()
    answer = _bytes(content.text or "", content.encoding, f"{where}.response.content")
    answer_cut = content.text is None and content.size not in (0, None)
    answer_fields = _fields(response.headers)
    if har.ours is None and "content-encoding" in HeaderMap(answer_fields):
        answer_fields = tuple(field for field in answer_fields if field[0].lower() not in _WHOLE)
    told = {
        "id": id_,
        "problem": response.error or "",
        "cut": cut,
        "answer_cut": answer_cut,
        "size": _size(content.size),
        "asked_size": _size(request.size),
        **(har.ours or {}),
        "method": request.method,
        "time": har.began or 0.0,
        "ms": har.ms or 0.0,
        "request": {
            "version": "1.0" if (request.version or "").upper() == "HTTP/1.0" else "1.1",
            "scheme": "https" if request.url.lower().startswith("https:") else "http",
        },
        "answer": {"status": response.status or 0, "body": ""},
    }
    told.setdefault("target", target)
    entry = sets.from_json(told, where)
    row: Row = structs.replace(
        entry.row,
        size=max(entry.row.size, told["size"], len(answer)) if entry.row.answer_cut else len(answer),
        asked_size=max(entry.row.asked_size, len(body)) if entry.row.cut else len(body),
    )
    return structs.replace(entry, row=row, fields=fields, body=body, answer_fields=answer_fields, answer_body=answer)


def _target_of(url: str) -> str:
    """The request target (origin form) of an absolute URL; its letters as they may stand in a request."""
    rest = url.partition("://")[2].partition("#")[0]
    place = re.split(r"[/?]", rest, maxsplit=1)[0]
    target = rest[len(place) :]
    return quote(target if target.startswith("/") else f"/{target}", safe=_URL_LETTERS)


def _authority(request: _Request) -> str:
    for pair in request.headers or ():
        if pair.name.lower() == ":authority" and pair.value:
            return pair.value
    try:
        return urlsplit(request.url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _fields(pairs: list[_Pair] | None) -> Headers:
    """Without the pseudo-fields of HTTP/2; fields that were put into one, a line each, are parted again."""
    return tuple(
        (_latin1(pair.name), _latin1(value))
        for pair in pairs or ()
        if pair.name and not pair.name.startswith(":")
        for value in (pair.value or "").split("\n")
    )


def _latin1(text: str) -> str:
    """The text as header fields hold it here: each letter a byte. What is not Latin-1 was UTF-8 on the wire."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("latin-1")
    return text


def _asked_body(request: _Request, fields: Headers, where: str) -> tuple[bytes, bool]:
    """The body, and whether it is known not to be whole."""
    post = request.post_data
    if post is None or (not post.text and not post.params):
        return b"", _size(request.size) > 0
    if post.text:
        return _bytes(post.text, post.our_encoding or post.encoding, f"{where}.postData"), False
    params = post.params or []
    kind = post.type or _type(fields) or _FORM
    if kind.partition(";")[0].strip().lower() == _FORM:
        return urlencode([(pair.name, pair.value or "") for pair in params]).encode(), False
    boundary = re.search(r'boundary="?([^";\s]+)"?', f"{kind} {_type(fields)}")
    if boundary is None:
        return b"", True
    whole = all(pair.value is not None or pair.file_name is None for pair in params)
    return _multipart(params, boundary[1]), not whole


def _multipart(params: list[_Pair], boundary: str) -> bytes:
    """RFC 7578."""
    parts = []
    for pair in params:
        file_name = "" if pair.file_name is None else f'; filename="{pair.file_name}"'
        type_ = f"\r\nContent-Type: {pair.type}" if pair.type else ""
        head = f'Content-Disposition: form-data; name="{pair.name}"{file_name}{type_}'
        parts.append(f"--{boundary}\r\n{head}\r\n\r\n{pair.value or ''}\r\n")
    return f"{''.join(parts)}--{boundary}--\r\n".encode()


def _bytes(text: str, encoding: str | None, where: str) -> bytes:
    if encoding != "base64":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"not base64: {error}", f"{where}.text") from None


def _size(size: float | None) -> int:
    """-1 is "not known" to HAR."""
    return max(0, int(size or 0))
