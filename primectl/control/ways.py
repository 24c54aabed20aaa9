"""§ Ways in to the cluster's folders that outlast one's rights.

A worker of another user may enter the cluster's folders themselves (`supervisor.sharing`), but perhaps not those above:
the runtime folder of root is in /run/user/0, its state below /root. Descriptors of the folders, opened while that was
allowed, are paths too: proc_pid_fd(5). So nothing above the cluster's own folders has to be opened to anybody.
"""

from __future__ import annotations

import os

from msgspec import structs

from primectl.config.topology import WORKERS_JSON, ClusterFile, Place


def by_descriptors(cluster: ClusterFile) -> ClusterFile:
    """The same cluster, its folders named by descriptors that this process and its forks keep open."""
    place = cluster.place
    runtime = _way(place.runtime)
    sockets = runtime if place.sockets == place.runtime else _way(place.sockets)
    here = structs.replace(place, runtime=runtime, sockets=sockets, state=_way(place.state), cluster_json=WORKERS_JSON)
    return structs.replace(cluster, place=here)


def shared_group(place: Place) -> int | None:
    """The group that lets workers of other users into the cluster's folders, None where nobody else is let in."""
    found = os.stat(place.sockets)
    return found.st_gid if found.st_mode & 0o010 else None


def let_in(place: Place, socket: str) -> None:
    """Let workers of other users connect to a socket that was just bound, if the cluster has such. Others on the host
    stay out: they cannot enter its folder."""
    group = shared_group(place)
    if group is not None:
        path = f"{place.sockets}/{socket}"
        os.chown(path, -1, group)
        os.chmod(path, 0o660)


def _way(folder: str) -> str:
    return f"/proc/self/fd/{os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)}"
