"""What was redacted gets a value again, from the environment, for a request that is sent again.

In the place of a redacted value stands its token (`redacted:<bytes>:<16 hex digits>`). A header field that nobody gives
a value is left out; a query key or a place in a body cannot be, so without a value the request is not sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote_plus, unquote_plus

from msgspec import Struct

from primectl.config.model import JournalConfig
from primectl.errors import ConfigError
from primectl.journal.redact import ANY, FORM, TOKEN, parse_pointer
from primectl.journal.steps import Outgoing
from primectl.message import HeaderMap, Headers

_HEADER = "header "


class Secret(Struct, frozen=True):
    """What stands for a redacted value: `name` is that of a header field, a key of the query (or of a form), or a JSON
    pointer, in which "*" stands for any key."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"


class Missing(Exception):
    """A place that nobody gives a value, in words."""


def parse_secret(text: str, environ: Mapping[str, str]) -> Secret:
    """The secret of `--secret NAME=ENV`. Raises ConfigError, which never shows the value."""
    name, separator, variable = text.rpartition("=")
    if not separator or not name or not variable:
        mend = "NAME is a header, a query key or a JSON pointer, ENV the environment variable that has its value"
        raise ConfigError(f'expected NAME=ENV, got "{text}"', "--secret", mend)
    value = environ.get(variable)
    if value is None:
        raise ConfigError(f"the environment variable {variable} is not set", f"--secret {name}")
    if not name.startswith("/") and any(letter in value for letter in "\r\n\0"):
        raise ConfigError(f"the value in {variable} has a line break", f"--secret {name}", "Give it in one line")
    return Secret(name, value)


def not_redacted(secrets: Sequence[Secret], config: JournalConfig) -> list[str]:
    """Names of secrets that the cluster of this config would write down as they are, once they are sent to it."""
    named = {name.lower() for name in config.redact_headers}
    pointers = [parse_pointer(pointer) for pointer in config.redact_body]
    return [
        secret.name
        for secret in secrets
        if not (
            any(_fits(parse_pointer(secret.name), pointer) for pointer in pointers)
            if secret.name.startswith("/")
            else secret.name.lower() in named or secret.name in config.redact_query
        )
    ]


def fill(outgoing: Outgoing, secrets: Sequence[Secret], redacted: Sequence[str] = ()) -> Outgoing:
    """The request with the secrets in their places. `redacted` is the entry's: a field that is named there gets its
    value even where a set does not have it. Raises Missing."""
    fields = outgoing.fields
    if redacted or any(value.startswith("redacted:") for _, value in fields):
        fields = _filled_fields(fields, secrets, redacted)
    target, body = outgoing.target, outgoing.body
    if "redacted" in target:
        path, mark, query = target.partition("?")
        target = f"{path}{mark}{_filled_form(query, secrets, 'query')}"
    if b"redacted" in body:
        kind = HeaderMap(outgoing.fields).get("content-type", "").partition(";")[0].strip().lower()
        if kind == FORM:
            body = _filled_form(body.decode("latin-1"), secrets, "form").encode("latin-1")
        else:
            body = _filled_json(body, secrets)
    if fields is outgoing.fields and target is outgoing.target and body is outgoing.body:
        return outgoing
    return Outgoing(outgoing.method, target, fields, body)


def unused(secrets: Sequence[Secret], requests: Sequence[tuple[Outgoing, Sequence[str]]]) -> list[str]:
    """Names of secrets that no request has a place for. Requests come with what was redacted in them."""
    left = list(secrets)
    for outgoing, redacted in requests:
        left = [secret for secret in left if not _has_place(outgoing, secret, redacted)]
    return [secret.name for secret in left]


def _has_place(outgoing: Outgoing, secret: Secret, redacted: Sequence[str]) -> bool:
    name = secret.name
    if name.startswith("/"):
        return any(_fits(place, parse_pointer(name)) for place, _ in _places(outgoing.body))
    if f"{_HEADER}{name}".lower() in (each.lower() for each in redacted):
        return True
    if any(key.lower() == name.lower() and TOKEN.fullmatch(value) for key, value in outgoing.fields):
        return True
    query = outgoing.target.partition("?")[2]
    forms = f"{query}&{outgoing.body.decode('latin-1')}" if b"redacted" in outgoing.body else query
    return any(_is_token_of(pair, name) for pair in forms.split("&"))


def _is_token_of(pair: str, name: str) -> bool:
    key, _, value = pair.partition("=")
    return unquote_plus(key) == name and TOKEN.fullmatch(unquote_plus(value)) is not None


def _filled_fields(fields: Headers, secrets: Sequence[Secret], redacted: Sequence[str]) -> Headers:
    values = {secret.name.lower(): secret.value.encode().decode("latin-1") for secret in secrets}
    found = []
    for name, value in fields:
        if not TOKEN.fullmatch(value):
            found.append((name, value))
        elif name.lower() in values:
            found.append((name, values[name.lower()]))
    there = {name.lower() for name, _ in fields}
    named = [each.removeprefix(_HEADER) for each in redacted if each.startswith(_HEADER)]
    found += [(name, values[name.lower()]) for name in named if name.lower() in values.keys() - there]
    return tuple(found)


def _filled_form(text: str, secrets: Sequence[Secret], what: str) -> str:
    values = {secret.name: secret.value for secret in secrets}
    pairs = text.split("&")
    for number, pair in enumerate(pairs):
        key, _, value = pair.partition("=")
        if not TOKEN.fullmatch(unquote_plus(value)):
            continue
        name = unquote_plus(key)
        if name not in values:
            raise Missing(f"{what} {name}")
        pairs[number] = f"{key}={quote_plus(values[name])}"
    return "&".join(pairs)


def _filled_json(body: bytes, secrets: Sequence[Secret]) -> bytes:
    """All else in the body stays as it is, byte by byte: the tokens are replaced, not the JSON written anew."""
    for place, token in _places(body):
        for secret in secrets:
            if secret.name.startswith("/") and _fits(place, parse_pointer(secret.name)):
                body = body.replace(f'"{token}"'.encode(), json.dumps(secret.value).encode())
                break
        else:
            raise Missing(f"body {_pointer(place)}")
    return body


def _places(body: bytes) -> list[tuple[tuple[str, ...], str]]:
    """Where tokens stand in a JSON body; nowhere in what is none."""
    if b"redacted:" not in body:
        return []
    try:
        return list(_walk(json.loads(body), ()))
    except (ValueError, RecursionError):
        return []


def _walk(value: object, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str) and TOKEN.fullmatch(value):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _walk(inner, (*place, str(number)))


def _pointer(place: tuple[str, ...]) -> str:
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in place)


def _fits(place: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    return len(place) == len(pattern) and all(
        wanted in (ANY, part) for part, wanted in zip(place, pattern, strict=True)
    )
