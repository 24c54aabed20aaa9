"""`primectl dump`: where the threads of processes are."""

from __future__ import annotations

from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.render import dumps_text, rounded
from primectl.cli.terminal import ProgressLine, say, say_json
from primectl.control.client import ControlClient
from primectl.wire.control import DumpOrder, Dumps


def dump(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="all (every worker), a pool, a process id, zygote.POOL, or supervisor.",
        ),
    ],
    file: options.File = None,
    cluster: options.ClusterName = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> int:
    """Show the Python stack of each thread of processes, the newest frame last, and what they are at.

    A process that cannot answer, since code in C holds the interpreter's lock, is made to write them by a signal.
    """
    order = DumpOrder(target, options.seconds(timeout)) if timeout else DumpOrder(target)
    with ControlClient(chosen_place(ctx, file, cluster)) as client, ProgressLine() as progress:
        dumps = client.ask(
            "POST", "/dump", order, Dumps, timeout_s=order.timeout_s + options.MARGIN_S, on_progress=progress
        )
    if as_json:
        say_json(rounded(dumps))
    else:
        say(dumps_text(dumps))
    return 0 if all(dump.how != "none" for dump in dumps.dumps) else 1
