"""§ Which cluster a command means, and where that cluster is.

`-c NAME`, else the cluster of an explicit `-f FILE`, else the one that runs, else the one of the file here. When
several run, the file here decides if its cluster is among them.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import typer
from msgspec import Struct

from primectl.config import topology
from primectl.config.model import ClusterConfig
from primectl.config.names import CLUSTER_NAME
from primectl.config.topology import Place
from primectl.control.running import supervisor_pid
from primectl.errors import ChannelLost, ConfigError

SAMPLE = ClusterConfig().name
"""The cluster of the built-in sample, and of a file that names none."""


class Selection(Struct, frozen=True):
    """What the operator has said about file and cluster; None where nothing was."""

    file: str | None = None
    cluster: str | None = None


def selection(ctx: typer.Context, file: str | None, cluster: str | None) -> Selection:
    """The options of a command, completed by those given before it (`primectl -f FILE logs -f`)."""
    before = ctx.find_object(Selection) or Selection()
    return Selection(file or before.file, cluster or before.cluster)


def chosen_place(ctx: typer.Context, file: str | None, cluster: str | None) -> Place:
    """Where the cluster is that a command means, running or not. Raises ConfigError."""
    asked = selection(ctx, file, cluster)
    if asked.cluster is not None:
        return place_for(asked.cluster)
    if asked.file is not None:
        return place_for(_name_in(asked.file))
    return place_for(choose(running_clusters(), _name_here))


def choose(running: Collection[str], in_file: Callable[[], str | None], otherwise: str = SAMPLE) -> str:
    """The cluster meant when nothing was said; the file is only looked at if that helps. Raises ConfigError."""
    if len(running) == 1:
        return next(iter(running))
    here = in_file()
    if running and here not in running:
        raise ConfigError(f"{len(running)} clusters run: {', '.join(sorted(running))}", mend="Choose one with -c NAME")
    return here or otherwise


def place_for(cluster: str) -> Place:
    """The folders of this user's cluster of that name. Raises ConfigError for what cannot be a name."""
    if not _is_name(cluster):
        raise ConfigError(f"{cluster!r} cannot be the name of a cluster", "-c", "It has 1 to 31 of a-z, 0-9, - and _")
    here = topology.place(cluster, os.environ, _temp(), os.getuid())
    if _looks_for_services() and supervisor_pid(here) is None:
        service = topology.place(cluster, topology.SERVICES, _temp(), os.getuid())
        if supervisor_pid(service) is not None and os.stat(service.runtime).st_uid == os.getuid():
            return service
    return here


def running_clusters() -> dict[str, int]:
    """This user's clusters whose supervisor runs: its pid by the cluster's name."""
    names = _names_in(topology.runtime_base(os.environ, _temp(), os.getuid()))
    if _looks_for_services():
        names |= _names_in(topology.runtime_base(topology.SERVICES, _temp(), os.getuid()))
    found: dict[str, int] = {}
    for name in sorted(names):
        pid = supervisor_pid(place_for(name))
        if pid is not None:
            found[name] = pid
    return found


def _names_in(base: str) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(base) if _is_name(entry.name)}
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return set()


def _looks_for_services() -> bool:
    """Whether a cluster may be a service of the system's: not where the operator has said where clusters are."""
    return os.environ.get("XDG_RUNTIME_DIR", "") in ("", f"/run/user/{os.getuid()}")


def require_running(place: Place) -> int:
    """The pid of the cluster's supervisor. Raises ChannelLost where there is none."""
    pid = supervisor_pid(place)
    if pid is None:
        raise ChannelLost(f"cluster {place.cluster} is not running", mend="`primectl up -d` starts it")
    return pid


def _temp() -> str:
    """The folder for temporary files; where none can be written to (a read-only container), the usual one."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return "/tmp"  # noqa: S108  only a name: what is made there is made 0700 and checked for its owner


def _is_name(text: str) -> bool:
    return re.fullmatch(CLUSTER_NAME, text) is not None


def _name_in(file: str) -> str:
    from primectl.config.load import default_config

    return default_config(file, Path.cwd()).config.cluster.name


def _name_here() -> str | None:
    """The cluster of the file in this folder, None without one.

    Read leniently: a mistake in it must not hide a cluster that runs.
    """
    import tomllib

    from primectl.config.load import FILE_NAME

    try:
        with open(FILE_NAME, "rb") as file:
            table = tomllib.load(file).get("cluster", {})
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
    name = table.get("name", SAMPLE) if isinstance(table, dict) else SAMPLE
    return name if isinstance(name, str) and _is_name(name) else None
