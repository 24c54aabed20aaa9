"""`primectl down`: the clean stop."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.leftovers import clean_up, read_config
from primectl.cli.render import name_list, rounded, stopped_text
from primectl.cli.terminal import ProgressLine, say, say_json
from primectl.control.client import ControlClient
from primectl.control.running import supervisor_pid
from primectl.errors import TimedOut
from primectl.wire.control import Stop, Stopped

KILLING_S = 15.0
"""After its time a stop escalates to SIGTERM, then SIGKILL: so long a console waits beyond it."""


def down(
    ctx: typer.Context,
    file: options.File = None,
    cluster: options.ClusterName = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Stop the cluster cleanly: finish what was accepted, then leave; says what was finished, cancelled and killed.

    What is left after --timeout (supervisor.stop_timeout of the config, 30s) is killed; 0s kills at once.
    """
    asked_s = options.seconds(timeout) if timeout else None
    place = chosen_place(ctx, file, cluster)
    pid = supervisor_pid(place)
    if pid is None:
        ended = clean_up(place)
        if as_json:
            say_json(rounded(Stopped(place.cluster, 0, 0, len(ended), [], 0.0)))
        else:
            what = f"ended what it left: {name_list(ended, most=len(ended))}" if ended else "it left no process"
            say(f"the supervisor of cluster {place.cluster} was gone; {what}")
        return
    limit_s = read_config(place).supervisor.stop_timeout if asked_s is None else asked_s
    with ProgressLine() as progress, seen_off(pid), ControlClient(place) as client:
        wait_s = limit_s + KILLING_S
        stopped = client.ask("POST", "/stop", Stop(limit_s), Stopped, timeout_s=wait_s, on_progress=progress)
    if as_json:
        say_json(rounded(stopped))
    else:
        say(stopped_text(stopped))


@contextmanager
def seen_off(pid: int) -> Iterator[None]:
    """At the end, wait until the supervisor has left: then its files are gone, too. Raises TimedOut.

    By pidfd, since it may stay a zombie of whoever started it.
    """
    try:
        life = os.pidfd_open(pid)
    except ProcessLookupError:
        yield
        return
    try:
        yield
        poller = select.poll()
        poller.register(life, select.POLLIN)
        if not poller.poll(KILLING_S * 1000):
            raise TimedOut(f"the supervisor (pid {pid}) has stopped the cluster and does not leave")
    finally:
        os.close(life)
