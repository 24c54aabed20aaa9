"""`primectl drain`: a pool or a worker takes no more jobs and finishes what it has."""

from __future__ import annotations

from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.render import drained_text, rounded
from primectl.cli.terminal import ProgressLine, say, say_json
from primectl.control.client import ControlClient
from primectl.wire.control import Drained, DrainOrder


def drain(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A pool, or a worker's id.")],
    file: options.File = None,
    cluster: options.ClusterName = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Let a pool or a worker take no more jobs and finish what it has; returns when it holds nothing.

    A drained worker's jobs go to its neighbours; requests for a drained pool are answered 503. It stays so, over
    restarts of workers and proxies too, until `primectl resume`.
    """
    order = DrainOrder(target, options.seconds(timeout) if timeout else 60.0)
    with ControlClient(chosen_place(ctx, file, cluster)) as client, ProgressLine() as progress:
        drained = client.ask(
            "POST", "/drain", order, Drained, timeout_s=order.timeout_s + options.MARGIN_S, on_progress=progress
        )
    if as_json:
        say_json(rounded(drained))
    else:
        say(drained_text(drained))
