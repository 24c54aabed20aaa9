"""Which pools nothing leads to § reads the source of handler modules, imports nothing.

Handlers forward by name, at run time, so this is a guess, and only ever a warning: a pool counts as reached when a
route names it, or when the source of a reached pool's handler module has its name in quotes. Where a source cannot be
read, everything counts as reached.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from primectl.config.entry import split
from primectl.config.model import Config


def unreached(config: Config, import_path: str) -> list[str]:
    """Pools that no route and no forward seems to lead to. The config must be free of mistakes."""
    reached = set(config.routes.values())
    waiting = sorted(reached)
    while waiting and len(reached) < len(config.pools):
        source = _source(split(config.pools[waiting.pop()].handler)[0], [import_path, *sys.path])
        if source is None:
            return []
        named = {name for name in config.pools if re.search(f"""["']{re.escape(name)}["']""", source)}
        waiting += sorted(named - reached)
        reached |= named
    return [name for name in config.pools if name not in reached]


def _source(module: str, path: Sequence[str]) -> str | None:
    """A module's source, found as an import would, without running its packages; None where there is none."""
    folders: Sequence[str] | None = path
    origin: str | None = None
    qualified = ""
    for part in module.split("."):
        qualified = f"{qualified}.{part}" if qualified else part
        spec = PathFinder.find_spec(qualified, folders)
        if spec is None:
            return None
        origin, folders = spec.origin, spec.submodule_search_locations or []
    if origin is None or not origin.endswith(".py"):
        return None
    try:
        return Path(origin).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
