"""§ Bytecode that could hide an edit.

Python takes a cached file for that of its source as long as time and size of the source are those noted in it, and
notes whole seconds (importlib, PEP 552). Code that is edited, reloaded and edited again within a second, to the same
size, would go on as it was: so what was compiled from a source that young is not left for the next import to find.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

YOUNG_S = 2.0
"""A whole second, and what file systems round to."""


def forget_young(folder: str) -> None:
    """Remove the cached files of imported modules whose source lies in `folder` and was changed just now."""
    inside = f"{os.path.abspath(folder)}{os.sep}"
    for module in list(sys.modules.values()):
        source, cached = getattr(module, "__file__", None), getattr(module, "__cached__", None)
        if not isinstance(source, str) or not isinstance(cached, str) or not source.startswith(inside):
            continue
        with suppress(OSError):  # somebody else's, or gone already
            if time.time() - os.stat(source).st_mtime < YOUNG_S:
                os.unlink(cached)
