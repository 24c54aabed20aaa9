"""The JSON Schema, the starter file and the manual say what the structs say."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT, inspect

from primectl.config.convert import Kind, config_type, default_of, kind_of
from primectl.config.load import Loaded, sample_names
from primectl.config.model import Config
from primectl.config.schema import config_schema, show_default
from primectl.config.starter import starter

MANUAL = Path(__file__).parents[3] / "docs" / "config.md"


def keys() -> Iterator[tuple[str, inspect.Field, Kind]]:
    """Every table's name as the manual has it, with each of its keys."""
    for field in config_type().fields:
        table, name = kind_of(field.type).type, field.name
        if isinstance(table, inspect.DictType) and isinstance(table.value_type, inspect.StructType):
            table, name = table.value_type, f"{name}.<name>"
        if isinstance(table, inspect.StructType):
            for key in table.fields:
                yield name, key, kind_of(key.type)


def property_of(schema: dict[str, Any], table: str, key: str) -> Any:
    owner = schema["properties"][table.removesuffix(".<name>")]
    return (owner["additionalProperties"] if table.endswith(".<name>") else owner)["properties"][key]


def test_every_key_is_in_the_schema_with_its_description_and_default() -> None:
    schema = config_schema()
    for table, key, kind in keys():
        found = property_of(schema, table, key.name)
        assert found["title"] == key.name
        assert found["description"] == kind.description != ""
        default = default_of(key)
        assert found.get("default", NODEFAULT) == (default if default is NODEFAULT else show_default(kind, default))


def test_the_schema_speaks_the_notation_of_the_file() -> None:
    schema = config_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert schema["additionalProperties"] is False
    assert property_of(schema, "server", "request_timeout") == {
        "title": "request_timeout",
        "type": "string",
        "pattern": "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$",
        "description": "From the whole request to its answer, else 504",
        "default": "30s",
    }
    assert property_of(schema, "server", "max_request_size")["default"] == "10MiB"
    assert property_of(schema, "pools.<name>", "prefetch")["anyOf"] == [
        {"type": "integer", "minimum": 1},
        {"enum": ["auto"]},
    ]
    assert property_of(schema, "pools.<name>", "workers")["maximum"] == 4096
    pools = schema["properties"]["pools"]  # type: ignore[index]
    assert pools["propertyNames"] == {"pattern": "^[a-z][a-z0-9_-]{0,30}$"}
    assert pools["additionalProperties"]["required"] == ["handler"]
    assert json.loads(json.dumps(schema)) == schema


def test_the_manual_has_every_key_with_its_default_and_no_other() -> None:
    documented = {}
    for section in re.split(r"^## ", MANUAL.read_text(encoding="utf-8"), flags=re.M):
        title = re.match(r"\[(.+)\]\n", section)
        for key, default in re.findall(r"^\| `(\w+)` \| (`.*?`|required) \|", section, flags=re.M) if title else []:
            documented[f"{title[1]}.{key}" if title else ""] = default.strip("`")
    assert documented == {
        f"{table}.{key.name}": "required"
        if default_of(key) is NODEFAULT
        else json.dumps(show_default(kind, default_of(key)))
        for table, key, kind in keys()
    }


def test_the_manuals_mistakes_are_those_that_are_told(problems_of: Callable[[str], list[str]]) -> None:
    shown = re.findall(r"^prime\.toml: (.*)$", MANUAL.read_text(encoding="utf-8"), flags=re.M)
    assert problems_of(
        '[server]\nrequest_timeout = 30\n[routes]\n"/x" = "compute"\n'
        '[pools.compute]\nhandler = "json:dumps"\nworkers = "four"\nwrokers = 3\n'
    ) == [f"my.toml: {line}" for line in shown]


def test_the_manual_names_every_sample() -> None:
    samples = MANUAL.read_text(encoding="utf-8").partition("## The samples")[2]
    assert all(f"`{name}`" in samples for name in sample_names())


def test_the_starter_file_loads_without_a_warning(load_text: Callable[[str], Loaded]) -> None:
    loaded = load_text(starter())
    assert loaded.warnings == ()
    assert loaded.config.cluster.name == "my-cluster"
    assert list(loaded.config.pools) == ["hello"]


def test_the_starter_files_commented_keys_are_real_and_show_their_defaults(
    load_text: Callable[[str], Loaded],
) -> None:
    uncommented = re.sub(r"^# (\w+ = )", r"\1", starter(), flags=re.M)
    assert uncommented.count("\n# ") < starter().count("\n# ")
    assert load_text(uncommented).config == load_text(starter()).config != Config()


def test_the_starter_files_commented_routes_can_be_used(load_text: Callable[[str], Loaded]) -> None:
    uncommented = re.sub(r'^# ("[^"]*/[^"]*" = "hello")', r"\1", starter(), flags=re.M)
    assert len(load_text(uncommented).config.routes) == 3
