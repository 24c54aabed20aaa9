"""`primectl requests show`: all that is known of one request."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.requesttext import entry_text
from primectl.cli.terminal import has_colour, say, say_json
from primectl.journal.archive import Archive
from primectl.journal.sets import to_json


def show(
    ctx: typer.Context,
    request: Annotated[
        str, typer.Argument(metavar="ID", help="X-Request-Id of the request, or the last digits of it.")
    ],
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Show one request: where its time went, what was asked, what was answered."""
    with Archive(chosen_place(ctx, file, cluster).journal_file) as archive:
        entry = archive.entry(request)
        if as_json:
            say_json(to_json(entry))
            return
        replays = archive.replays_of(entry.row.id)
    width = shutil.get_terminal_size().columns
    say("\n".join(entry_text(entry, replays, width, colour=has_colour(sys.stdout))))
