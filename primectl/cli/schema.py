"""`primectl schema`: the config file's JSON Schema, for editors."""

from __future__ import annotations

from primectl.cli.terminal import say_json
from primectl.config.schema import config_schema


def schema() -> None:
    """Print the JSON Schema of the config file; an editor that knows TOML completes and checks with it."""
    say_json(config_schema())
