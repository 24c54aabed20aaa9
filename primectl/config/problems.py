"""Everything wrong with one config file, gathered as it is found, told in the order of the file."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from primectl.errors import PrimectlError

Path = tuple[str | int, ...]
"""Keys from the top of the file: ("pools", "compute", "workers"); a number is a place in a list."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_VALUE = 60


class Problems:
    """Mistakes and warnings, each at the path of its key; `source` is the parsed file, which gives their order."""

    def __init__(self, name: str, source: Mapping[str, object]) -> None:
        self._name = name
        self._source = source
        self._mistakes: list[tuple[Path, str, str]] = []
        self._warnings: list[tuple[Path, str, str]] = []
        self._bad: set[Path] = set()

    def add(self, path: Path, what: str, mend: str = "") -> None:
        """A mistake: the file is refused, and what depends on this key is not judged any more."""
        self._mistakes.append((path, what, mend))
        self._bad.add(path)

    def warn(self, path: Path, what: str, mend: str = "") -> None:
        """Something odd that does not stop the cluster."""
        self._warnings.append((path, what, mend))

    def sound(self, *paths: Path) -> bool:
        """Whether no mistake has been found at these keys, nor at a table that holds them."""
        return not any(path[:length] in self._bad for path in paths for length in range(1, len(path) + 1))

    def has(self, path: Path) -> bool:
        """Whether a mistake has been found at this very key."""
        return path in self._bad

    def clean(self, path: Path) -> bool:
        """Whether no mistake has been found at this key, around it or inside it."""
        return self.sound(path) and not any(bad[: len(path)] == path for bad in self._bad)

    def lines(self) -> tuple[str, ...]:
        """One line for each mistake, in the order of the file."""
        return self._told(self._mistakes)

    def warning_lines(self) -> tuple[str, ...]:
        """One line for each warning, in the order of the file."""
        return self._told(self._warnings)

    def _told(self, problems: Iterable[tuple[Path, str, str]]) -> tuple[str, ...]:
        in_order = sorted(problems, key=lambda problem: _position(self._source, problem[0]))
        return tuple(line(self._name, path, what, mend) for path, what, mend in in_order)


def line(name: str, path: Path, what: str, mend: str = "") -> str:
    """One problem as it is printed: file, key, what is wrong, how to mend it.

    It stays one line, and harmless on a terminal, whatever the file holds: what cannot be seen is escaped.
    """
    where = f"{name}: {show_path(path)}" if path else name
    sentence = mend if not mend or mend.endswith(("?", ".")) else f"{mend}."
    told = str(PrimectlError(what, where, sentence))
    return told if told.isprintable() else "".join(map(_visible, told))


def show_path(path: Path) -> str:
    """A key's full path as TOML writes it; keys with other letters in quotes."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key + 1}]"
        else:
            text += ("." if text else "") + (key if _BARE_KEY.fullmatch(key) else _quoted(key))
    return text


def show_value(value: object) -> str:
    """What was found, short and on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case dict():
            return "a table"
        case list():
            return "a list"
        case int():
            # str() of an int refuses thousands of digits
            return str(value) if value.bit_length() < 4 * _LONGEST_VALUE else "a number of very many digits"
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return str(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """'Did you mean "x"?', or nothing when no known name is near."""
    near = get_close_matches(name, list(known), 1)
    return f'Did you mean "{near[0]}"?' if near else ""


def choice(words: Iterable[str]) -> str:
    """'"a", "b" or "c"'."""
    quoted = [f'"{word}"' for word in words]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def _visible(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _quoted(text: str) -> str:
    shown = text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
    return json.dumps(shown, ensure_ascii=not shown.isprintable())


def _position(source: object, path: Path) -> tuple[int, ...]:
    """Where a key stands in the file: its number in each table on the way. What is not there comes behind."""
    position = []
    for key in path:
        if isinstance(source, dict) and isinstance(key, str):
            keys = list(source)
            position.append(keys.index(key) if key in source else len(keys))
            source = source.get(key)
        elif isinstance(source, list) and isinstance(key, int):
            position.append(key)
            source = source[key] if key < len(source) else None
    return tuple(position)
