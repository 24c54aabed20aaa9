"""`primectl restart`: processes finish what they have, leave, and are started again."""

from __future__ import annotations

from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.render import restarted_text, rounded
from primectl.cli.terminal import ProgressLine, say, say_json
from primectl.control.client import ControlClient
from primectl.wire.control import Restart, Restarted


def restart(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="all (every worker), a pool, or a process id.")],
    file: options.File = None,
    cluster: options.ClusterName = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Let processes finish what they have, and start them again; returns when the new ones are ready."""
    order = Restart(target, options.seconds(timeout) if timeout else 60.0)
    with ControlClient(chosen_place(ctx, file, cluster)) as client, ProgressLine() as progress:
        restarted = client.ask(
            "POST", "/restart", order, Restarted, timeout_s=order.timeout_s + options.MARGIN_S, on_progress=progress
        )
    if as_json:
        say_json(rounded(restarted))
    else:
        say(restarted_text(restarted))
