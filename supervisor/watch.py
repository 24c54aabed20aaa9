"""§ Watches the files that handlers are made of, for `primectl up --reload`; in a thread of its own, by watchfiles.

Watched is the folder that handlers are imported from, and the package of each handler that comes from elsewhere. What
is done about a change is not decided here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import threading
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec, PathFinder

from primectl.config.topology import ClusterFile

LONGEST_BURST_MS = 1000
"""Changes that follow each other are told together, but no later than this."""
CALM_MS = 100
"""They are told when nothing more has changed for so long."""


class Watch:
    """The thread; `close` ends it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cluster: ClusterFile,
        on_change: Callable[[list[str]], None],
        on_failure: Callable[[str], None],
    ) -> None:
        """Both are called in the loop. `on_change` gets the paths of Python files and of the config file; `on_failure`
        why nothing can be watched."""
        self._loop = loop
        self.folders = roots(cluster)
        self._config = cluster.config_path
        self._on_change = on_change
        self._on_failure = on_failure
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        from watchfiles import PythonFilter, watch  # for development only: nobody else pays for it

        concerns = PythonFilter(extra_extensions=(".toml",))
        changes = watch(
            *self.folders,
            watch_filter=lambda change, path: concerns(change, path) and (path.endswith(".py") or path == self._config),
            debounce=LONGEST_BURST_MS,
            step=CALM_MS,
            stop_event=self._ended,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        try:
            for burst in changes:
                self._loop.call_soon_threadsafe(self._on_change, sorted({path for _, path in burst}))
        except OSError as error:  # no such folder any more, or more folders than the kernel watches for one user
            self._loop.call_soon_threadsafe(self._on_failure, str(error))


def roots(cluster: ClusterFile) -> list[str]:
    """The folders that handlers and key functions come from; none lies within another. Nothing is imported."""
    found = {os.path.abspath(cluster.import_path)}
    for pool in cluster.config.pools.values():
        for entry in filter(None, (pool.handler, pool.affinity)):
            found.update(_folders(entry.partition(":")[0].partition(".")[0], cluster.import_path))
    return sorted(folder for folder in found if not _within(folder, found - {folder}))


def _folders(package: str, import_path: str) -> Iterable[str]:
    """Of a package the folder that it is. A single module elsewhere is installed rather than worked on: its folder may
    hold thousands of others."""
    spec: ModuleSpec | None = PathFinder.find_spec(package, [import_path]) or importlib.util.find_spec(package)
    return [os.path.abspath(folder) for folder in (spec.submodule_search_locations if spec else None) or ()]


def _within(folder: str, others: Iterable[str]) -> bool:
    return any(folder.startswith(f"{other.rstrip('/')}/") for other in others)
