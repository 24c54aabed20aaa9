"""`primectl reopen`: logs are opened by their names, after somebody has renamed the files; or rotated."""

from __future__ import annotations

from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.render import reopened_text, rounded
from primectl.cli.terminal import ProgressLine, say, say_json
from primectl.control.client import ControlClient
from primectl.wire.control import Reopened, ReopenOrder


def reopen(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="[TARGET]", help="all, a pool with its proxy, a process id, or supervisor.")
    ] = "all",
    rotate: Annotated[bool, typer.Option("--rotate", help="Rotate each log, as if it were full.")] = False,
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Have each process open its log by name, for logrotate and the like; or rotate it. No line is lost."""
    order = ReopenOrder(target, rotate)
    with ControlClient(chosen_place(ctx, file, cluster)) as client, ProgressLine() as progress:
        reopened = client.ask(
            "POST", "/reopen", order, Reopened, timeout_s=order.timeout_s + options.MARGIN_S, on_progress=progress
        )
    if as_json:
        say_json(rounded(reopened))
    else:
        say(reopened_text(reopened, rotated=rotate))
