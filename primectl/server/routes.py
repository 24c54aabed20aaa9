"""The route table: which pool a request goes to.

A path is matched segment by segment, each decoded once, so `/caf%C3%A9` finds "/café" and an escaped slash (%2F) never
parts two segments. "." and ".." are segments like others: nothing is resolved here, and handlers that serve files
guard themselves. A query is no part of the path.

    exact beats {parameter} beats prefix; of several parameter routes the one whose text begins earlier wins, of
    several prefixes the longest; of several keys for one path the one that names the method beats one that names none

A route whose methods do not welcome a request leaves it to the next that matches its path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from primectl.config.routes import Literal, Parameter, Route, parse_route
from primectl.errors import ConfigError
from primectl.message import Response

ANY: Final = None
"""Stands for "whatever method", where a key names none."""


class Match(Struct, frozen=True):
    """The pool that the request goes to. `path_params` is shared between requests: not to be changed."""

    pool: str
    path_params: dict[str, str] = {}


class NoRoute(Struct, frozen=True):
    """Nothing matches the path: 404."""


class WrongMethod(Struct, frozen=True):
    """Routes match the path, none of them the method: 405. `allow` is the value of the Allow field."""

    allow: str


class Options(Struct, frozen=True):
    """An OPTIONS request that no route asks for, on a path that names its methods, or on "*": 204 with `allow`."""

    allow: str


Found = Match | NoRoute | WrongMethod | Options


class _Node:
    """A segment of the paths that begin the same way; `here` and `below` hold what ends in it, by method."""

    __slots__ = ("below", "here", "literals", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.here: _Methods = {}
        self.below: _Methods = {}


class _Target(Struct, frozen=True):
    pool: str
    names: tuple[tuple[int, str], ...]
    """Position and name of each parameter."""


_Methods = dict[str | None, _Target]


class RouteTable:
    """Built from `[routes]`; raises ConfigError with a line for every mistake in every key."""

    __slots__ = ("_allow", "_deepest", "_exact", "_root")

    def __init__(self, routes: Mapping[str, str]) -> None:
        self._root = _Node()
        self._deepest = 0
        """Segments of the longest prefix, so that a path of thousands is not walked for each of them."""
        self._exact: dict[str, dict[str | None, Match]] = {}
        """Paths without parameters as clients send them when nothing needs an escape: one look-up finds most."""
        problems: list[str] = []
        named: set[str] = set()
        for key, pool in routes.items():
            try:
                route = parse_route(key)
            except ConfigError as error:
                problems += error.problems
                continue
            self._add(route, pool)
            named |= route.methods or frozenset()
        if problems:
            raise ConfigError(problems[0], problems=tuple(problems))
        self._allow = _allow(named)

    def find(self, method: str, target: str) -> Found:
        """Where a request goes. `target` is the raw request target, with or without its query, or "*"."""
        path = target.partition("?")[0]
        exact = self._exact.get(path)
        if exact is not None:
            match = exact.get(method) or (exact.get("GET") if method == "HEAD" else None) or exact.get(ANY)
            if match is not None:
                return match
        return self._search(method, path)

    def _search(self, method: str, path: str) -> Found:
        if path == "*":
            return Options(self._allow)
        segments = [unquote(segment) for segment in path[1:].split("/")]
        welcome: set[str] = set()
        for methods in _candidates(self._root, segments, self._deepest):
            target = methods.get(method) or (methods.get("GET") if method == "HEAD" else None) or methods.get(ANY)
            if target is not None:
                return Match(target.pool, {name: segments[position] for position, name in target.names})
            welcome.update(name for name in methods if name is not None)
        if not welcome:
            return NoRoute()
        allow = _allow(welcome)
        return Options(allow) if method == "OPTIONS" else WrongMethod(allow)

    def _add(self, route: Route, pool: str) -> None:
        node = self._root
        for segment in route.segments:
            if isinstance(segment, Literal):
                node = node.literals.setdefault(segment.text, _Node())
            else:
                node.parameter = node.parameter or _Node()
                node = node.parameter
        names = tuple((n, part.name) for n, part in enumerate(route.segments) if isinstance(part, Parameter))
        if route.prefix:
            self._deepest = max(self._deepest, len(route.segments))
        methods = node.below if route.prefix else node.here
        for method in route.methods or (ANY,):
            methods.setdefault(method, _Target(pool, names))
        literals = [segment.text for segment in route.segments if isinstance(segment, Literal)]
        if not route.prefix and not names and not any("/" in text or "%" in text for text in literals):
            exact = self._exact.setdefault("/" + "/".join(literals), {})
            for method in route.methods or (ANY,):
                exact.setdefault(method, Match(pool))


def respond(found: NoRoute | WrongMethod | Options, request_id: str) -> Response:
    """The answer where no pool is asked."""
    if type(found) is Options:
        return Response(204, (("allow", found.allow),))
    if type(found) is WrongMethod:
        problem = Response.problem(405, f"the path is served for {found.allow}", request_id)
        return Response(405, (*problem.fields, ("allow", found.allow)), problem.body)
    return Response.problem(404, "no route matches the path", request_id)


def _allow(methods: set[str]) -> str:
    """The value of Allow: what is named, HEAD where GET is, and OPTIONS, which is answered here if not by a route."""
    return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))


def _candidates(root: _Node, segments: list[str], deepest: int) -> Iterator[_Methods]:
    """What matches the path, best first; no prefix is longer than `deepest` segments."""
    for node in _walk(root, segments, 0, len(segments)):
        if node.here:
            yield node.here
    for depth in range(min(len(segments) - 1, deepest), -1, -1):
        for node in _walk(root, segments, 0, depth):
            if node.below:
                yield node.below


def _walk(node: _Node, segments: list[str], position: int, end: int) -> Iterator[_Node]:
    """The nodes that the segments up to `end` lead to, literal text before parameters."""
    if position == end:
        yield node
        return
    segment = segments[position]
    if (literal := node.literals.get(segment)) is not None:
        yield from _walk(literal, segments, position + 1, end)
    if node.parameter is not None and segment:
        yield from _walk(node.parameter, segments, position + 1, end)
