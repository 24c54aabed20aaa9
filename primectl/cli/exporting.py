"""§ `primectl requests export`: recorded requests into a file, or to stdout, one at a time however many there are."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer
from msgspec import Struct, structs

from primectl import __version__
from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.replaytarget import aim
from primectl.cli.since import since
from primectl.cli.terminal import say, say_json, tell
from primectl.clock import SystemClock
from primectl.config.problems import choice, nearest
from primectl.config.topology import Place
from primectl.errors import ChannelLost, ConfigError
from primectl.journal import har
from primectl.journal.archive import Archive
from primectl.journal.curl import to_curl
from primectl.journal.plan import unusable
from primectl.journal.sets import to_line
from primectl.wire.journal import Entry

JSONL, HAR, CURL = "jsonl", "har", "curl"
FORMATS = (JSONL, HAR, CURL)
BY_EXTENSION: Mapping[str, str] = {".jsonl": JSONL, ".ndjson": JSONL, ".har": HAR, ".sh": CURL}
STDOUT = "-"


class Chosen(Struct, frozen=True, kw_only=True):
    """Which requests, as it was typed; all where nothing was. Replays are left out unless `where` speaks of them."""

    ids: tuple[str, ...] = ()
    where: str = ""
    last: str = ""
    since: str = ""
    until: str = ""
    dead: bool = False


class Exported(Struct, frozen=True):
    """`redacted` and `cut` count requests that have something redacted, and such whose body is not whole."""

    file: str
    format: str
    requests: int = 0
    redacted: int = 0
    cut: int = 0
    unusable: int = 0
    """Comments among curl lines."""


def export(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID…]", help="X-Request-Ids, or their ends; else all, or those below."),
    ] = None,
    where: options.Where = None,
    last: Annotated[str | None, typer.Option("-n", "--last", metavar="N", help="The newest N of them.")] = None,
    after: options.Since = None,
    until: options.Until = None,
    dead: options.Dead = False,
    named_format: Annotated[
        str | None,
        typer.Option("--format", metavar="jsonl|har|curl", help="Else that of the file's extension, or jsonl."),
    ] = None,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Instead of stdout.")] = STDOUT,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="Where curl lines send to, instead of this cluster.")
    ] = None,
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Write recorded requests as a saved set (JSONL), as a HAR archive or as curl lines, the oldest first.

    Replays are left out unless the filter speaks of them. Redacted values stay redacted.
    """
    export_requests(
        chosen_place(ctx, file, cluster),
        Chosen(
            ids=tuple(ids or ()),
            where=where or "",
            last=last or "",
            since=after or "",
            until=until or "",
            dead=dead,
        ),
        named_format=named_format,
        output=output,
        force=force,
        to=to,
        as_json=as_json,
    )


def export_requests(
    place: Place,
    chosen: Chosen,
    *,
    named_format: str | None = None,
    output: str = STDOUT,
    force: bool = False,
    to: str | None = None,
    as_json: bool = False,
) -> None:
    """Write the requests; what is worth knowing of them goes to stderr, or as JSON to stdout.

    `output` appears whole or not at all. Raises ConfigError, NotFound for an id, JournalError.
    """
    wanted = format_of(named_format, output)
    if output == STDOUT and as_json:
        raise ConfigError("it goes to stdout, where the requests go", "--json", "Name a file for them with -o FILE")
    if to is not None and wanted != CURL:
        raise ConfigError("only curl lines say where to send", "--to", "Leave it out, or add --format curl")
    write = _WRITERS[wanted]
    base = _base(place, to) if wanted == CURL else ""
    with Archive(place.journal_file) as archive:
        if not archive.exists:
            tell(f"no request of cluster {place.cluster} is recorded")
        entries = _entries(archive, chosen)
        if output == STDOUT:
            exported = write(Exported(STDOUT, wanted), entries, sys.stdout.buffer, base)
            sys.stdout.buffer.flush()
        else:
            with _new_file(output, force=force) as file:
                exported = write(Exported(output, wanted), entries, file, base)
    if as_json:
        say_json(exported)
        return
    (tell if output == STDOUT else say)(exported_text(exported))


def format_of(given: str | None, path: str) -> str:
    """The format that was asked for, else that of the file's extension, else JSONL. Raises ConfigError."""
    if given is None:
        return BY_EXTENSION.get(os.path.splitext(path)[1].lower(), JSONL)
    if given not in FORMATS:
        raise ConfigError(f'expected {choice(FORMATS)}, got "{given}"', "--format", nearest(given, FORMATS))
    return given


def exported_text(exported: Exported) -> str:
    """What came of it, in words."""
    facts = [f"{_count(exported.requests)} exported"]
    if exported.file != STDOUT:
        facts[0] += f" to {exported.file}"
    if exported.redacted:
        facts.append(f"{exported.redacted} with values that were redacted when they were recorded")
    if exported.cut:
        facts.append(f"{exported.cut} with a body that is cut, so they cannot be sent again")
    if exported.unusable > exported.cut:
        facts.append(f"{exported.unusable - exported.cut} cannot be sent again for other reasons")
    return "; ".join(facts)


def _count(number: int) -> str:
    return f"{number} request{'' if number == 1 else 's'}"


# --- what is chosen ---------------------------------------------------------------------------------------------------


def _entries(archive: Archive, chosen: Chosen) -> Iterator[Entry]:
    filtered = bool(chosen.where or chosen.last or chosen.since or chosen.until or chosen.dead)
    if chosen.ids:
        if filtered:
            raise ConfigError("ids and a filter choose together", "requests export", "Choose in one way at a time")
        return archive.entries_of(chosen.ids)
    now = SystemClock().wall()
    return archive.entries(
        where=chosen.where,
        last=options.whole_number(chosen.last, "--last", 1) if chosen.last else 0,
        since=since(chosen.since, now) if chosen.since else 0.0,
        until=since(chosen.until, now, "--until") if chosen.until else 0.0,
        dead=chosen.dead,
    )


def _base(place: Place, to: str | None) -> str:
    """Where curl lines send to."""
    try:
        return aim(place, to, ()).target.url
    except ChannelLost as error:
        what = f"curl lines say where to send, and {error.what}"
        raise ConfigError(what, "--format curl", "Add --to URL, or start it") from None


# --- writing ----------------------------------------------------------------------------------------------------------


def _counted(exported: Exported, entry: Entry) -> Exported:
    return structs.replace(
        exported,
        requests=exported.requests + 1,
        redacted=exported.redacted + bool(entry.redacted),
        cut=exported.cut + entry.row.cut,
    )


def _write_set(exported: Exported, entries: Iterable[Entry], file: BinaryIO, base: str) -> Exported:
    for entry in entries:
        file.write(to_line(entry))
        exported = _counted(exported, entry)
    return exported


def _write_har(exported: Exported, entries: Iterable[Entry], file: BinaryIO, base: str) -> Exported:
    file.write(har.begin(__version__))
    for entry in entries:
        file.write((b",\n" if exported.requests else b"") + msgspec.json.encode(har.to_har(entry)))
        exported = _counted(exported, entry)
    file.write(har.END)
    return exported


def _write_curl(exported: Exported, entries: Iterable[Entry], file: BinaryIO, base: str) -> Exported:
    for entry in entries:
        file.write(f"{to_curl(entry, base)}\n".encode())
        exported = _counted(exported, entry)
        if unusable(entry):
            exported = structs.replace(exported, unusable=exported.unusable + 1)
    return exported


_WRITERS: Mapping[str, Callable[[Exported, Iterable[Entry], BinaryIO, str], Exported]] = {
    JSONL: _write_set,
    HAR: _write_har,
    CURL: _write_curl,
}


@contextmanager
def _new_file(path: str, *, force: bool) -> Iterator[BinaryIO]:
    """A file that is there, whole, when all has been written; not one byte of it before. Only its owner may read it.

    Raises ConfigError where one is there already, unless it may be replaced.
    """
    target = Path(path)
    taken = ConfigError("is there already", path, "Name another file, or replace it with --force")
    if target.exists() and not force:
        raise taken
    try:
        descriptor, half = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise ConfigError(
            error.strerror or str(error), str(target.parent), "Name a folder to write to with -o"
        ) from None
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not force:
            try:
                target.touch(exist_ok=False)  # whoever takes the name at the same moment has it
            except FileExistsError:
                raise taken from None
        os.replace(half, target)
    except BaseException:
        os.unlink(half)
        raise
