"""What makes the key of a job: the function that its pool's `affinity` names, called by whoever makes the job.

A key is a hint and nothing more: a function that raises, or gives what is no key, costs its jobs their key. That is
counted, and told once for each pool.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable

from primectl.config.entry import resolve
from primectl.config.model import Config

KEY_LIMIT = 64
"""Characters of a key. A longer one travels as its digest."""

_KeyFunction = Callable[[object], object]


class Affinity:
    """The keys of jobs for the pools of one cluster. `errors` counts jobs that should have had one and have none.

    `tell` gets (what, traceback) for the log. The folder `import_path` comes first on the import path from the first
    import on, as it does for handlers.
    """

    def __init__(self, config: Config, import_path: str, tell: Callable[[str, str], None]) -> None:
        self._entries = {name: pool.affinity for name, pool in config.pools.items() if pool.affinity}
        self.pools = frozenset(self._entries)
        """Those whose jobs have keys."""
        self._import_path = import_path
        self._tell = tell
        self._functions: dict[str, _KeyFunction] = {}
        self._told: set[str] = set()
        self.errors = 0

    def is_for(self, config: Config) -> bool:
        """Whether this config has the same functions."""
        return self._entries == {name: pool.affinity for name, pool in config.pools.items() if pool.affinity}

    def load(self, pools: Iterable[str]) -> None:
        """Import the functions of these pools now, rather than with their first job."""
        for pool in pools:
            if pool in self._entries and pool not in self._functions:
                self._function(pool)

    def key(self, pool: str, payload: object) -> str:
        """The key of a job for `pool`; "" where the pool has no affinity, or its function names no key."""
        if pool not in self._entries:
            return ""
        function = self._functions.get(pool) or self._function(pool)
        try:
            return as_key(function(payload))
        except (Exception, SystemExit) as error:
            self._failed(pool, error)
            return ""

    def _function(self, pool: str) -> _KeyFunction:
        if self._import_path not in sys.path:
            sys.path.insert(0, self._import_path)
        try:
            function: _KeyFunction = resolve(self._entries[pool])
        except (Exception, SystemExit) as error:
            self._failed(pool, error)
            function = _none
        self._functions[pool] = function
        return function

    def _failed(self, pool: str, error: BaseException) -> None:
        self.errors += 1
        if pool not in self._told:
            self._told.add(pool)
            what = f'pools.{pool}.affinity: "{self._entries[pool]}" gives no key (this is told once)'
            self._tell(what, "".join(traceback.format_exception(error)))


def as_key(found: object) -> str:
    """A key as it travels: a whole number as its digits, None as "". Raises TypeError for what is no key, and
    UnicodeEncodeError for a text that is no Unicode."""
    if found is None:
        return ""
    if not isinstance(found, str | int):
        raise TypeError(f"a key is str, int or None, not {type(found).__name__}")
    key = str(found)
    text = key.encode()
    return key if len(key) <= KEY_LIMIT else hashlib.blake2s(text, digest_size=KEY_LIMIT // 2).hexdigest()


def _none(payload: object) -> None:
    """In place of a function that cannot be imported."""
