"""The filter language of `requests --where`: text -> a condition in SQL over the table of rows.

    status>=500 and path~/is_prime and (ms>200 or pool=compute) and not replay

    filter  = all ("or" all)*
    all     = one ("and" one)*
    one     = "not" one | "(" filter ")" | word | word ("=" | "!=") ("true" | "false") | field operator value
    value   = anything up to a space or a parenthesis, or "quoted", or 'quoted'; a \\ takes the next character as it is

`docs/journal.md` has the table of fields and words. Values reach SQL only as parameters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import NoReturn

from msgspec import Struct

from primectl.config.units import parse_duration, parse_size
from primectl.errors import ConfigError
from primectl.journal.entry import CUT, IMPORTED, REDEEMED
from primectl.wire.journal import DEAD, STREAMED

LONGEST = 2000
"""Characters of a filter. It also bounds how deep SQLite's tree of the condition can get; SQLite takes 1000 levels."""
DEEPEST = 40
"""Parentheses and `not` within each other."""

Parameter = int | float | str


class Filter(Struct, frozen=True):
    """`sql` is a condition for WHERE with a `?` for each of `params`; `mentions` the fields and words in it."""

    sql: str = "1"
    params: tuple[Parameter, ...] = ()
    mentions: frozenset[str] = frozenset()


class Mistake(Exception):
    """What is wrong with a value, and how to mend it."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what, mend)
        self.what = what
        self.mend = mend


Condition = tuple[str, list[Parameter]]


class Field(Struct, frozen=True):
    """`operators` as they may stand behind it; `condition` makes SQL of one of them and a value, or raises Mistake."""

    operators: tuple[str, ...]
    condition: Callable[[str, str], Condition]
    give: str
    """What to put behind it."""


# --- fields -----------------------------------------------------------------------------------------------------------

EQUAL = ("=", "!=")
ORDER = ("=", "!=", "<", "<=", ">", ">=")
TEXT = ("=", "!=", "~", "!~")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_CLASS = re.compile(r"[0-9]xx", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f]{1,13}")
ID_DIGITS = 13


def _number(text: str, give: str = "Give a number") -> int | float:
    if _NUMBER.fullmatch(text) is None:
        raise Mistake("a number", give)
    return float(text) if "." in text else int(text)


def _milliseconds(text: str) -> int | float:
    if _NUMBER.fullmatch(text):
        return _number(text)
    try:
        return parse_duration(text) * 1e3
    except ValueError:
        raise Mistake("a duration", "Give milliseconds, or a number with ms, s, m, h or d") from None


def _bytes(text: str) -> int | float:
    if _NUMBER.fullmatch(text):
        return _number(text)
    try:
        return parse_size(text)
    except ValueError:
        raise Mistake("a size", "Give bytes, or a number with KiB, MiB, GiB, KB, MB or GB") from None


def _ordered(column: str, read: Callable[[str], int | float], give: str) -> Field:
    return Field(ORDER, lambda operator, value: (f"{column} {operator} ?", [read(value)]), give)


def _status(operator: str, value: str) -> Condition:
    """`404`, `5xx`, or several of these behind = and !=."""
    if operator not in EQUAL:
        return f"status {operator} ?", [_number(value)]
    listed: list[int | float] = []
    ranges: list[int] = []
    for part in value.split(","):
        if _CLASS.fullmatch(part):
            ranges.append(int(part[0]) * 100)
        else:
            listed.append(_number(part, "Give a number such as 404, or 5xx, or several with commas"))
    tests = [f"status IN ({', '.join('?' * len(listed))})"] if listed else []
    tests += ["status BETWEEN ? AND ?"] * len(ranges)
    params: list[Parameter] = [*listed]
    for low in ranges:
        params += [low, low + 99]
    return _not_if(operator == "!=", " OR ".join(tests)), params


def _not_if(turned: bool, sql: str) -> str:
    return f"NOT ({sql})" if turned else f"({sql})"


def _text(column: str) -> Field:
    def condition(operator: str, value: str) -> Condition:
        if operator in EQUAL:
            return f"{column} {operator} ?", [value]
        return f"instr({column}, ?) {'>' if operator == '~' else '='} 0", [value]

    return Field(TEXT, condition, "Give a text")


def _method(operator: str, value: str) -> Condition:
    names: list[Parameter] = [*value.upper().split(",")]
    return f"method {'IN' if operator == '=' else 'NOT IN'} ({', '.join('?' * len(names))})", names


def _id(operator: str, value: str) -> Condition:
    digits = value.lower()
    if _ID.fullmatch(digits) is None:
        raise Mistake("an id", "Give the 13 hexadecimal digits of an X-Request-Id, or its last ones")
    if operator in EQUAL:
        return f"request & ? {operator} ?", [(1 << 4 * len(digits)) - 1, int(digits, 16)]
    return f"instr(printf('%0{ID_DIGITS}x', request), ?) {'>' if operator == '~' else '='} 0", [digits]


def _pool(operator: str, value: str) -> Condition:
    """A pool that the request came by, or was on its way to."""
    if not value:
        return f"pool {operator} ?", [""]
    # One look tells most rows that they are not meant.
    passed = "instr(workers, ?) > 0 AND (instr(workers, ?) > 0 OR instr(workers, ?) > 0)"
    return _not_if(operator == "!=", f"pool = ? OR ({passed})"), [value, f"|{value}", f"|{value}.", f"|{value}|"]


def _worker(operator: str, value: str) -> Condition:
    """A process that had the request, or made its answer."""
    if operator in EQUAL:
        return _not_if(operator == "!=", "worker = ? OR instr(workers, ?) > 0"), [value, f"|{value}|"]
    return _not_if(operator == "!~", "instr(worker, ?) > 0 OR instr(workers, ?) > 0"), [value, value]


_TARGET = _text("(CASE query WHEN '' THEN path ELSE path || '?' || query END)")


def _target(operator: str, value: str) -> Condition:
    if operator in EQUAL or "?" in value:
        return _TARGET.condition(operator, value)
    # Without joining the two in every row.
    return _not_if(operator == "!~", "instr(path, ?) > 0 OR instr(query, ?) > 0"), [value, value]


FIELDS: Mapping[str, Field] = {
    "id": Field(TEXT, _id, "Give the last digits of an X-Request-Id"),
    "status": Field(ORDER, _status, "Give a number"),
    "ms": _ordered("ms", _milliseconds, "Give milliseconds, or a duration such as 1.5s"),
    "method": Field(EQUAL, _method, "Give a method, or several with commas"),
    "path": _text("path"),
    "query": _text("query"),
    "target": Field(TEXT, _target, "Give a text"),
    "pool": Field(EQUAL, _pool, "Give the name of a pool"),
    "worker": Field(TEXT, _worker, "Give the id of a process"),
    "server": _text("server"),
    "client": _text("client"),
    "attempts": _ordered("attempts", _number, "Give a number"),
    "size": _ordered("size", _bytes, "Give bytes, or a size such as 64KiB"),
    "asked_size": _ordered("asked_size", _bytes, "Give bytes, or a size such as 64KiB"),
    "problem": _text("problem"),
    "run": _text("coalesce(replay_run, '')"),
}
WORDS: Mapping[str, str] = {
    "dead": f"flags & {DEAD} <> 0",
    "redeemed": f"flags & {REDEEMED} <> 0",
    "replay": "replay_run IS NOT NULL",
    "cut": f"flags & {CUT} <> 0",
    "streamed": f"flags & {STREAMED} <> 0",
    "imported": f"flags & {IMPORTED} <> 0",
}
"""What a row may be, and how that is told from it."""
KEYWORDS = ("and", "or", "not")


# --- the parser -------------------------------------------------------------------------------------------------------

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r"[!<>]=|!~|[=<>~]")
_BARE = re.compile(r"""[^\s()"'][^\s()]*""")
_QUOTED = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_THING = re.compile(r"[A-Za-z0-9_]+|[!<>=~]+|.", re.DOTALL)


def compile(text: str, where: str = "--where") -> Filter:  # noqa: A001  as re.compile
    """Raises ConfigError for a mistake, with the filter and a caret under the place; blank text is the filter that
    everything passes. `where` says whence the text comes."""
    if not text.strip():
        return Filter()
    return _Parser(text, where).whole()


class _Parser:
    """Reads the text from left to right, `_place` being how far it is; `_depth` counts what is open."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._place = 0
        self._depth = 0
        self._params: list[Parameter] = []
        self._mentions: set[str] = set()

    def whole(self) -> Filter:
        if len(self._text) > LONGEST:
            raise ConfigError(f"a filter has at most {LONGEST} characters, this one has {len(self._text)}", self._where)
        try:
            self._text.encode()
        except UnicodeEncodeError as error:
            self._fail("expected text in UTF-8", "", error.start)
        sql = self._either()
        if not self._at_end():
            if self._text[self._place] == ")":
                self._fail('there is no "(" that this closes', 'Take it away, or put it in quotes as "…)"')
            self._fail(f'expected "and" or "or" before {self._thing()}', "Put text with spaces into quotes")
        return Filter(sql, tuple(self._params), frozenset(self._mentions))

    def _either(self) -> str:
        parts = [self._all()]
        while self._keyword("or"):
            parts.append(self._all())
        return f"({' OR '.join(parts)})" if len(parts) > 1 else parts[0]

    def _all(self) -> str:
        parts = [self._one()]
        while self._keyword("and"):
            parts.append(self._one())
        return f"({' AND '.join(parts)})" if len(parts) > 1 else parts[0]

    def _one(self) -> str:
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(f"deeper than {DEEPEST} levels", "Write it with fewer parentheses")
        if self._keyword("not"):
            sql = f"NOT {self._one()}"
        elif self._take("("):
            sql = self._either()
            if not self._take(")"):
                self._fail('expected ")"', "Close what was opened")
        else:
            sql = f"({self._named()})"
        self._depth -= 1
        return sql

    def _named(self) -> str:
        at_end = self._at_end()
        start = self._place
        match = _NAME.match(self._text, start)
        if at_end or match is None or match[0] in KEYWORDS:
            found = "the filter ends here" if at_end else f"got {self._thing()}"
            self._fail(f"expected a field or a word, {found}", "They are in docs/journal.md: status>=500, dead, …")
        name = match[0]
        self._place = match.end()
        if name in WORDS:
            self._mentions.add(name)
            return self._word(name)
        if name not in FIELDS:
            near = get_close_matches(name.lower(), [*FIELDS, *WORDS], 1)
            hint = f'Did you mean "{near[0]}"?' if near else f"There are {', '.join([*FIELDS, *WORDS])}"
            self._fail(f'there is no field "{name}"', hint, start)
        self._mentions.add(name)
        return self._comparison(name)

    def _word(self, name: str) -> str:
        operator = self._operator()
        if not operator:
            return WORDS[name]
        if operator not in EQUAL:
            self._fail(f'"{name}" takes = and !=, or stands alone', "", self._place - len(operator))
        value, start = self._value(operator, "Give true or false")
        if value.lower() not in ("true", "false"):
            self._fail(f'expected true or false behind "{operator}"', "", start)
        return _not_if((value.lower() == "false") != (operator == "!="), WORDS[name])

    def _comparison(self, name: str) -> str:
        field = FIELDS[name]
        operator = self._operator()
        if not operator:
            self._fail(f'expected an operator behind "{name}"', f"It takes {' '.join(field.operators)}")
        if operator not in field.operators:
            place = self._place - len(operator)
            self._fail(f'"{name}" has no "{operator}"', f"It takes {' '.join(field.operators)}", place)
        value, start = self._value(operator, field.give)
        try:
            sql, params = field.condition(operator, value)
        except Mistake as mistake:
            self._fail(f'expected {mistake.what} behind "{operator}"', mistake.mend, start)
        self._params += params
        return sql

    # --- pieces of the text -------------------------------------------------------------------------------------------

    def _at_end(self) -> bool:
        """Goes over spaces first, as all of these do."""
        space = _SPACE.match(self._text, self._place)
        self._place = space.end() if space else self._place
        return self._place == len(self._text)

    def _keyword(self, word: str) -> bool:
        self._at_end()
        match = _NAME.match(self._text, self._place)
        if match is None or match[0] != word:
            return False
        self._place = match.end()
        return True

    def _take(self, sign: str) -> bool:
        if self._at_end() or self._text[self._place] != sign:
            return False
        self._place += 1
        return True

    def _operator(self) -> str:
        self._at_end()
        match = _OPERATOR.match(self._text, self._place)
        self._place = match.end() if match else self._place
        return match[0] if match else ""

    def _value(self, operator: str, give: str) -> tuple[str, int]:
        """The value, and where it begins."""
        self._at_end()
        start = self._place
        if quoted := _QUOTED.match(self._text, start):
            self._place = quoted.end()
            return _ESCAPED.sub(r"\1", quoted[1] if quoted[1] is not None else quoted[2]), start
        if self._text[start : start + 1] in ("'", '"') and start < len(self._text):
            self._fail("this quote is not closed", "Put the same one behind the value")
        bare = _BARE.match(self._text, start)
        if bare is None or bare[0] in KEYWORDS:
            self._fail(f'expected a value behind "{operator}"', give)
        self._place = bare.end()
        return bare[0], start

    def _thing(self) -> str:
        match = _THING.match(self._text, self._place)
        return f'"{match[0]}"' if match else "the end"

    def _fail(self, what: str, mend: str, place: int | None = None) -> NoReturn:
        line, caret = pointed_at(self._text, self._place if place is None else place)
        problem = ConfigError(what, self._where, mend)
        raise ConfigError(what, self._where, mend, problems=(f"{problem}\n  {line}\n  {caret}",))


def pointed_at(text: str, place: int) -> tuple[str, str]:
    """The text as one line, and one with a caret under the character at `place`; wide characters take two cells."""
    shown = [char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in text]
    return "".join(shown), f"{' ' * sum(map(_cells, shown[:place]))}^"


def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
