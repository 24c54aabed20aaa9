"""§ `primectl requests import`: requests of a saved set or a HAR file into the journal.

The whole file is read before anything is written: one that is broken changes nothing. Then it goes into the journal in
small transactions, so that the recorder need not wait. What the cluster redacts is redacted here, too.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct, structs

from primectl.cli import options
from primectl.cli.choose import Selection, chosen_place, selection
from primectl.cli.exporting import BY_EXTENSION, HAR, JSONL
from primectl.cli.terminal import say, say_json
from primectl.clock import SystemClock
from primectl.config.model import JournalConfig
from primectl.config.problems import choice, nearest
from primectl.config.topology import ClusterFile, Place
from primectl.control.running import supervisor_pid
from primectl.errors import ConfigError, JournalError
from primectl.journal.entry import IMPORTED, Page, packed, pages, record_of
from primectl.journal.har import read_har
from primectl.journal.key import read_key
from primectl.journal.redact import Redactor
from primectl.journal.sets import NOT_SAID, read_set
from primectl.journal.store import Journal
from primectl.wire.journal import Entry

FORMATS = (JSONL, HAR)
STDIN = "-"
LONGEST_LINE = 64 << 20
LARGEST_HAR = 256 << 20
"""Bytes; a HAR file is read as a whole."""
ROWS_AT_ONCE = 500
BYTES_AT_ONCE = 4 << 20
"""In one transaction."""
ID_BITS = 52
NO_ANSWER = "imported without an answer"


class Imported(Struct, frozen=True):
    """`redacted` counts requests that have something redacted."""

    file: str
    cluster: str
    requests: int
    redacted: int


def take_in(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="FILE", help="A saved set or a HAR archive; - for stdin.")],
    named_format: Annotated[
        str | None, typer.Option("--format", metavar="jsonl|har", help="Else that of the file's extension.")
    ] = None,
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Take requests of a file into the journal, to see them and to send them again.

    The whole file is read first: a broken one changes nothing. What the cluster redacts is redacted.
    """
    place = chosen_place(ctx, file, cluster)
    config = journal_config(selection(ctx, file, cluster), place)
    import_requests(place, config, path, named_format=named_format, as_json=as_json)


def import_requests(
    place: Place,
    config: JournalConfig,
    path: str,
    *,
    named_format: str | None = None,
    as_json: bool = False,
) -> None:
    """Take them in and say how many. Raises ConfigError for a file that is broken, JournalError."""
    wanted = format_of(named_format, path)
    with _readable_twice(path) as file_name:
        shown = "stdin" if path == STDIN else path
        read = _har if wanted == HAR else _set
        try:
            for _ in read(file_name, shown):
                pass  # it raises where something is wrong
        except OSError as error:
            raise ConfigError(error.strerror or str(error), shown) from None
        imported = _written(place, config, read(file_name, shown), shown)
    if as_json:
        say_json(imported)
    else:
        say(imported_text(imported))


def format_of(given: str | None, path: str) -> str:
    """The format that was said, else that of the file's extension. Raises ConfigError."""
    if given is not None and given not in FORMATS:
        raise ConfigError(f'expected {choice(FORMATS)}, got "{given}"', "--format", nearest(given, FORMATS))
    found = given or (JSONL if path == STDIN else BY_EXTENSION.get(os.path.splitext(path)[1].lower(), ""))
    if found not in FORMATS:
        raise ConfigError("its name does not tell its format", path, f"Add --format {' or --format '.join(FORMATS)}")
    return found


def journal_config(asked: Selection, place: Place) -> JournalConfig:
    """What the cluster redacts: as it runs, else as its file says, else what is redacted where nothing is said.

    Raises ConfigError for a file that is broken: nobody knows then what it would redact.
    """
    from primectl.config.load import default_config

    if supervisor_pid(place) is not None:
        return msgspec.json.decode(Path(place.cluster_file).read_bytes(), type=ClusterFile).config.journal
    config = default_config(asked.file, Path.cwd()).config
    return config.journal if config.cluster.name == place.cluster else JournalConfig()


def imported_text(imported: Imported) -> str:
    text = f"{imported.requests} request{'' if imported.requests == 1 else 's'} imported from {imported.file}"
    if imported.redacted:
        text += f"; {imported.redacted} with values that are redacted"
    return f"{text}. `primectl requests --where imported` lists them"


# --- reading ----------------------------------------------------------------------------------------------------------


@contextmanager
def _readable_twice(path: str) -> Iterator[str]:
    """The name of the file; stdin is kept in a temporary one meanwhile."""
    if path != STDIN:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="primectl-") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield kept.name


def _set(path: str, shown: str) -> Iterator[Entry]:
    with open(path, "rb") as file:
        lines: Callable[[], bytes] = lambda: file.readline(LONGEST_LINE + 1)  # noqa: E731
        yield from read_set(_bounded(iter(lines, b""), shown), shown, _new_id)


def _bounded(lines: Iterable[bytes], shown: str) -> Iterator[bytes]:
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            raise ConfigError(f"the line is longer than {LONGEST_LINE >> 20} MiB", f"{shown}:{number}")
        yield line


def _har(path: str, shown: str) -> Iterator[Entry]:
    if os.path.getsize(path) > LARGEST_HAR:
        mend = "Part it, or make a set of it: that may have any size"
        raise ConfigError(f"a HAR file may have {LARGEST_HAR >> 20} MiB", shown, mend)
    yield from read_har(Path(path).read_bytes(), shown, _new_id)


def _new_id(_: int) -> str:
    return f"{secrets.randbits(ID_BITS):013x}"


# --- writing ----------------------------------------------------------------------------------------------------------


def _written(place: Place, config: JournalConfig, entries: Iterable[Entry], shown: str) -> Imported:
    redactor = Redactor(config, read_key(place.journal_key_file))
    journal = Journal.open_writer(place.journal_file)
    now = SystemClock().wall()
    done = redacted = 0
    try:
        for batch in _batches(entries):
            taken = list(_taken_in(batch, redactor, now))
            try:
                journal.append([page for some, _ in taken for page in some], now)
            except JournalError as error:
                what = f"{error.what}; {done} requests were imported before"
                raise type(error)(what, error.where, error.mend) from error
            done += len(batch)
            redacted += sum(count for _, count in taken)
    finally:
        journal.close()
    return Imported(shown, place.cluster, done, redacted)


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry.body) + len(entry.answer_body)
        if len(batch) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _taken_in(batch: Iterable[Entry], redactor: Redactor, now: float) -> Iterator[tuple[list[Page], int]]:
    """Neighbours that one server answered as pages, and how many of them have something redacted."""
    for server, group in groupby(batch, lambda entry: entry.row.server):
        entries = list(group)
        found = redactor.records(packed([record_of(_completed(entry, now)) for entry in entries]))
        names = {
            place: list(dict.fromkeys([*entry.redacted, *found.names.get(place, ())]))
            for place, entry in enumerate(entries)
            if entry.redacted or place in found.names
        }
        yield pages(server, 0.0, found.records, names, IMPORTED), len(names)


def _completed(entry: Entry, now: float) -> Entry:
    """One whose set does not say when it was is of now; one that does not say how it ended had no answer."""
    row = entry.row
    if row.status == NOT_SAID:
        row = structs.replace(row, status=0, problem=NO_ANSWER)
    if not row.time:
        row = structs.replace(row, time=now)
    return structs.replace(entry, row=row)
