"""§ A process that is going to run a pool's handler takes on the limits and the identity that the pool asks for."""

from __future__ import annotations

import os

from primectl.config.identity import assume, person_of
from primectl.config.topology import ClusterFile
from primectl.control.ways import by_descriptors, shared_group


def settle_in(cluster: ClusterFile, pool: str) -> ClusterFile:
    """To be called before the handler is imported; the cluster as this process can reach it from now on. Raises
    IdentityFault where the host does not allow it."""
    settings = cluster.config.pools[pool]
    groups: list[int] = []
    if settings.user and person_of(pool, settings).uid != os.getuid():
        group = shared_group(cluster.place)
        groups = [] if group is None else [group]
        cluster = by_descriptors(cluster)
    assume(pool, settings, groups)
    return cluster
