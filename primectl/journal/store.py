"""§ The journal's file: opened, brought up to date, appended to, kept small.

How to think about it. A row's number is the Unix time in microseconds at which it was recorded, made strictly
increasing, and a block has the number of its first row; so what is older than a moment, and what came last, are ranges
of primary keys in both tables, and nothing is deleted but from the front. Dead letters have blocks of their own, under
the negative number of their row: the ranges pass them by.

One process writes at a time: the recorder in small transactions, `requests import` now and then. Anybody may read
(WAL, https://sqlite.org/wal.html). Whatever SQLite refuses becomes a JournalError: JournalDamaged where the file is not
what it should be, the plain one where it may be possible later.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from primectl.errors import JournalDamaged, JournalError, JournalNewer
from primectl.journal.entry import Page
from primectl.journal.heard import RUNS_A_SERVER, Heard, Run

VERSION = 1
"""Of the schema, in `PRAGMA user_version` and in `meta`."""
PREVIOUS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('rows', '0');
    CREATE TABLE requests (
        number INTEGER PRIMARY KEY, request INTEGER NOT NULL, time REAL NOT NULL, ms REAL NOT NULL,
        status INTEGER NOT NULL, flags INTEGER NOT NULL, attempts INTEGER NOT NULL, size INTEGER NOT NULL,
        asked_size INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, query TEXT NOT NULL,
        workers TEXT NOT NULL, worker TEXT NOT NULL, pool TEXT NOT NULL, server TEXT NOT NULL, client TEXT NOT NULL,
        problem TEXT NOT NULL, replay_of INTEGER, replay_run TEXT, block INTEGER NOT NULL, place INTEGER NOT NULL
    );
    CREATE INDEX dead ON requests (request) WHERE (flags & 129) = 1;
    CREATE INDEX redeemed ON requests (flags) WHERE (flags & 128) = 128;
    CREATE INDEX replays ON requests (replay_run) WHERE replay_run IS NOT NULL;
    CREATE TABLE blocks (
        id INTEGER PRIMARY KEY, clock REAL NOT NULL, server TEXT NOT NULL, dead INTEGER NOT NULL, records BLOB NOT NULL
    );
    CREATE TABLE intake (
        server TEXT, incarnation INTEGER, last INTEGER NOT NULL, dropped INTEGER NOT NULL, missing INTEGER NOT NULL,
        PRIMARY KEY (server, incarnation)
    ) WITHOUT ROWID;
    """,
)
"""What makes version n + 1 of version n, each once and for good; version 0 is an empty file."""
WAITING = "(flags & 129) = 1"
"""A dead letter that is not redeemed: SQLite uses the index `dead` for who asks in just these words."""

MOST_DEAD = 10_000
"""Dead letters that wait; the oldest go."""
BUSY_MS = 5000
"""How long to wait for the other writer."""
ROWS_A_STEP = 2000
PAGES_A_STEP = 512
"""What `prune` does in one step."""
MODE = 0o600
FOLDER_MODE = 0o700
PAGE = 4096
_SHARES = 16
"""The log (WAL) may take this part of the journal's size."""
_MOST_LOG = 8 << 20
_LATER = frozenset(
    (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_TOOBIG,
    )
)
"""Result codes that say nothing against the file: https://sqlite.org/rescode.html."""
_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk cannot be written or read",
    sqlite3.SQLITE_READONLY: "the file may not be written",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_BUSY: "another process is writing to it",
    sqlite3.SQLITE_LOCKED: "another process is writing to it",
}
ROWS = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'rows'"
"""How many there are, without counting them: for a million that takes 50 ms."""
_MORE_ROWS = "UPDATE meta SET value = value + ? WHERE key = 'rows'"
ROWS_AT_ONCE = 32
"""Rows of one statement: a fifth less work than with one each."""


def _inserting(rows: int, *, marked: bool = False) -> str:
    """The statement for so many rows, as `Page.rows` has them.

    With as few parameters as can be: each costs as much as writing its column. The place of a row in its block follows
    from both numbers; a dead letter's block is the negative of its number.
    """
    width = 21 if marked else 19
    values = []
    for first in range(1, rows * width + 1, width):
        told = ", ".join(f"?{number}" for number in range(first, first + 18))
        mark = f"?{first + 19}, ?{first + 20}" if marked else "NULL, NULL"
        block = f"?{first + 18}"
        values.append(f"({told}, {mark}, {block}, ?{first} - abs({block}))")
    return f"INSERT INTO requests VALUES {', '.join(values)}"  # noqa: S608  numbers of parameters only


_INSERT = _inserting(1)
_INSERT_MANY = _inserting(ROWS_AT_ONCE)
_INSERT_MARKED = _inserting(1, marked=True)
_COUNT_DEAD = "SELECT count(*) FROM requests WHERE (flags & 129) = 1"
_OLDEST_DEAD = "SELECT number FROM requests WHERE (flags & 129) = 1 ORDER BY number LIMIT 64"
_DEAD_BYTES = "SELECT coalesce(sum(length(records)), 0) FROM blocks WHERE id < 0"


class Kept(Struct, frozen=True):
    """What is in the journal: `size` is bytes on disk, `oldest` Unix seconds, 0 without any row."""

    rows: int
    size: int
    oldest: float


@contextmanager
def trouble(path: str) -> Iterator[None]:
    """What SQLite and the system refuse in here is raised as JournalError."""
    try:
        yield
    except sqlite3.Error as error:
        raise error_of(error, path) from error
    except OSError as error:
        raise JournalError(f"the journal cannot be written: {error.strerror}", path) from error


def error_of(error: sqlite3.Error, path: str) -> JournalError:
    """What SQLite says, by who can mend it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _LATER:
        return JournalError(f"the journal cannot be used: {_WORDS.get(code, str(error))}", path)
    return JournalDamaged(f"the journal is damaged: {error}", path)


def connect(path: str, *, write: bool = False, still: bool = False, wait_ms: int = BUSY_MS) -> sqlite3.Connection:
    """A connection without transactions of its own making, for any one thread at a time. Without `write` nothing can
    be changed by it, and the file must be there; `still` for one to which nobody writes, and beside which no file may
    be made.

    Raises sqlite3.Error. See `open_reader`.
    """
    mode = "rwc" if write else "ro&immutable=1" if still else "ro"
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
        if not write:
            connection.execute("PRAGMA query_only = 1")
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: str) -> sqlite3.Connection | None:
    """To read a journal of this version with; None for one that is just being made. Raises JournalError."""
    with trouble(path):
        try:
            return _reader(path, still=False)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            # Beside a journal that nobody has open a reader makes files of its own, and may not do so in this folder.
            # What the last writer has not taken over into the file itself stays unseen.
            return _reader(path, still=True)


def _reader(path: str, *, still: bool) -> sqlite3.Connection | None:
    connection = connect(path, still=still)
    try:
        found = _version(connection)
        if found > VERSION:
            raise newer(found, path)
        if found == VERSION:
            return connection
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise JournalDamaged(f"the journal has the schema of version {found}: no recorder has opened it", path)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def newer(found: int, path: str) -> JournalNewer:
    what = f"the journal was written by a newer version: its schema is version {found}, this program knows {VERSION}"
    return JournalNewer(what, path, "Use that version, or move the file away")


class Journal:
    """The file, for the one process that writes. `heard` is what it knew of the servers when it was opened."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._status = os.stat(path)
        self._rows = 0
        """That are there now, less those that were there when it was opened."""
        self._dead: int = self._ask(_COUNT_DEAD)
        self._dead_bytes: int = self._ask(_DEAD_BYTES)
        self._floor = 0
        """All rows below are dead letters."""
        self._most_log = 1 << 62
        self.heard: dict[Run, Heard] = {
            (server, incarnation): Heard(last, dropped, missing)
            for server, incarnation, last, dropped, missing in connection.execute(
                "SELECT server, incarnation, last, dropped, missing FROM intake"
            )
        }

    @classmethod
    def open_writer(cls, path: str, *, wait_ms: int = BUSY_MS) -> Journal:
        """Open the journal, made or brought up to date as needed. Raises JournalError; a JournalNewer or JournalDamaged
        has left the file as it was."""
        with trouble(path):
            os.makedirs(os.path.dirname(path) or ".", FOLDER_MODE, exist_ok=True)
            # Made by ourselves: SQLite would give it the rights that the umask leaves, and the log those of the file.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE))
            connection = connect(path, write=True, wait_ms=wait_ms)
            try:
                _prepare(connection, path)
                return cls(path, connection)
            except BaseException:
                _close(connection)
                raise

    def is_current(self) -> bool:
        """Whether the path still leads to this file: somebody may have removed it."""
        try:
            return os.path.samestat(os.stat(self.path), self._status)
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Raises nothing: what is committed is safe, and the next to open the file tidies up."""
        _close(self._connection)

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(
        self, pages: Sequence[Page], now: float, heard: Mapping[Run, Heard] | None = None
    ) -> tuple[int, int] | None:
        """Write all of it or, raising JournalError, nothing; the first and the last number. `now` is Unix seconds.

        With replays among them, their originals are redeemed. `heard` is written along.
        """
        before = self._rows, self._dead, self._dead_bytes
        with trouble(self.path):
            self._bound_log()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                newest = self._ask("SELECT max(number) FROM requests") or 0
                number = first = max(int(now * 1e6), newest + 1)
                for page in pages:
                    self._write(page, number)
                    number += len(page)
                if heard:
                    self._note(heard)
                self._connection.execute(_MORE_ROWS, (self._rows - before[0],))
                self._connection.execute("COMMIT")
            except BaseException:
                self._rows, self._dead, self._dead_bytes = before
                self._roll_back()
                raise
        return (first, number - 1) if number > first else None

    def _write(self, page: Page, number: int) -> None:
        block = -number if page.dead else number
        rows = page.rows(number, block)
        self._connection.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?)", (block, page.clock, page.server, page.dead, page.block)
        )
        if page.marks:
            self._connection.executemany(_INSERT_MARKED, rows)
        else:
            self._insert(rows)
        self._rows += len(rows)
        if page.dead:
            self._dead += 1
            self._dead_bytes += len(page.block)
        for place, (original, _) in page.marks.items():
            if 1 <= page.told[place].status <= 399:
                self._redeem(original)

    def _insert(self, rows: Sequence[tuple[int | float | str, ...]]) -> None:
        rest = len(rows) - len(rows) % ROWS_AT_ONCE
        for first in range(0, rest, ROWS_AT_ONCE):
            together = tuple(chain.from_iterable(rows[first : first + ROWS_AT_ONCE]))
            self._connection.execute(_INSERT_MANY, together)
        self._connection.executemany(_INSERT, rows[rest:])

    def _redeem(self, original: int) -> None:
        changed = self._connection.execute(
            "UPDATE requests SET flags = flags | 128 WHERE request = ? AND (flags & 129) = 1", (original,)
        )
        self._dead -= changed.rowcount

    def _note(self, heard: Mapping[Run, Heard]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO intake VALUES (?, ?, ?, ?, ?)",
            [(*run, at.last, at.dropped, at.missing) for run, at in heard.items()],
        )
        if heard.keys() <= self.heard.keys():
            self.heard.update(heard)
            return
        for server in {server for server, _ in heard.keys() - self.heard.keys()}:
            self._connection.execute(
                "DELETE FROM intake WHERE server = ?1 AND incarnation NOT IN"
                " (SELECT incarnation FROM intake WHERE server = ?1 ORDER BY incarnation DESC LIMIT ?2)",
                (server, RUNS_A_SERVER),
            )
        self.heard.update(heard)

    # --- keeping it small ---------------------------------------------------------------------------------------------

    def configure(self, max_size: int) -> None:
        """How large the log may grow before it is written to the file itself. Raises JournalError."""
        log = min(_MOST_LOG, max_size // _SHARES)
        self._most_log = max_size
        with trouble(self.path):
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {log // PAGE}")
            self._connection.execute(f"PRAGMA journal_size_limit = {log}")

    def _bound_log(self) -> None:
        """The log starts again at its beginning when nobody reads what is in it; who reads for long makes it grow."""
        if self._log_size() <= self._most_log:
            return
        waits = self._ask("PRAGMA busy_timeout")
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {waits}")
        if self._log_size() > self._most_log:
            raise JournalError("the journal's log has no room: another process has been reading it for long", self.path)

    def prune(self, now: float, keep: float, max_size: int) -> bool:
        """One small step towards what may be kept; whether there is more to do. Raises JournalError.

        `keep` is seconds before `now`. Waiting dead letters stay, but no more than MOST_DEAD of them, which take no
        more than half the size.
        """
        with trouble(self.path):
            before = self._rows, self._dead, self._dead_bytes
            try:
                return self._step(int((now - keep) * 1e6), max_size)
            except BaseException:
                self._rows, self._dead, self._dead_bytes = before
                self._roll_back()
                raise

    def _step(self, oldest: int, max_size: int) -> bool:
        used, free = self._pages()
        too_many = self._dead > MOST_DEAD or self._dead_bytes > max_size // 2
        limit = None if used * PAGE + self._log_size() > max_size else oldest
        edge = self._edge(limit)
        if edge is None and not too_many:
            return self._shrink(used, free, max_size)
        before = self._rows
        self._connection.execute("BEGIN IMMEDIATE")
        if edge is not None:
            self._delete_below(edge)
        if too_many:
            self._delete_dead(_OLDEST_DEAD)
            self._dead = self._ask(_COUNT_DEAD)
        self._connection.execute(_MORE_ROWS, (self._rows - before,))
        self._connection.execute("COMMIT")
        if edge is not None:
            self._floor = edge
        return True

    def _edge(self, limit: int | None) -> int | None:
        """Whole blocks below this number can go now; None where nothing can. `limit`: only what is older, None: all but
        the last block."""
        most = self._ask(
            "SELECT number FROM requests WHERE number >= ? ORDER BY number LIMIT 1 OFFSET ?", self._floor, ROWS_A_STEP
        ) or self._ask("SELECT max(id) FROM blocks" if limit is None else "SELECT max(number) + 1 FROM requests")
        if limit is not None:
            most = min(most, limit)
        # The block that this is in the middle of, if it is.
        edge = self._ask("SELECT block FROM requests WHERE number >= ? ORDER BY number LIMIT 1", most)
        edge = edge if 0 < edge < most else most
        first = self._ask("SELECT min(id) FROM blocks WHERE id > 0")
        if first and edge > first:
            return edge
        # One block alone may have more rows than belong to a step: then it is one.
        second = self._ask("SELECT min(id) FROM blocks WHERE id > ?", first)
        return second if first and second and (limit is None or second <= limit) else None

    def _delete_below(self, edge: int) -> None:
        deleted = self._connection.execute(
            "DELETE FROM requests WHERE number >= ? AND number < ? AND (flags & 1) = 0", (self._floor, edge)
        )
        self._rows -= deleted.rowcount
        self._connection.execute("DELETE FROM blocks WHERE id > 0 AND id < ?", (edge,))
        self._delete_dead("SELECT number FROM requests WHERE (flags & 128) = 128 AND number < ?", edge)

    def _delete_dead(self, numbers: str, *values: int) -> None:
        found = self._connection.execute(numbers, values).fetchall()
        if not found:
            return
        self._connection.executemany("DELETE FROM requests WHERE number = ?", found)
        self._connection.executemany("DELETE FROM blocks WHERE id = -?", found)
        self._rows -= len(found)
        self._dead_bytes = self._ask(_DEAD_BYTES)

    def _shrink(self, used: int, free: int, max_size: int) -> bool:
        """Give back pages that are not needed again soon."""
        spare = max_size // PAGE - used
        if free <= max(spare, 0) and free <= max(used, 2 * PAGES_A_STEP):
            return False
        # As a script: the module takes but one step of a statement that has no columns, which frees one page.
        self._connection.executescript(f"PRAGMA incremental_vacuum({PAGES_A_STEP})")
        return self._pages()[1] < free

    def _pages(self) -> tuple[int, int]:
        """Used and free ones."""
        free = self._ask("PRAGMA freelist_count")
        return self._ask("PRAGMA page_count") - free, free

    # --- what is in it ------------------------------------------------------------------------------------------------

    def kept(self) -> Kept:
        """Raises JournalError."""
        with trouble(self.path):
            size = os.stat(self.path).st_size + self._log_size()
            oldest = self._connection.execute(
                "SELECT time FROM requests WHERE number >= ? ORDER BY number LIMIT 1", (self._floor,)
            ).fetchone()
        return Kept(self._ask(ROWS), size, oldest[0] if oldest else 0.0)

    def _log_size(self) -> int:
        with suppress(FileNotFoundError):
            return os.stat(f"{self.path}-wal").st_size
        return 0

    def _ask(self, question: str, *values: int) -> int:
        """The one number that is the answer, 0 for none."""
        found = self._connection.execute(question, values).fetchone()
        return 0 if found is None else found[0] or 0

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # what went wrong is being told; without a commit nothing has changed
                self._connection.execute("ROLLBACK")


def set_aside(path: str, stamp: str, keep: int = 3) -> str:
    """Rename a damaged journal, with its log, to `<path>.damaged-<stamp>`, and remove all but the last `keep` such;
    the new name. Raises OSError."""
    aside = f"{path}.damaged-{stamp}"
    for end in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(path + end, aside + end)
    os.replace(path, aside)
    folder = Path(path).parent
    found = sorted(
        each for each in folder.glob(f"{Path(path).name}.damaged-*") if not each.name.endswith(("-wal", "-shm"))
    )
    for old in found[:-keep]:
        for end in ("", "-wal", "-shm"):
            Path(f"{old}{end}").unlink(missing_ok=True)
    return aside


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Settings, and the schema as it is now."""
    found = _version(connection)
    if found > VERSION:
        raise newer(found, path)
    if found == 0:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    # What was secret has never been written, so it need not be overwritten; some builds do so unasked.
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -4096")
    migrate(connection)


def migrate(connection: sqlite3.Connection, scripts: Sequence[str] = PREVIOUS) -> None:
    """Bring the schema up to the version that there are scripts for, each step whole or not at all."""
    for version in range(_version(connection), len(scripts)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == version:  # nobody else has done it meanwhile
                for statement in scripts[version].split(";"):
                    connection.execute(statement)
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (str(version + 1),))
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _close(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        connection.close()
