"""`primectl logs`: the logs of all processes as one."""

from __future__ import annotations

import re
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.loglines import Prefixer, merged
from primectl.cli.sieve import Sieve
from primectl.cli.since import since, stamp
from primectl.cli.tail import Follower, last_lines, targets, whole_log
from primectl.cli.terminal import has_colour, say, say_json
from primectl.clock import SystemClock
from primectl.errors import ConfigError
from primectl.wire.stats import LogLine

FOLLOW_EVERY_S = 0.1


def logs(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="[TARGET]", help="all, a pool, or a process id.")] = "all",
    follow: options.Follow = False,
    last: Annotated[
        str | None,
        typer.Option("-n", "--last", metavar="N", help="How many of the latest; else 100, with --since or --grep all."),
    ] = None,
    after: options.Since = None,
    grep: Annotated[
        str | None,
        typer.Option("--grep", metavar="REGEX", help="Entries that have this text; what belongs to them goes along."),
    ] = None,
    file: options.FileBesideFollow = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Print log lines of the processes, merged in order of time; works while the cluster is down, too."""
    number = options.whole_number(last or "100", "--last")
    began = since(after, SystemClock().wall()) if after is not None else 0.0
    pattern = _pattern(grep)
    place = chosen_place(ctx, file, cluster)
    processes = targets(place, target)
    # Where the follower begins, the tail ends: nothing that is written in between is missed or comes twice.
    follower = Follower(place, target) if follow else None
    marks = follower.marks() if follower else {}
    prefixed = Prefixer(processes, colour=has_colour(sys.stdout), raw=not sys.stdout.isatty())

    def show(line: LogLine) -> None:
        if as_json:
            say_json({"process": line.process, "text": line.text}, one_line=True)
        else:
            say(prefixed(line))

    sieves: defaultdict[str, Sieve] = defaultdict(lambda: Sieve(stamp(began) if began else "", pattern))

    def sifted(process: str) -> Iterator[str]:
        for text in whole_log(place.log_file(process), began, marks.get(process)):
            yield from sieves[process](text)

    lines: Iterable[LogLine]
    if after is None and pattern is None:
        lines = last_lines(place, processes, number, marks)
    else:
        lines = merged({process: sifted(process) for process in processes})
        lines = deque(lines, number) if last is not None else lines
    if as_json and follower is None:
        told = [{"process": line.process, "text": line.text} for line in lines]
        say_json({"cluster": place.cluster, "lines": told})
        return
    for line in lines:
        show(line)
    pause = threading.Event()
    while follower is not None:
        sys.stdout.flush()
        new = follower.read()
        for line in new:
            for text in sieves[line.process](line.text):
                show(LogLine(line.process, text))
        if not new:
            pause.wait(FOLLOW_EVERY_S)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    """Raises ConfigError for what is no regular expression."""
    try:
        return re.compile(text) if text is not None else None
    except re.error as error:
        mend = "Put a \\ before a character that is meant as it is"
        raise ConfigError(f'expected a regular expression, got "{text}": {error}', "--grep", mend) from None
