"""The config file as JSON Schema, made from the structs: an editor that knows it completes and checks the TOML.

Draft 7, the newest that the usual TOML editors know. Durations and sizes are texts with a unit, defaults too.
"""

from __future__ import annotations

from msgspec import NODEFAULT, inspect

from primectl.config.convert import Kind, config_type, default_of, kind_of
from primectl.config.names import CLUSTER_NAME, ENV_NAME, POOL_NAME
from primectl.config.rlimits import RLIMITS
from primectl.config.units import DURATION_PATTERN, SIZE_PATTERN, show_duration, show_size

Schema = dict[str, object]

_KEY_PATTERNS = {"pools": POOL_NAME, "env": ENV_NAME}


def config_schema() -> Schema:
    """JSON Schema of a whole file."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "primectl config",
        **_table(config_type()),
        "required": ["routes", "pools"],
    }


def show_default(kind: Kind, value: object) -> object:
    """A default in the file's own notation: 30.0 seconds as "30s"."""
    if kind.unit == "duration" and isinstance(value, float | int):
        return show_duration(float(value))
    if kind.unit == "size" and isinstance(value, int):
        return show_size(value)
    return list(value) if isinstance(value, tuple) else value


def _table(struct: inspect.StructType) -> Schema:
    properties = {field.name: _key(field) for field in struct.fields}
    required = [field.name for field in struct.fields if default_of(field) is NODEFAULT]
    schema: Schema = {"description": struct.cls.__doc__ or "", "type": "object", "additionalProperties": False}
    if required:
        schema["required"] = required
    return {**schema, "properties": properties}


def _key(field: inspect.Field) -> Schema:
    kind = kind_of(field.type)
    schema = {"title": field.name, **_of(kind, field.name)}
    if kind.description:
        schema["description"] = kind.description
    default = default_of(field)
    if default is not NODEFAULT and not isinstance(kind.type, inspect.StructType):
        schema["default"] = show_default(kind, default)
    return schema


def _of(kind: Kind, name: str) -> Schema:
    match kind.type:
        case inspect.StructType():
            return _table(kind.type)
        case inspect.DictType():
            schema: Schema = {"type": "object", "additionalProperties": _of(kind_of(kind.type.value_type), name)}
            if name in _KEY_PATTERNS:
                schema["propertyNames"] = {"pattern": f"^{_KEY_PATTERNS[name]}$"}
            elif name == "rlimits":
                schema["propertyNames"] = {"enum": list(RLIMITS)}
            return schema
        case inspect.VarTupleType():
            return {"type": "array", "items": _of(kind_of(kind.type.item_type), name)}
        case inspect.LiteralType():
            return {"enum": list(kind.type.values)}
        case inspect.UnionType():
            return {"anyOf": [_of(Kind(each, "", ""), name) for each in kind.type.types]}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType() | inspect.FloatType() if kind.unit:
            return {"type": "string", "pattern": SIZE_PATTERN if kind.unit == "size" else DURATION_PATTERN}
        case inspect.IntType():
            return _whole_number(kind.type)
        case inspect.FloatType():
            return {"type": "number", "minimum": kind.type.ge, "maximum": kind.type.le}
        case _:
            return {"type": "string", "pattern": f"^{CLUSTER_NAME}$"} if name == "name" else {"type": "string"}


def _whole_number(kind: inspect.IntType) -> Schema:
    bounds = {"minimum": kind.ge, "maximum": kind.le}
    return {"type": "integer", **{key: bound for key, bound in bounds.items() if bound is not None}}
