"""Two JSON documents: where they differ, as JSON pointers (RFC 6901).

The order of keys never matters. Whole numbers are compared exactly, whatever their size, and so is everything else but
for a tolerance between figures of which one at least has a fraction. Nothing recurses: how deep a document goes is up
to strangers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from primectl.errors import ConfigError

Pointer = tuple[str, ...]
"""The parts of a JSON pointer, unescaped; "*" stands for any key or index."""

SHOWN = 200
"""So many characters of a value are shown."""
_INT_DIGITS = 4000
_ABSENT = object()


class Digits(str):
    """A whole number of more digits than Python makes an int of (4300)."""

    __slots__ = ()


def pointer(text: str, where: str) -> Pointer:
    """The parts of "/trip/legs/*". Raises ConfigError for what is no pointer."""
    if not text.startswith("/") or "~" in text.replace("~0", "").replace("~1", ""):
        raise ConfigError(f"{text!r} is no JSON pointer", where, 'Write "/key/0/key"; "~1" for "/" and "~0" for "~"')
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def parse(body: bytes) -> Any:
    """The document. Raises ValueError for what is not JSON, or goes deeper than can be read."""
    try:
        return json.loads(body, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _whole(digits: str) -> int | Digits:
    return int(digits) if len(digits) <= _INT_DIGITS else Digits(digits)


class Ignoring:
    """Places in a document that are not compared."""

    def __init__(self, pointers: tuple[Pointer, ...]) -> None:
        self._pointers = pointers
        self._tree: dict[str | None, Any] = {}
        for parts in pointers:
            node = self._tree
            for part in parts:
                node = node.setdefault(part, {})
            node[None] = {}

    def also(self, parts: Pointer) -> Ignoring:
        return Ignoring((*self._pointers, parts))

    @property
    def start(self) -> list[dict[str | None, Any]]:
        return [self._tree] if self._tree else []

    @staticmethod
    def below(nodes: list[dict[str | None, Any]], key: str) -> list[dict[str | None, Any]] | None:
        """Where the pointers are one step further on; None when this place itself is ignored."""
        if not nodes:
            return nodes
        further = [node[step] for node in nodes for step in {key, "*"} if step in node]
        return None if any(None in node for node in further) else further


def differences(
    before: Any, after: Any, ignoring: Ignoring, tolerance: float
) -> Iterator[tuple[str, str | None, str | None]]:
    """Pointer and both sides as text, None where a side has nothing; in the order of the first document's keys."""
    open_places = [("", before, after, ignoring.start)]
    while open_places:
        where, old, new, nodes = open_places.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            keys: Iterable[str] = [*old, *(key for key in new if key not in old)]
            pairs = [(key, old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in keys]
        elif isinstance(old, list) and isinstance(new, list):
            pairs = [
                (str(at), old[at] if at < len(old) else _ABSENT, new[at] if at < len(new) else _ABSENT)
                for at in range(max(len(old), len(new)))
            ]
        else:
            if not _equal(old, new, tolerance):
                yield (where, *_shown(old, new))
            continue
        for key, inner_old, inner_new in reversed(pairs):
            further = Ignoring.below(nodes, key)
            if further is not None:
                escaped = key.replace("~", "~0").replace("/", "~1")
                open_places.append((f"{where}/{escaped}", inner_old, inner_new, further))


def _equal(old: Any, new: Any, tolerance: float) -> bool:
    """Of two values that are not both objects, nor both arrays."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, int | float) and isinstance(new, int | float):
        if old == new or (old != old and new != new):  # both are NaN
            return True
        if not tolerance or (isinstance(old, int) and isinstance(new, int)):
            return False
        try:
            return math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)
        except OverflowError:  # a whole number that no float can hold
            return False
    return type(old) is type(new) and bool(old == new)


def _shown(old: Any, new: Any) -> tuple[str | None, str | None]:
    if old is _ABSENT or new is _ABSENT:
        return (None, cut(_short(new, 2))) if old is _ABSENT else (cut(_short(old, 2)), None)
    return excerpts(_short(old, 2), _short(new, 2))


def cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def excerpts(old: str, new: str) -> tuple[str, str]:
    """Two texts that differ, short, and so that it can be seen where: around the first place if they are long."""
    if max(len(old), len(new)) > SHOWN:
        same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        if same > SHOWN // 2:
            old, new = (f"…{text[same - SHOWN // 4 :]}" for text in (old, new))
    return cut(old), cut(new)


def _short(value: Any, depth: int) -> str:
    """As JSON; what lies deeper than its members' members is told by its size, as […11] or {…3}."""
    if isinstance(value, dict | list) and value:
        if depth == 0:
            return f"{{…{len(value)}}}" if isinstance(value, dict) else f"[…{len(value)}]"
        parts, room = [], SHOWN
        for item in value.items() if isinstance(value, dict) else value:
            if isinstance(value, dict):
                part = f"{_scalar(item[0])}:{_short(item[1], depth - 1)}"
            else:
                part = _short(item, depth - 1)
            parts.append(part)
            room -= len(part)
            if room < 0:
                break
        inner = ",".join(parts)
        return f"{{{inner}}}" if isinstance(value, dict) else f"[{inner}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, Digits):
        return str(value)
    # Half of a surrogate pair can stand in JSON and nowhere else.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
