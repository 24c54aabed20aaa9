"""`primectl ps`: the cluster at this moment."""

from __future__ import annotations

import sys

import typer

from primectl.cli import options, render
from primectl.cli.choose import chosen_place
from primectl.cli.terminal import has_colour, say, say_json
from primectl.control.client import ControlClient
from primectl.wire.stats import ClusterSnapshot


def ps(
    ctx: typer.Context,
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """List the pools and processes, and how they do."""
    with ControlClient(chosen_place(ctx, file, cluster)) as client:
        snapshot = client.ask("GET", "/cluster", None, ClusterSnapshot)
    if as_json:
        say_json(render.ps_object(snapshot))
    else:
        say(render.ps_text(snapshot, colour=has_colour(sys.stdout)))
