"""§ Which requests `replay` sends: named, found in the journal, or read from files; and which of them may be sent."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from primectl.cli import options
from primectl.cli.replaytext import methods_text
from primectl.cli.since import since
from primectl.cli.terminal import can_ask, confirm, tell
from primectl.clock import SystemClock
from primectl.config.topology import Place
from primectl.errors import ConfigError, PrimectlError
from primectl.journal.archive import Archive
from primectl.journal.har import read_har
from primectl.journal.plan import is_unsafe, unusable
from primectl.journal.sets import read_set
from primectl.journal.steps import Outgoing
from primectl.wire.journal import Entry
from tui.present.clean import clean

HOW = "Name ids, files (.jsonl, .har), --last N, --where FILTER, --since TIME or --dead; `primectl requests` lists them"
MOST_BYTES = 1 << 30
"""Of requests and answers at once: a plan is in memory."""
_ENTRY_BYTES = 2_000
"""What an entry takes beside its bodies, about."""
_FILES = (".jsonl", ".har")


class Choice(Struct, frozen=True, kw_only=True):
    """As it was typed."""

    ids: list[str] = []
    files: list[str] = []
    where: str = ""
    last: str = ""
    since: str = ""
    until: str = ""
    dead: bool = False
    replays: bool = False

    @property
    def by_filter(self) -> bool:
        return bool(self.where or self.last or self.since or self.until or self.dead)


def choice(words: Sequence[str], files: Sequence[str], by: Choice) -> Choice:
    """`words` are ids and paths as they stand on the command line. Raises ConfigError when nothing, or two kinds of
    things are chosen."""
    paths = [*files, *(word for word in words if word.endswith(_FILES))]
    ids = [word for word in words if not word.endswith(_FILES)]
    kinds = [name for name, there in (("ids", ids), ("files", paths), ("a filter", by.by_filter)) if there]
    if not kinds:
        raise ConfigError("no request is chosen", "replay", HOW)
    if len(kinds) > 1:
        raise ConfigError(f"{' and '.join(kinds)} choose together", "replay", "Choose in one way at a time")
    if by.replays and not by.by_filter:
        raise ConfigError("it goes with a filter: ids and files mean what they name", "--replays")
    return Choice(
        ids=ids,
        files=paths,
        where=by.where,
        last=by.last,
        since=by.since,
        until=by.until,
        dead=by.dead,
        replays=by.replays,
    )


def found(choice: Choice, place: Place) -> list[Entry]:
    """The requests, in the order of time, or of their files. Raises ConfigError, NotFound, JournalError."""
    if choice.files:
        return bounded(entry for path in choice.files for entry in from_file(path))
    with Archive(place.journal_file) as archive:
        if not archive.exists:
            raise PrimectlError(f"no request of cluster {place.cluster} is recorded", place.journal_file)
        if choice.ids:
            return bounded(archive.entries_of(choice.ids))
        now = SystemClock().wall()
        return bounded(
            archive.entries(
                where=choice.where,
                last=options.whole_number(choice.last, "--last", 1) if choice.last else 0,
                since=since(choice.since, now) if choice.since else 0.0,
                until=since(choice.until, now, "--until") if choice.until else 0.0,
                dead=choice.dead,
                originals=not choice.replays,
            )
        )


def from_file(path: str) -> Iterator[Entry]:
    """The entries of a set or a HAR file; their ids are those of the file, or made of it. Raises ConfigError."""
    try:
        if path.endswith(".har"):
            yield from read_har(Path(path).read_bytes(), path)
        else:
            with open(path, "rb") as lines:
                yield from read_set(lines, path)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), path) from None


def bounded(entries: Iterable[Entry]) -> list[Entry]:
    """All of them. Raises ConfigError when they are more than fit into memory."""
    taken: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.body) + len(entry.answer_body) + _ENTRY_BYTES
        if size > MOST_BYTES:
            what = f"more is chosen than can be held: the first {len(taken)} requests take {MOST_BYTES >> 20} MiB"
            raise ConfigError(what, "replay", "Choose fewer, as by --last N or --since TIME")
        taken.append(entry)
    return taken


def allowed(entries: Sequence[Entry], edits: dict[str, Outgoing | None]) -> list[str]:
    """The ids of those that may change something and shall be sent all the same, as the operator says, asked once.

    Without a terminal there are none, and that is told.
    """
    unsafe: list[Entry] = []
    methods: list[str] = []
    for entry in entries:
        edited = edits.get(entry.row.id)
        method = edited.method if edited is not None else entry.row.method
        if is_unsafe(method) and (edited is not None or not unusable(entry)):
            unsafe.append(entry)
            methods.append(method)
    if not unsafe:
        return []
    what = methods_text(len(unsafe), len(entries), methods)
    if not can_ask():
        tell(f"{what}: skipped, nobody can be asked here. --unsafe send sends them")
        return []
    sys.stderr.write(
        f"{clean(what)}: send {'it' if len(unsafe) == 1 else 'them'}? [y/N{'' if len(unsafe) == 1 else '/each'}] "
    )
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().lower()
    if answer in ("y", "yes"):
        return [entry.row.id for entry in unsafe]
    if answer in ("e", "each") and len(unsafe) > 1:
        asked = zip(unsafe, methods, strict=True)
        return [entry.row.id for entry, method in asked if confirm(f"send {method} {entry.target} ({entry.row.id})?")]
    return []
