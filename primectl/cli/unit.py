"""`primectl unit`: a systemd unit that runs a config's cluster as a service."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import place_for, selection
from primectl.cli.systemd import Service
from primectl.cli.systemd import unit as unit_text
from primectl.cli.terminal import say
from primectl.config.load import default_config, under_name
from primectl.errors import ConfigError


def unit(
    ctx: typer.Context,
    file: options.File = None,
    cluster: options.ClusterName = None,
    own: Annotated[bool, typer.Option("--user", help="For your own service manager, not the system's.")] = False,
) -> int:
    """Print a systemd unit for the cluster of a config file; its head says where it goes."""
    asked = selection(ctx, file, cluster)
    loaded = default_config(asked.file, Path.cwd())
    if not os.path.isabs(loaded.path):
        raise ConfigError("a service needs a config file, and there is none here", mend="`primectl init` writes one")
    if asked.cluster is not None:
        loaded = under_name(loaded, place_for(asked.cluster).cluster)
    service = Service(
        config=loaded.config,
        python=sys.executable,
        file=loaded.path,
        user="" if own else _me(),
        state_home=os.environ.get("XDG_STATE_HOME", ""),
        renamed=asked.cluster is not None,
    )
    say(unit_text(service).rstrip("\n"))
    return 0


def _me() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
