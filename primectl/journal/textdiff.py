"""Two texts: which lines differ."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest

from primectl.journal.jsondiff import cut, excerpts

_PAIRS = 250_000
"""Of more pairs of lines than that the best match is not sought: it takes time by their square."""


def differences(before: str, after: str) -> Iterator[tuple[int, str | None, str | None]]:
    """Number of the line (of the first text, from 1) and both sides, None where a side has no such line."""
    old, new = before.split("\n"), after.split("\n")
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    behind = 0
    while behind < min(len(old), len(new)) - start and old[-1 - behind] == new[-1 - behind]:
        behind += 1
    old, new = old[start : len(old) - behind], new[start : len(new) - behind]
    if len(old) * len(new) > _PAIRS:
        changed = [(0, len(old), 0, len(new))]
    else:
        matcher = SequenceMatcher(None, old, new, autojunk=False)
        changed = [block for tag, *block in matcher.get_opcodes() if tag != "equal"]  # type: ignore[misc]
    for old_from, old_to, new_from, new_to in changed:
        for at, (line, other) in enumerate(zip_longest(old[old_from:old_to], new[new_from:new_to])):
            if line != other:
                yield (start + old_from + at + 1, *_shown(line, other))


def _shown(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    if old is None or new is None:
        return (None, cut(new or "")) if old is None else (cut(old), None)
    return excerpts(old, new)
