"""`primectl check`: all that is wrong with a config file, nothing started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import selection
from primectl.cli.terminal import say, say_json, tell
from primectl.config.handlers import check_handlers, whole_config
from primectl.config.load import FILE_NAME
from primectl.errors import ConfigError
from tui.present.units import plural


def check(
    ctx: typer.Context,
    path: Annotated[str | None, typer.Argument(metavar="FILE", help="The file to check, as -f.")] = None,
    file: options.File = None,
    as_json: options.AsJson = False,
) -> int:
    """Say all that is wrong with a config file, one line each; nothing is started."""
    asked = path or selection(ctx, file, None).file
    try:
        loaded = whole_config(asked, Path.cwd())
        check_handlers(loaded)
    except ConfigError as error:
        if not as_json:
            raise
        say_json({"file": asked or FILE_NAME, "ok": False, "problems": error.problems, "warnings": []})
        return error.exit_code
    name = loaded.name
    if as_json:
        say_json({"file": name, "ok": True, "problems": [], "warnings": loaded.warnings})
        return 0
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    pools, routes = plural(len(loaded.config.pools), "pool"), plural(len(loaded.config.routes), "route")
    say(f"{name}: ok ({pools}, {routes})")
    return 0
