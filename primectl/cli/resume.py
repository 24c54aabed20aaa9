"""`primectl resume`: the end of a drain."""

from __future__ import annotations

from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.render import resumed_text, rounded
from primectl.cli.terminal import say, say_json
from primectl.control.client import ControlClient
from primectl.wire.control import Resumed, ResumeOrder

WAIT_S = 10.0
"""The supervisor itself waits 5 s for the pool's proxy to confirm."""


def resume(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A pool (and each of its workers), or a worker.")],
    file: options.File = None,
    cluster: options.ClusterName = None,
    as_json: options.AsJson = False,
) -> None:
    """Let a drained pool or worker take jobs again; what is not drained stays as it is."""
    with ControlClient(chosen_place(ctx, file, cluster)) as client:
        resumed = client.ask("POST", "/resume", ResumeOrder(target), Resumed, timeout_s=WAIT_S)
    if as_json:
        say_json(rounded(resumed))
    else:
        say(resumed_text(resumed))
