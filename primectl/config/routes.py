"""What a key of [routes] means: `"[METHODS] /path"`, parsed and compared, without a table to look it up in.

A path is made of segments between slashes. A segment is literal text, `{name}` (one whole segment that is not empty)
or, at the end only, `*` (everything below). Literal segments are held decoded: `/a%20b` and what a client sends as
`/a%20b` meet in "a b", and an escaped slash stays inside its segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from primectl.errors import ConfigError, PrimectlError

KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""RFC 9110 9.1 and RFC 5789; a route may name any other token too."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_UNUSABLE = re.compile(r"[\x00-\x20\x7f?#]")


class Literal(Struct, frozen=True):
    """A segment that must be there as written; `text` is decoded."""

    text: str


class Parameter(Struct, frozen=True):
    """A segment that is taken as it comes, into `request.path_params[name]`."""

    name: str


class Route(Struct, frozen=True):
    """A parsed key. `methods` is None where the key names none: all are welcome."""

    key: str
    methods: frozenset[str] | None
    path: str
    segments: tuple[Literal | Parameter, ...]
    prefix: bool
    """The path ends in `/*`; `segments` are those before it."""

    @property
    def shape(self) -> tuple[object, ...]:
        """Equal for two routes that match the same paths, whatever their parameters are called."""
        return (self.prefix, *(segment.text if isinstance(segment, Literal) else None for segment in self.segments))


def parse_route(key: str) -> Route:
    """The meaning of one key. Raises ConfigError with a line for each mistake in it."""
    slash = key.find("/")
    listed, path = (key, "") if slash < 0 else (key[:slash], key[slash:].rstrip())
    mistakes: list[tuple[str, str]] = []
    if listed and not listed[-1].isspace():
        mistakes.append(
            ("the path does not begin with /", 'Write "GET /path", or "/path" for any method')
            if slash < 0
            else (f'no space stands between "{listed}" and the path', f'Write "{listed} {path}"')
        )
        listed = "" if slash < 0 else listed
    elif slash < 0:
        mistakes.append(("there is no path", 'Write "GET /path", or "/path" for any method'))
    methods = _methods(listed, mistakes)
    segments, prefix = _segments(path, mistakes) if path else ((), False)
    if mistakes:
        where = f'routes."{key}"'
        problems = tuple(str(PrimectlError(what, where, mend)) for what, mend in mistakes)
        raise ConfigError(mistakes[0][0], where, mistakes[0][1], problems=problems)
    return Route(key=key, methods=methods, path=path, segments=segments, prefix=prefix)


def shadowed(routes: Iterable[str] | Mapping[str, str]) -> list[tuple[str, str]]:
    """Keys that can never match because earlier ones take all they ask for, each with the first key that does.

    Only routes of one shape compete: literal text beats a parameter and both beat a prefix, so routes of different
    shapes leave each other something. Keys that do not parse are passed over; `parse_route` tells of them.
    """
    takers: dict[tuple[object, ...], dict[str | None, str]] = {}
    pairs = []
    for key in routes:
        try:
            route = parse_route(key)
        except ConfigError:
            continue
        taken = takers.setdefault(route.shape, {})
        wanted: frozenset[str | None] = frozenset({None}) if route.methods is None else route.methods
        by = [taken[method] for method in taken if method in wanted]
        if len(by) == len(wanted):
            pairs.append((key, by[0]))
        for method in wanted:
            taken.setdefault(method, key)
    return pairs


def _methods(listed: str, mistakes: list[tuple[str, str]]) -> frozenset[str] | None:
    if not listed.strip():
        return None
    names = [name.strip() for name in listed.split(",")]
    for position, name in enumerate(names):
        if not name:
            mistakes.append(("a method is missing beside a comma", 'Write methods as "GET,POST"'))
        elif not _TOKEN.fullmatch(name):
            mistakes.append((f'"{name}" is no method', 'Write methods as "GET,POST"'))
        elif name not in KNOWN_METHODS and name.upper() in KNOWN_METHODS:
            mistakes.append((f'"{name}" would never match: methods are told apart by case', f"Write {name.upper()}"))
        elif name in names[:position]:
            mistakes.append((f"{name} is named twice", "Name it once"))
    return frozenset(names)


def _segments(path: str, mistakes: list[tuple[str, str]]) -> tuple[tuple[Literal | Parameter, ...], bool]:
    if unusable := _UNUSABLE.search(path):
        mistakes.append((f"the path holds {unusable[0]!r}", "A path has no spaces, no query and no fragment"))
    parts = path[1:].split("/")
    prefix = parts[-1] == "*"
    if prefix:
        parts.pop()
    segments: list[Literal | Parameter] = []
    names: set[str] = set()
    for position, part in enumerate(parts):
        if not part and (prefix or position < len(parts) - 1):
            mistakes.append(("the path has an empty segment", "Write one / between segments"))
        elif parameter := _PARAMETER.fullmatch(part):
            if parameter[1] in names:
                mistakes.append((f"the parameter {part} stands twice", "Give each parameter a name of its own"))
            names.add(parameter[1])
            segments.append(Parameter(parameter[1]))
        elif "{" in part or "}" in part:
            mistakes.append((f'"{part}" is no parameter', 'A parameter takes a whole segment: "/users/{id}"'))
        elif "*" in part:
            mistakes.append((f'"*" cannot stand in "{part}"', 'It stands alone at the end: "/files/*"'))
        else:
            segments.append(Literal(unquote(part)))
    return tuple(segments), prefix
