"""§ Reads a journal: rows that fit, one entry, all entries in order of time; never writes to it.

The file is opened read-only, so it can be read while the recorder writes to it, and while nothing runs. No transaction
stays open between two pages, since one that does would keep the recorder's log from being taken over into the file.
"""

from __future__ import annotations

import os
import re
import sqlite3
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import msgspec

from primectl.errors import ConfigError, JournalDamaged, JournalError, NotFound
from primectl.journal import where as filters
from primectl.journal.entry import COLUMNS, Columns, OpenBlock, entry_of, hop_times, row_of
from primectl.journal.store import ROWS, WAITING, error_of, open_reader
from primectl.wire.job import RequestId, request_name
from primectl.wire.journal import Entry, Requests, RequestsQuery, Row

PAGE = 500
"""Rows that are read in one go."""
MOST_ROWS = 1000
"""In one answer to a `RequestsQuery`."""
OPEN_BLOCKS = 8
"""That are kept for the rows that come next."""
MOST_MAPPED = 1 << 32
SKEW_S = 2.0
"""A row is written behind the end of its request, so its number is not below its time, but for so much: the clock of
the server and that of the recorder are read at different moments."""
_ID = re.compile(r"[0-9a-fA-F]{1,13}")
_EXAMPLES = 3
_MOST_NAMED = _EXAMPLES + 1
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM requests WHERE "  # noqa: S608


class _Choice:
    """The rows that are meant, as a condition in SQL."""

    def __init__(
        self,
        where: str = "",
        *,
        since: float = 0.0,
        until: float = 0.0,
        originals: bool = False,
        dead: bool = False,
        after: int = 0,
    ) -> None:
        chosen = filters.compile(where)
        tests = [f"({chosen.sql})"]
        self.params: list[int | float | str] = [*chosen.params]
        if after or since:
            # Of the primary key: nothing below it is looked at.
            tests.append("number > ?")
            self.params.append(max(after, int((since - SKEW_S) * 1e6) if since else 0))
        if since:
            tests.append("time >= ?")
            self.params.append(since)
        if until:
            tests.append("time <= ?")
            self.params.append(until)
        if dead:
            tests.append(WAITING)
        if originals and not chosen.mentions & {"replay", "run"}:
            tests.append("replay_run IS NULL")
        self.sql = " AND ".join(tests)


class Archive:
    """The journal at `path`; where none is yet, it has no rows. Not for several threads at once.

    Reading raises JournalDamaged, JournalNewer, or JournalError for what else is in the way. A journal that is set
    aside while this is open is left for the one that takes its place.
    """

    def __init__(self, path: str, *, mapped: bool = False) -> None:
        """`mapped`: the file is read as memory, which a full scan is a quarter faster by. An error of the disk then
        ends the process (SIGBUS), so it is for those that only answer one question."""
        self._path = path
        self._mapped = mapped
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._blocks: OrderedDict[int, OpenBlock] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._blocks.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def exists(self) -> bool:
        return os.path.exists(self._path)

    @property
    def file(self) -> tuple[int, int] | None:
        """Which file the last answer is from: another one once a journal has been set aside."""
        return self._file

    # --- lists --------------------------------------------------------------------------------------------------------

    def query(self, query: RequestsQuery) -> Requests:
        """Raises ConfigError for a mistake in the filter."""
        choice = _chosen(query)
        with self._reading() as db:
            if db is None:
                return Requests([])
            rows = self._page(db, choice, min(query.last, MOST_ROWS), upwards=query.after > 0)
            return Requests(rows, db.execute(ROWS).fetchone()[0], _newest(db))

    def rows(self, query: RequestsQuery) -> Iterator[Row]:
        """As `query`, without a bound: `last` 0 stands for all of them. What is pruned meanwhile may be missing."""
        choice = _chosen(query)
        left = query.last or (1 << 62)
        beyond: int | None = None
        while left > 0:
            with self._reading() as db:
                if db is None:
                    return
                page = self._page(db, choice, min(left, PAGE), upwards=query.after > 0, beyond=beyond)
            yield from page
            if len(page) < min(left, PAGE):
                return
            left -= len(page)
            beyond = page[-1].number

    def below_last(self, query: RequestsQuery) -> int:
        """A number below the newest `last` rows that fit and above all others that do; 0 where there are no others."""
        choice = _chosen(query)
        with self._reading() as db:
            if db is None:
                return 0
            found = db.execute(
                f"{_SELECT}{choice.sql} ORDER BY number DESC LIMIT 1 OFFSET ?", [*choice.params, query.last]
            ).fetchone()
        return int(found[0]) if found is not None else 0

    def replays_of(self, id: str, most: int = 20) -> list[Row]:  # noqa: A002
        """The newest rows that are replays of the request with this whole id."""
        with self._reading() as db:
            if db is None:
                return []
            found = db.execute(
                f"{_SELECT}replay_run IS NOT NULL AND replay_of = ? ORDER BY number DESC LIMIT ?", [int(id, 16), most]
            ).fetchall()
            return [self._row(db, columns) for columns in found]

    def by_run(self, run: str, since: float = 0.0) -> dict[str, Row]:
        """The rows of a run of replays by their own ids, which are what the answers had as X-Request-Id. `since` is
        when it began, in Unix seconds: older rows need not be looked at."""
        choice = _Choice(since=since)
        with self._reading() as db:
            if db is None:
                return {}
            found = db.execute(f"{_SELECT}{choice.sql} AND replay_run = ?", [*choice.params, run]).fetchall()
            return {row.id: row for row in (self._row(db, columns) for columns in found)}

    def _page(
        self, db: sqlite3.Connection, choice: _Choice, limit: int, *, upwards: bool, beyond: int | None = None
    ) -> list[Row]:
        sql, params = choice.sql, list(choice.params)
        if beyond is not None:
            sql += f" AND number {'>' if upwards else '<'} ?"
            params.append(beyond)
        order = "ASC" if upwards else "DESC"
        found = db.execute(f"{_SELECT}{sql} ORDER BY number {order} LIMIT ?", [*params, limit]).fetchall()
        return [self._row(db, columns) for columns in found]

    # --- entries ------------------------------------------------------------------------------------------------------

    def entry(self, id: str) -> Entry:  # noqa: A002  what it is
        """The newest with this X-Request-Id, or whose id ends so. Raises NotFound, and ConfigError where the ids of
        several requests end so."""
        with self._reading() as db:
            return self._entry(db, self._number_of(db, id))

    def entries_of(self, ids: Sequence[str]) -> Iterator[Entry]:
        """One for each id, as `entry` has it, in the order in which they happened. All ids are looked for first."""
        with self._reading() as db:
            numbers = {self._number_of(db, each) for each in ids}
        yield from self._all(array("q", sorted(numbers)))

    def entries(
        self,
        *,
        where: str = "",
        last: int = 0,
        since: float = 0.0,
        until: float = 0.0,
        dead: bool = False,
        originals: bool = True,
    ) -> Iterator[Entry]:
        """Those that fit, of them the newest `last` (0: all), the oldest first: in order of time.

        `originals` leaves replays out unless the filter speaks of them. What is pruned meanwhile is left out.
        Raises ConfigError for a mistake in the filter.
        """
        choice = _Choice(where, since=since, until=until, originals=originals, dead=dead)
        with self._reading() as db:
            if db is None:
                return
            newest = f"{_SELECT}{choice.sql} ORDER BY number DESC LIMIT ?"
            rows = db.execute(f"SELECT number FROM ({newest}) ORDER BY time, number", [*choice.params, last or -1])  # noqa: S608
            # Eight bytes a row is all that is kept of a million of them.
            numbers = array("q", (number for (number,) in rows))
        yield from self._all(numbers)

    def _all(self, numbers: array[int]) -> Iterator[Entry]:
        for start in range(0, len(numbers), PAGE):
            page = numbers[start : start + PAGE].tolist()
            with self._reading() as db:
                if db is None:
                    return
                marks = ", ".join("?" * len(page))
                found = db.execute(f"{_SELECT}number IN ({marks})", page)
                by_number: dict[int, Columns] = {columns[0]: columns for columns in found}
            for number in page:
                columns = by_number.get(number)
                if columns is None:
                    continue
                with self._reading() as db:
                    entry = self._entry_of(db, columns) if db is not None else None
                if entry is not None:
                    yield entry

    def _number_of(self, db: sqlite3.Connection | None, id: str) -> int:  # noqa: A002
        if _ID.fullmatch(id) is None:
            mend = "Give the 13 hexadecimal digits of its X-Request-Id, or the last ones"
            raise ConfigError(f'expected the id of a request, got "{id}"', mend=mend)
        numbers: dict[int, int] = {}
        if db is not None:
            found = db.execute(
                "SELECT request, max(number) FROM requests WHERE request & ? = ? GROUP BY request",
                [(1 << 4 * len(id)) - 1, int(id, 16)],
            )
            numbers = dict(found.fetchmany(_MOST_NAMED))
        if not numbers:
            raise NotFound(f"no request {id} is recorded", mend="`primectl requests` lists those that are")
        if len(numbers) > 1:
            named = ", ".join(request_name(RequestId(request)) for request in list(numbers)[:_EXAMPLES])
            more = " and more" if len(numbers) > _EXAMPLES else ""
            raise ConfigError(f"the ids of several requests end in {id}: {named}{more}", mend="Give more digits")
        return next(iter(numbers.values()))

    def _entry(self, db: sqlite3.Connection | None, number: int) -> Entry:
        found: Columns | None = None
        if db is not None:
            found = db.execute(f"{_SELECT}number = ?", [number]).fetchone()
        entry = self._entry_of(db, found) if db is not None and found is not None else None
        if entry is None:
            raise NotFound("the request has just been pruned from the journal")
        return entry

    # --- what a row and an entry are made of --------------------------------------------------------------------------

    def _row(self, db: sqlite3.Connection, columns: Columns) -> Row:
        *_, number, place = columns
        block = self._block(db, number)
        return row_of(columns, hop_times(block.at(place)[0]) if block is not None else [])

    def _entry_of(self, db: sqlite3.Connection, columns: Columns) -> Entry | None:
        """None where its block is gone."""
        *_, number, place = columns
        block = self._block(db, number)
        return entry_of(columns, *block.at(place)) if block is not None else None

    def _block(self, db: sqlite3.Connection, number: int) -> OpenBlock | None:
        block = self._blocks.get(number)
        if block is None:
            found = db.execute("SELECT records FROM blocks WHERE id = ?", [number]).fetchone()
            if found is None:
                return None
            block = self._blocks[number] = OpenBlock(found[0])
            while len(self._blocks) > OPEN_BLOCKS:
                self._blocks.popitem(last=False)
        return block

    # --- the file -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """One moment of the journal, None where there is none."""
        try:
            db = self._opened()
            if db is None:
                yield None
                return
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            self.close()
            raise error_of(error, self._path) from None
        except (msgspec.MsgspecError, IndexError) as error:
            raise JournalDamaged(f"a recorded request cannot be read: {error}", self._path) from None

    def _opened(self) -> sqlite3.Connection | None:
        """The connection to the file that is there now."""
        try:
            status = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            self.close()
            return None
        except OSError as error:
            raise JournalError(error.strerror or str(error), self._path) from None
        if self._connection is None or self._file != (status.st_dev, status.st_ino):
            self.close()
            self._file = (status.st_dev, status.st_ino)
            self._connection = open_reader(self._path)
            if self._mapped and self._connection is not None:
                self._connection.execute(f"PRAGMA mmap_size = {MOST_MAPPED}")
        return self._connection


def _chosen(query: RequestsQuery) -> _Choice:
    return _Choice(
        query.where,
        since=query.since,
        until=query.until,
        originals=query.originals,
        dead=query.dead,
        after=query.after,
    )


def _newest(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(number), 0) FROM requests").fetchone()[0])
