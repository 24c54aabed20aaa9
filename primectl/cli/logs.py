"""`primectl logs`: the logs of all processes as one."""

from __future__ import annotations

import sys
import threading
from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.loglines import Prefixer
from primectl.cli.tail import Follower, last_lines, targets
from primectl.cli.terminal import has_colour, say, say_json

FOLLOW_EVERY_S = 0.1


def logs(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="[TARGET]", help="all, a pool, or a process id.")] = "all",
    follow: options.Follow = False,
    last: options.Last = "100",
    file: options.FileBesideFollow = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Print the last log lines of the processes, merged in order of time; works while the cluster is down, too."""
    number = options.whole_number(last, "--last")
    place = chosen_place(ctx, file, cluster)
    processes = targets(place, target)
    # Where the follower begins, the tail ends: nothing that is written in between is missed or comes twice.
    follower = Follower(place, target) if follow else None
    lines = last_lines(place, processes, number, follower.marks() if follower else {})
    if as_json and follower is None:
        say_json({"cluster": place.cluster, "lines": [{"process": line.process, "text": line.text} for line in lines]})
        return
    prefixed = Prefixer(processes, colour=has_colour(sys.stdout), raw=not sys.stdout.isatty())
    pause = threading.Event()
    while True:
        for line in lines:
            if as_json:
                say_json({"process": line.process, "text": line.text}, one_line=True)
            else:
                say(prefixed(line))
        if follower is None:
            return
        sys.stdout.flush()
        lines = follower.read()
        if not lines:
            pause.wait(FOLLOW_EVERY_S)
