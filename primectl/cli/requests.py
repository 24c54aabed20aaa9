"""`primectl requests`: what was asked of the cluster and what became of it."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable
from typing import Annotated, NoReturn

import msgspec
import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place, selection
from primectl.cli.recording import tell_recording
from primectl.cli.requesttext import columns_for, header, row_text
from primectl.cli.since import since
from primectl.cli.terminal import has_colour, say, say_json, tell
from primectl.clock import SystemClock
from primectl.config.topology import Place
from primectl.errors import ConfigError, JournalError, JournalNewer
from primectl.journal import where as filters
from primectl.journal.archive import Archive
from primectl.journal.follow import Follow
from primectl.journal.sets import row_to_json
from primectl.wire.journal import RequestsQuery, Row

VERBS = {
    "show": "primectl.cli.showing:show",
    "export": "primectl.cli.exporting:export",
    "import": "primectl.cli.importing:take_in",
}
LOOK_EVERY_S = 0.2
WIDTH_OF_A_PIPE = 160
_NEXT = ",\n"


def requests(
    ctx: typer.Context,
    where: options.Where = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes; Ctrl-C ends it.")] = False,
    last: Annotated[
        str | None, typer.Option("-n", "--last", metavar="N", help="How many of the latest, else 50; 0 for all.")
    ] = None,
    after: options.Since = None,
    until: options.Until = None,
    dead: options.Dead = False,
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """List the recorded requests, the newest first; works while the cluster is down, too.

    The first column marks replays (↻), dead letters (✗), and dead letters of which a replay has succeeded (✓).
    With --follow the newest come last, and what comes is added.
    """
    if ctx.invoked_subcommand is not None:
        if follow or dead or as_json or {where, last, after, until} != {None}:
            verb = ctx.invoked_subcommand
            raise ConfigError(
                f'what stands before "{verb}" is for the list', ctx.command_path, f'Put it behind "{verb}"'
            )
        ctx.obj = selection(ctx, file, cluster)
        return
    if follow and until is not None:
        raise ConfigError("nothing comes after a time that is over", "--until", "Leave it or --follow away")
    now = SystemClock().wall()
    query = RequestsQuery(
        where=where or "",
        last=options.whole_number(last or "50", "--last"),
        since=since(after, now) if after is not None else 0.0,
        until=since(until, now, "--until") if until is not None else 0.0,
        dead=dead,
    )
    filters.compile(query.where)
    place = chosen_place(ctx, file, cluster)
    with Archive(place.journal_file, mapped=not follow) as archive:
        if follow:
            _follow(place, archive, query, as_json=as_json)
        if as_json:
            _print_json(place, archive, query)
        else:
            _print_table(place, archive, query)
    tell_recording(place)


def _print_json(place: Place, archive: Archive, query: RequestsQuery) -> None:
    rows = archive.rows(query)
    if sys.stdout.isatty():
        say_json({"requests": [row_to_json(row) for row in rows]})
    else:
        # One after the other: there may be a million of them.
        begin = '{"requests":['
        for row in rows:
            sys.stdout.write(f"{begin}{msgspec.json.encode(row_to_json(row)).decode()}")
            begin = _NEXT
        sys.stdout.write(f"{begin if begin != _NEXT else ''}]}}\n")
    _tell_none(place, archive)


def _print_table(place: Place, archive: Archive, query: RequestsQuery) -> None:
    show = _table()
    empty = True
    for row in archive.rows(query):
        show(row)
        empty = False
    if empty and archive.exists:
        tell("no recorded request fits" if query != RequestsQuery(last=query.last) else "no request is recorded yet")
    _tell_none(place, archive)


def _tell_none(place: Place, archive: Archive) -> None:
    if not archive.exists:
        tell(f"cluster {place.cluster} has recorded nothing yet: there is no {place.journal_file}")


def _table() -> Callable[[Row], None]:
    """Prints rows as they come, the titles before the first; columns do not depend on what is in them."""
    slots = columns_for(shutil.get_terminal_size((WIDTH_OF_A_PIPE, 24)).columns)
    colour = has_colour(sys.stdout)
    titles = [header(slots, colour=colour)]

    def show(row: Row) -> None:
        while titles:
            say(titles.pop())
        say(row_text(row, slots, colour=colour))

    return show


def _follow(place: Place, archive: Archive, query: RequestsQuery, *, as_json: bool) -> NoReturn:
    """Until Ctrl-C."""
    show = _print_object if as_json else _table()
    told = ""
    tell_recording(place)
    _tell_none(place, archive)
    following: Follow | None = None
    pause = threading.Event()
    while True:
        try:
            following = following or Follow(archive, query)
            for row in following.read():
                show(row)
            told = ""
        except JournalNewer:
            raise
        except JournalError as error:
            # A damaged one is set aside by the recorder, which begins another; what is busy will not always be.
            if str(error) != told:
                told = str(error)
                tell(told)
        sys.stdout.flush()
        pause.wait(LOOK_EVERY_S)


def _print_object(row: Row) -> None:
    say_json(row_to_json(row), one_line=True)
