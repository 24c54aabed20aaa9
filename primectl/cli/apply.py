"""`primectl apply`: a running cluster takes a changed config file; what does not change is left alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import structs

from primectl.cli import options
from primectl.cli.choose import Selection, choose, place_for, require_running, running_clusters, selection
from primectl.cli.render import applied_text, plan_text, rounded
from primectl.cli.terminal import ProgressLine, say, say_json, tell
from primectl.config.handlers import check_handlers, whole_config
from primectl.config.load import Loaded, under_name
from primectl.config.topology import Place
from primectl.control.client import ControlClient
from primectl.wire.control import Applied, Apply

LIMIT_S = 300.0


def apply(
    ctx: typer.Context,
    path: Annotated[str | None, typer.Argument(metavar="FILE", help="The file to apply, as -f.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    file: options.File = None,
    cluster: options.ClusterName = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Make the running cluster what the file says, and restart only what changed; no request fails for it.

    The plan is shown first. A file with a mistake is refused whole; pools get the size that the file has.
    """
    limit_s = options.seconds(timeout) if timeout else LIMIT_S
    loaded, place = _meant(selection(ctx, path or file, cluster))
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    require_running(place)
    check_handlers(loaded)
    order = Apply(msgspec.json.encode(loaded.config), loaded.path, loaded.import_path, dry_run, limit_s)
    with ControlClient(place) as client:
        if not as_json:
            plan = client.ask("POST", "/apply", structs.replace(order, dry_run=True), Applied)
            if not plan.changes:
                say(f"nothing to change: cluster {place.cluster} is as {loaded.name} has it")
                return
            say(plan_text(plan.changes))
            sys.stdout.flush()
            if dry_run:
                say("dry run: nothing was changed")
                return
        with ProgressLine() as progress:
            wait_s = limit_s + options.MARGIN_S
            applied = client.ask("POST", "/apply", order, Applied, timeout_s=wait_s, on_progress=progress)
    if as_json:
        say_json({"cluster": place.cluster, **rounded(applied)})
    else:
        say(applied_text(place.cluster, applied))


def _meant(asked: Selection) -> tuple[Loaded, Place]:
    """The file, and the cluster that shall become what it says. Raises ConfigError."""
    loaded = whole_config(asked.file, Path.cwd())
    name = loaded.config.cluster.name
    if asked.cluster is not None:
        return under_name(loaded, asked.cluster), place_for(asked.cluster)
    return loaded, place_for(name if asked.file is not None else choose(running_clusters(), lambda: name))
