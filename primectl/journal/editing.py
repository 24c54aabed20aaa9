"""A request as a small text that a person changes in an editor, and back.

    # A request to send again. Lines before the request line that begin with # are not part of it.
    POST /is_prime HTTP/1.1
    content-type: text/plain

    possible_prime=7

The body is all behind the first empty line but for the one line end that editors put at the end of a file. A body that
is no text of lines stands there as base64, and a line `# body: base64` says so.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from itertools import takewhile

from primectl.errors import ConfigError
from primectl.journal import plan
from primectl.journal.steps import Outgoing

GUIDE = """\
# A request to send again. Save it and leave the editor to go on; empty it to leave it out.
# Host and Content-Length are made anew. A value that was redacted comes from --secret, or write it here.
"""
_BASE64 = "# body: base64"
_WIDTH = 100
_BLANKS = re.compile(r"[ \t]+")
_GAP = re.compile(r"\n[ \t]*\n")


def to_text(outgoing: Outgoing) -> str:
    """What the editor is given."""
    lines = [f"{outgoing.method} {outgoing.target} HTTP/1.1"]
    lines += [f"{name}: {value}" if value else f"{name}:" for name, value in outgoing.fields]
    body = _as_lines(outgoing.body)
    if body is not None:
        return f"{GUIDE}{chr(10).join(lines)}\n\n{body}\n"
    coded = "\n".join(textwrap.wrap(base64.b64encode(outgoing.body).decode(), _WIDTH))
    return f"{GUIDE}{_BASE64}\n{chr(10).join(lines)}\n\n{coded}\n"


def from_text(text: str) -> Outgoing | None:
    """The request, None for a text that was emptied. Raises ConfigError whose `where` is the line."""
    text = text.replace("\r\n", "\n")  # some editors; a body with these is not shown as text
    guide = list(takewhile(lambda line: not line.strip() or line.startswith("#"), text.split("\n")))
    above = sum(len(line) + 1 for line in guide)
    if above > len(text):
        return None
    head, _, body = _GAP.sub("\n\n", text[above:], count=1).partition("\n\n")
    (number, line), *rest = enumerate(head.rstrip("\n").split("\n"), len(guide) + 1)
    method, target = _request_line(line, f"line {number}")
    fields = []
    for number, line in rest:
        name, value = _field(line, f"line {number}")
        if name.lower() not in plan.MADE_ANEW:
            fields.append((name, value))
    return Outgoing(method, target, tuple(fields), _body(body, _BASE64 in guide, f"line {number + 2}"))


def _request_line(line: str, where: str) -> tuple[str, str]:
    words = _BLANKS.split(line.strip(" \t"))
    if len(words) not in (2, 3) or (len(words) == 3 and not words[2].upper().startswith("HTTP/")):
        raise ConfigError(f'expected "METHOD /target HTTP/1.1", got "{line}"', where)
    outgoing = Outgoing(words[0], words[1])
    mistake = plan.mistake_in(outgoing)
    if mistake:
        raise ConfigError(mistake, where)
    return words[0], words[1]


def _field(line: str, where: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    value = value.strip(" \t")
    if not colon or plan.mistake_in(Outgoing("GET", "/", ((name, value),))):
        raise ConfigError(f'expected "Name: value", got "{line}"', where, "An empty line ends the header fields")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ConfigError(f'the value of "{name}" has a character that is not in Latin-1', where) from None
    return name, value


def _body(text: str, coded: bool, where: str) -> bytes:
    if not coded:
        return text.removesuffix("\n").encode()
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        mend = f'To write it as text, take out the line "{_BASE64}"'
        raise ConfigError(f"the body is not base64: {error}", where, mend) from None


def _as_lines(body: bytes) -> str | None:
    """The body as text that every editor leaves alone, None for any other."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if all(letter.isprintable() or letter in "\t\n" for letter in text) else None
