"""A recorded request as one line for a POSIX shell, with curl.

curl sends what was sent, no more: fields that it would add by itself (User-Agent, Accept, a form's Content-Type) are
switched off where the request has none. Bodies that are no single line of text, and those too long for an argument of a
program, come through printf, which every shell has built in, as octal escapes. What was redacted stands in the line as
`redacted:…`, so the server refuses it rather than taking it for something else.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from primectl.journal import plan
from primectl.wire.journal import Entry

LONGEST_ARGUMENT = 100 << 10
"""Bytes; Linux takes 128 KiB in one argument."""
_SAFE_WORD = re.compile(r"[A-Za-z0-9@%+=:,./_-]+")
_PLAIN = re.compile(rb"[\t -~]*")
_URL_TARGET = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/?%\[\]{}|\"-]*")
"""A request target that curl leaves as it is at the end of a URL."""
_DOTS = re.compile(r"/\.\.?(?:/|$)")
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
"""Methods whose request says that its body is empty (RFC 9110 8.6)."""


def to_curl(entry: Entry, base: str) -> str:
    """The command, without a line's end. `base` is where to send it: "http://host:port", or "unix:/path".

    For a request that cannot be sent again (`plan.unusable`) it is a comment that says why. The body of a HEAD is left
    out: it means nothing (RFC 9110 9.3.2), and curl cannot send one.
    """
    why = plan.unusable(entry)
    if why:
        return f"# {entry.row.id}: {_visible(why)}"
    request = plan.bare(entry)
    body = b"" if request.method == "HEAD" else request.body
    words = ["curl", *_method(request.method, body), *_url(base, request.target)]
    if entry.version == "1.0":
        words.append("--http1.0")
    given = {name.lower() for name, _ in request.fields}
    for name in ("User-Agent", "Accept", *(("Content-Type",) if body or request.method in _WITH_BODY else ())):
        if name.lower() not in given:
            words += ["-H", _word(f"{name}:".encode())]
    if body:
        words += ["-H", "Expect:"]
    for name, value in request.fields:
        # "Name;" is how curl is told of a field that is empty; with a colon it would leave the field out
        words += ["-H", _word((f"{name}: {value}" if value.strip() else f"{name};").encode("latin-1"))]
    if not body:
        return " ".join(words + (["--data-raw", "''"] if request.method in _WITH_BODY else []))
    if _PLAIN.fullmatch(body) and len(body) <= LONGEST_ARGUMENT:
        return " ".join([*words, "--data-raw", _quoted(body.decode())])
    return " ".join([f"printf {_escaped(body)} |", *words, "--data-binary", "@-"])


def _method(method: str, body: bytes) -> list[str]:
    if method == "HEAD":
        return ["--head"]
    implied = "POST" if body or method == "POST" else "GET"
    return [] if method == implied else ["-X", _quoted(method)]


def _url(base: str, target: str) -> list[str]:
    words = []
    if base.startswith("unix:"):
        words += ["--unix-socket", _word(base.removeprefix("unix:").encode())]
        base = "http://localhost"
    parts = urlsplit(base)
    base = f"{parts.scheme}://{parts.netloc}"
    if not _URL_TARGET.fullmatch(target):
        return [*words, "--request-target", _word(target.encode("latin-1", "replace")), _quoted(f"{base}/")]
    if _DOTS.search(target.partition("?")[0]):
        words.append("--path-as-is")
    if any(letter in target for letter in "[]{}"):
        words.append("--globoff")
    return [*words, _quoted(f"{base}{target}")]


def _word(raw: bytes) -> str:
    """The bytes as one word of the shell. A last line's end is lost."""
    if _PLAIN.fullmatch(raw):
        return _quoted(raw.decode())
    return f'"$(printf {_escaped(raw)})"'


def _quoted(text: str) -> str:
    if _SAFE_WORD.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def _escaped(raw: bytes) -> str:
    """printf's first argument that makes it write these bytes: all but plain letters as three octal digits."""
    letters = [chr(byte) if 32 <= byte < 127 and byte not in b"%\\'-" else f"\\{byte:03o}" for byte in raw]
    return "'" + "".join(letters) + "'"


def _visible(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
