"""`primectl top`: `ps` that keeps itself up to date."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place, require_running
from primectl.cli.render import cut_painted, ps_object, ps_text
from primectl.cli.terminal import has_colour, say, say_json
from primectl.config.topology import Place
from primectl.control.client import SNAPSHOTS, Feed
from primectl.wire.stats import ClusterSnapshot, SnapshotPublished

ENTER_SCREEN = "\x1b[?1049h\x1b[?25l"
LEAVE_SCREEN = "\x1b[?25h\x1b[?1049l"
HOME, END_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
SILENT_S = 5.0


def top(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Show it once and leave.")] = False,
    times: Annotated[str | None, typer.Option("-n", "--times", metavar="N", help="Leave after N updates.")] = None,
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Show pools and processes live, as a plain table; Ctrl-C ends it. With --json one object an update."""
    updates = 1 if once else options.whole_number(times, "-n", least=1) if times else sys.maxsize
    place = chosen_place(ctx, file, cluster)
    require_running(place)
    colour = has_colour(sys.stdout)
    on_screen = sys.stdout.isatty() and not as_json and not once
    with Feed(place, [SNAPSHOTS]) as feed:
        if on_screen:
            sys.stdout.write(ENTER_SCREEN)
        try:
            for number in range(updates):
                snapshot = next_snapshot(feed, place)
                if as_json:
                    say_json(ps_object(snapshot), one_line=not once)
                elif on_screen:
                    size = os.get_terminal_size(sys.stdout.fileno())
                    sys.stdout.write(screen(snapshot, size.columns, size.lines, colour=colour))
                    sys.stdout.flush()
                else:
                    say(("\n" if number else "") + ps_text(snapshot, colour=colour))
                    sys.stdout.flush()
        finally:
            if on_screen:
                sys.stdout.write(LEAVE_SCREEN)
                sys.stdout.flush()


def next_snapshot(feed: Feed, place: Place) -> ClusterSnapshot:
    """The newest snapshot that the feed has, once it has one. Raises ChannelLost when none comes any more."""
    while True:
        if not feed.wait(SILENT_S):
            require_running(place)
        newest = [message.snapshot for message in feed.receive() if isinstance(message, SnapshotPublished)]
        if newest:
            return newest[-1]


def screen(snapshot: ClusterSnapshot, columns: int, lines: int, *, colour: bool) -> str:
    """What rewrites the whole screen in place, cut to its size, without a flicker of emptiness."""
    shown = [cut_painted(line, columns) for line in ps_text(snapshot, colour=colour).split("\n")[:lines]]
    return HOME + f"{END_OF_LINE}\r\n".join(shown) + END_OF_LINE + REST_OF_SCREEN
