"""§ What a supervisor that died has left behind: its processes, sockets and files; found, ended, removed."""

from __future__ import annotations

import os

import msgspec

from primectl.clock import SystemClock
from primectl.config.model import Config
from primectl.config.topology import ClusterFile, Place
from primectl.errors import ChannelLost
from supervisor import adopt, runtime


def clean_up(place: Place) -> list[str]:
    """End the processes that were left, and remove the files; the ids of those that still ran.

    Raises ChannelLost where nothing was left.
    """
    if not any(map(os.path.exists, (place.state_file, place.cluster_file, place.pid_file))):
        raise ChannelLost(f"cluster {place.cluster} is not running", mend="`primectl up -d` starts it")
    lock = runtime.Lock(place)
    ended = adopt.end_leftovers(adopt.leftovers(place), SystemClock())
    runtime.remove_files(place, read_config(place), lock)
    return ended


def read_config(place: Place) -> Config:
    """The config that the cluster was started with; the default where that cannot be read any more."""
    try:
        with open(place.cluster_file, "rb") as file:
            return msgspec.json.decode(file.read(), type=ClusterFile).config
    except (OSError, msgspec.MsgspecError):
        return Config()
