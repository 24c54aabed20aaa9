"""`primectl init`: a config file to start from."""

from __future__ import annotations

from pathlib import Path

import typer

from primectl.cli import options
from primectl.cli.choose import selection
from primectl.cli.terminal import say, say_json
from primectl.config.load import FILE_NAME
from primectl.config.starter import starter
from primectl.errors import ConfigError


def init(ctx: typer.Context, file: options.File = None, as_json: options.AsJson = False) -> None:
    """Write a commented primectl.toml here (or FILE); never over one that is there."""
    target = Path(selection(ctx, file, None).file or FILE_NAME)
    try:
        with target.open("x", encoding="utf-8") as opened:
            opened.write(starter())
    except FileExistsError:
        raise ConfigError("is there already", str(target), "Remove it, or name another file with -f") from None
    named = "" if str(target) == FILE_NAME else f" -f {target}"
    if as_json:
        say_json({"file": str(target), "next": f"primectl{named} up -d"})
    else:
        say(f"wrote {target}; `primectl{named} up -d` starts its cluster, `primectl tui` shows it")
