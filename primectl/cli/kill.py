"""`primectl kill`: KILL by broadcast, to workers that are replaced at once."""

from __future__ import annotations

from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.render import killed_text, name_list, rounded
from primectl.cli.terminal import ProgressLine, can_ask, confirm, say, say_json, tell
from primectl.control.client import ControlClient
from primectl.errors import ConfigError
from primectl.wire.control import Kill, Killed
from primectl.wire.stats import ClusterSnapshot, ProcessSnapshot, Role
from tui.present.units import plural


def kill(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="all (every worker), a pool, or a process id.")],
    file: options.File = None,
    cluster: options.ClusterName = None,
    yes: options.Yes = False,
    as_json: options.AsJson = False,
) -> int:
    """Broadcast KILL to workers and see them go; they are replaced, and what they were doing runs again.

    Returns when the addressed processes have gone; those that do not obey take SIGKILL.
    """
    if not yes and not can_ask():
        raise ConfigError("kill asks before it acts, and there is no terminal to ask on", f"kill {target}", "Add --yes")
    with ControlClient(chosen_place(ctx, file, cluster)) as client:
        if not yes:
            hit = addressed(client.ask("GET", "/cluster", None, ClusterSnapshot), target)
            # A target that names nobody is refused by the supervisor, in the same words with or without a question.
            if hit and not confirm(question(target, hit)):
                tell("nothing was killed")
                return 1
        order = Kill(target)
        with ProgressLine() as progress:
            killed = client.ask(
                "POST", "/kill", order, Killed, timeout_s=order.timeout_s + options.MARGIN_S, on_progress=progress
            )
    if as_json:
        say_json(rounded(killed))
    else:
        say(killed_text(killed))
    return 0 if set(killed.addressed) <= set(killed.acknowledged) else 1


def addressed(snapshot: ClusterSnapshot, target: str) -> list[ProcessSnapshot]:
    """The processes that a KILL would reach now."""
    return [
        process
        for process in snapshot.processes
        if process.id == target or (process.role is Role.WORKER and target in ("all", process.pool))
    ]


def question(target: str, hit: list[ProcessSnapshot]) -> str:
    """What the operator is about to do: whom it hits, and what they are in the middle of."""
    busy = sum(process.busy for process in hit)
    interrupted = f"{plural(busy, 'job')} would be interrupted and run again" if busy else "none of them is busy"
    who = plural(len(hit), "process", "processes")
    return f"KILL {target}: {who} ({name_list([process.id for process in hit])}); {interrupted}. Go on?"
