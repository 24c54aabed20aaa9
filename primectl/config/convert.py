"""Parsed TOML to the structs of `model`, one value at a time, so that one run finds every mistake.

A value that is wrong is reported and stands as its default in what is returned, for the checks that come after; a
required one as an empty text. Nobody sees such a Config: the load fails once all checks have spoken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import isfinite
from typing import NamedTuple

from msgspec import NODEFAULT, inspect

from primectl.config.model import Config
from primectl.config.problems import Path, Problems, choice, nearest, show_path, show_value
from primectl.config.units import parse_duration, parse_size, show_duration, show_size

LARGEST_INT = (1 << 63) - 1


class Refused(Exception):
    """A value that does not fit its key: what was expected, and the remedy."""

    def __init__(self, expected: str, mend: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.mend = mend


class Kind(NamedTuple):
    """The type of a key without its wrapping, and what the model says about it."""

    type: inspect.Type
    unit: str
    description: str


def convert(source: Mapping[str, object], problems: Problems) -> Config:
    """The whole file; mistakes go to `problems`."""
    config = _table(config_type(), source, (), problems)
    assert isinstance(config, Config)
    return config


@cache
def config_type() -> inspect.StructType:
    """The tables and keys of a config file, as msgspec sees them."""
    info = inspect.type_info(Config)
    assert isinstance(info, inspect.StructType)
    return info


def kind_of(wrapped: inspect.Type) -> Kind:
    """Unwrap what `Annotated` put around a type."""
    unit = description = ""
    while isinstance(wrapped, inspect.Metadata):
        unit = (wrapped.extra or {}).get("unit", unit)
        description = (wrapped.extra_json_schema or {}).get("description", description)
        wrapped = wrapped.type
    return Kind(wrapped, unit, description)


def default_of(field: inspect.Field) -> object:
    """What a key means when it is left out; NODEFAULT where it must not be."""
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    return field.default


def _value(kind: Kind, value: object, path: Path, problems: Problems) -> object:
    """The value as the structs hold it. Raises Refused."""
    match kind.type:
        case inspect.StructType():
            return _table(kind.type, _as_table(value, path), path, problems)
        case inspect.DictType():
            inner = kind_of(kind.type.value_type)
            found = {key: _item(inner, each, (*path, key), problems) for key, each in _as_table(value, path).items()}
            return {key: each for key, each in found.items() if each is not NODEFAULT}
        case inspect.VarTupleType():
            inner = kind_of(kind.type.item_type)
            if not isinstance(value, list):
                raise _no_list(inner)
            items = [_item(inner, each, (*path, number), problems) for number, each in enumerate(value)]
            return tuple(item for item in items if item is not NODEFAULT)
        case _:
            return _SCALARS[type(kind.type)](kind, value)


def _item(kind: Kind, value: object, path: Path, problems: Problems) -> object:
    try:
        return _value(kind, value, path, problems)
    except Refused as refused:
        problems.add(path, f"expected {refused.expected}, got {show_value(value)}", refused.mend)
        return NODEFAULT


def _table(struct: inspect.StructType, source: Mapping[str, object], path: Path, problems: Problems) -> object:
    fields = {field.name: field for field in struct.fields}
    values: dict[str, object] = {}
    for key, value in source.items():
        if key not in fields:
            problems.add((*path, key), "unknown key", _nearest_key(key, list(fields), path))
            continue
        values[key] = _item(kind_of(fields[key].type), value, (*path, key), problems)
    for name, field in fields.items():
        if values.get(name, NODEFAULT) is not NODEFAULT:
            continue
        values[name] = default_of(field)
        if values[name] is NODEFAULT:
            if name not in source:
                kind = kind_of(field.type)
                problems.add((*path, name), "expected a text, the key is missing", kind.description)
            values[name] = ""
    made: object = struct.cls(**values)
    return made


def _no_list(inner: Kind) -> Refused:
    if isinstance(inner.type, inspect.IntType):
        return Refused("a list of whole numbers", "Write it as [0, 1]")
    return Refused("a list of texts", 'Write it as ["one", "two"]')


def _as_table(value: object, path: Path) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise Refused("a table", f"Begin it with [{show_path(path)}]")


def _nearest_key(key: str, known: list[str], path: Path) -> str:
    near = nearest(key, known)
    if near:
        return near
    homes = [home for home, keys in _homes().items() if key in keys]
    if homes:
        return f"It belongs in [{homes[0]}]"
    return f"Known here: {', '.join(known)}"


@cache
def _homes() -> dict[str, list[str]]:
    """Every table with its keys, for a key that was put into the wrong one."""
    homes = {}
    for field in config_type().fields:
        inner = kind_of(field.type).type
        if isinstance(inner, inspect.StructType):
            homes[field.name] = [each.name for each in inner.fields]
        elif isinstance(inner, inspect.DictType) and isinstance(inner.value_type, inspect.StructType):
            homes[f"{field.name}.<name>"] = [each.name for each in inner.value_type.fields]
    return homes


# --- single values ----------------------------------------------------------------------------------------------------


def _text(kind: Kind, value: object) -> str:
    if not isinstance(value, str):
        raise Refused("a text in quotes", "" if isinstance(value, dict | list) else f'Write "{show_value(value)}"')
    if "\0" in value:
        raise Refused("a text without NUL", "")
    return value


def _bool(kind: Kind, value: object) -> bool:
    if not isinstance(value, bool):
        raise Refused("true or false", "Write it without quotes, in lower case")
    return value


def _literal(kind: Kind, value: object) -> object:
    assert isinstance(kind.type, inspect.LiteralType)
    words = [str(each) for each in kind.type.values]
    if value not in words:
        raise Refused(choice(words), nearest(value, words) if isinstance(value, str) else "")
    return value


def _int(kind: Kind, value: object) -> int:
    assert isinstance(kind.type, inspect.IntType)
    if kind.unit == "size":
        size = _with_unit(value, parse_size, lambda number: show_size(int(number)), "size", "10MiB", "B, KiB, MiB, GiB")
        _bounded(size, kind.type, "a size", lambda bound: show_size(int(bound)))
        return int(size)
    if not isinstance(value, int) or isinstance(value, bool):
        least = "" if kind.type.ge is None else f" >= {kind.type.ge}"
        raise Refused(f"a whole number{least}", _number_mend(value, kind.description))
    _bounded(value, kind.type, "a whole number", str)
    return value


def _float(kind: Kind, value: object) -> float:
    assert isinstance(kind.type, inspect.FloatType)
    if not kind.unit:
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            raise Refused(f"a number from {kind.type.ge:g} to {kind.type.le:g}", "")
        _bounded(value, kind.type, "a number", "{:g}".format)
        return float(value)
    seconds = _with_unit(
        value, parse_duration, lambda number: show_duration(float(number)), "duration", "30s", "ms, s, m, h and d"
    )
    _bounded(seconds, kind.type, "a duration", lambda bound: show_duration(float(bound)))
    return seconds


def _union(kind: Kind, value: object) -> object:
    """A number or a word (`prefetch`), or a number or any text (`rlimits`, whose names tell what it may be)."""
    assert isinstance(kind.type, inspect.UnionType)
    words: list[str] = []
    expected: list[str] = []
    for each in kind.type.types:
        if isinstance(each, inspect.LiteralType):
            words += [str(word) for word in each.values]
        elif isinstance(each, inspect.StrType):
            expected.append("a text")
            if isinstance(value, str):
                return _text(kind, value)
        elif isinstance(each, inspect.IntType):
            expected.append(_whole_number(each))
            if isinstance(value, int) and not isinstance(value, bool) and _within(value, each):
                return value
    if value in words:
        return value
    raise Refused(" or ".join([*([choice(words)] if words else []), *expected]), "")


def _whole_number(kind: inspect.IntType) -> str:
    """The number that is wanted, with its bounds."""
    if kind.ge is not None and kind.le is not None:
        return f"a whole number from {kind.ge} to {kind.le}"
    return "a whole number" if kind.ge is None else f"a whole number >= {kind.ge}"


def _within(value: int, kind: inspect.IntType) -> bool:
    least = -LARGEST_INT if kind.ge is None else kind.ge
    return least <= value <= (LARGEST_INT if kind.le is None else kind.le)


_SCALARS: dict[type[inspect.Type], Callable[[Kind, object], object]] = {
    inspect.StrType: _text,
    inspect.BoolType: _bool,
    inspect.IntType: _int,
    inspect.FloatType: _float,
    inspect.LiteralType: _literal,
    inspect.UnionType: _union,
}


def _with_unit(
    value: object,
    parse: Callable[[str], float],
    show: Callable[[float], str],
    what: str,
    example: str,
    units: str,
) -> float:
    expected = f'a {what} with its unit, such as "{example}"'
    if isinstance(value, int | float) and not isinstance(value, bool):
        plausible = 0 <= value < 1e15
        raise Refused(expected, f'Write "{show(value)}"; units are {units}' if plausible else f"Units are {units}")
    if not isinstance(value, str):
        raise Refused(expected, f"Units are {units}")
    try:
        return parse(value)
    except ValueError:
        raise Refused(expected, f"Units are {units}") from None


def _bounded(value: float, kind: inspect.IntType | inspect.FloatType, what: str, show: Callable[[float], str]) -> None:
    """Raises Refused for a number outside its bounds; only the bound that it passes is named, or both."""
    above = value > (LARGEST_INT if kind.le is None else kind.le)
    if not above and (kind.ge is None or value >= kind.ge) and (kind.gt is None or value > kind.gt):
        return
    if above and kind.le is None:
        raise Refused(f"{what} <= {show(LARGEST_INT)}", "")
    if above and kind.ge is not None and kind.le is not None:
        raise Refused(f"{what} from {show(kind.ge)} to {show(kind.le)}", "")
    raise Refused(f"{what} > {show(kind.gt)}" if kind.gt is not None else f"{what} >= {show(kind.ge or 0)}", "")


def _number_mend(value: object, description: str) -> str:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return f"Write {value} without quotes"
    counted = description[:1].lower() + description[1:] if description[1:2].islower() else description
    return f"Give the {counted}" if counted.startswith(("number ", "most ")) else f"Give the number of {counted}"
