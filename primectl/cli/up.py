"""`primectl up`: starts a cluster, in the foreground with its log or behind the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import selection
from primectl.cli.foreground import heed_sigterm, run_here
from primectl.cli.start import configured, start_detached, started_text
from primectl.cli.terminal import ProgressLine, say, say_json, tell
from primectl.control.running import supervisor_pid
from primectl.errors import CommandRefused, ConfigError


def up(
    ctx: typer.Context,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return when it is ready; it goes on behind.")] = False,
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
    watch: Annotated[
        bool, typer.Option("--reload", help="For development: reload the pools whenever a Python file changes.")
    ] = False,
) -> int:
    """Start the cluster. In the foreground its log is shown; Ctrl-C once stops it cleanly, twice kills.

    With -d it returns when every process is ready, or says which is not and why. Where a supervisor has died, the
    cluster that it has left goes on: what runs is taken over as it is, what has ended is started.
    """
    if as_json and not detach:
        raise ConfigError("in the foreground there is only the log", "up --json", "Add -d")
    if not detach:
        heed_sigterm()
    loaded, place = configured(selection(ctx, file, cluster))
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    pid = supervisor_pid(place)
    if pid is not None and watch:
        what = f"cluster {place.cluster} is running already (pid {pid}) and watches no more than it did"
        raise CommandRefused(what, "up --reload", f"`primectl down -c {place.cluster}` first")
    if not detach:
        if pid is not None:
            raise CommandRefused(
                f"cluster {place.cluster} is running already (pid {pid})", mend="`primectl logs -f` shows its log"
            )
        return run_here(loaded, place, watch=watch)
    with ProgressLine() as progress:
        started = start_detached(loaded, place, progress, watch=watch)
    if as_json:
        say_json(started)
    else:
        say(started_text(started))
        for trouble in started.troubles:
            tell(trouble)
    return 1 if started.failing else 0
