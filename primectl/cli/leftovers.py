"""§ What a supervisor that died has left behind: its processes, sockets and files; found, ended, removed."""

from __future__ import annotations

import os

from primectl.clock import SystemClock
from primectl.config.model import Config
from primectl.config.topology import Place
from primectl.errors import ChannelLost
from supervisor import adopt, listen, runtime


def clean_up(place: Place) -> list[str]:
    """End the processes that were left, and remove the files; the ids of those that still ran.

    Raises ChannelLost where nothing was left.
    """
    if not any(map(os.path.exists, (place.state_file, place.cluster_file, place.pid_file))):
        raise ChannelLost(f"cluster {place.cluster} is not running", mend="`primectl up -d` starts it")
    lock = runtime.Lock(place)
    with adopt.Estate(place) as estate:
        ended = estate.end(SystemClock())
    listen.clear(estate.state.listen)
    runtime.remove_files(place, lock)
    return ended


def read_config(place: Place) -> Config:
    """The config that the cluster was started with; the default where that cannot be read any more."""
    cluster = adopt.read_cluster(place)
    return Config() if cluster is None else cluster.config
