"""§ The rows of a journal as they are written: each once, the oldest first, whatever happens to the recorder.

A row's number is above all that were written before it, so what is new is what is above the highest one that has been
seen. A journal that took the place of another is read from its first row.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import structs

from primectl.journal.archive import MOST_ROWS, Archive
from primectl.wire.journal import RequestsQuery, Row

FIRST = 1
"""A number that no row has, below all of them."""


class Follow:
    """`query` says which rows; of those that are there already the `last` ones are the first to come, 0 for all."""

    def __init__(self, archive: Archive, query: RequestsQuery) -> None:
        self._archive = archive
        self._query = structs.replace(query, last=MOST_ROWS)
        self._after = max(FIRST, archive.below_last(query)) if query.last else FIRST
        self._file = archive.file

    def read(self) -> Iterator[Row]:
        """What has come since the last call. Raises what `Archive.query` does; the next call goes on."""
        while True:
            found = self._archive.query(structs.replace(self._query, after=self._after))
            if self._archive.file != self._file:
                self._file, self._after = self._archive.file, FIRST
                continue
            for row in found.requests:
                self._after = row.number
                yield row
            if len(found.requests) < MOST_ROWS:
                # Those that do not fit need not be looked at again.
                self._after = max(self._after, found.newest)
                return
