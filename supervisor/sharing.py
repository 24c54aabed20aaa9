"""§ Workers of other users, and the cluster's folders: what they are let in to, and that nobody else is.

The folders get a group that nobody has but these workers, who take it on beside their own groups: its number is made
from the runtime folder's path and is in no account file. The group may pass through the folders of sockets and files,
connect to the sockets of the data plane (`primectl.control.ways`), and make files in the folder of logs, where nobody
can touch the files of others (the sticky bit, as in /tmp). What root opens there is looked at first: a worker that has
been taken over could have put a link in its place.
"""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path

from primectl.config.identity import person_of
from primectl.config.model import Config, PoolConfig
from primectl.config.topology import COMMANDS, STATS, ClusterFile, Place, loopback, pool_in, pool_out, server_ids
from primectl.control.ways import let_in, shared_group
from primectl.errors import ConfigError
from supervisor.events import Kind
from supervisor.runtime import PRIVATE, write_workers_file

UNUSED = (0x7000_0000, 1 << 27)
"""Group numbers that no system gives away (systemd's table of UIDs and GIDs): the first, how many …"""
UNUSED_IN_CONTAINERS = (60_578, 606)
"""… and those below 65536, for containers that have no others."""
PASS = 0o710
DROP_BOX = 0o1770
PRIVATE_FILE = 0o600


def group_for(place: Place, config: Config) -> int | None:
    """The group of this cluster, None where all its processes run as the same user. Raises ConfigError."""
    if all(_uid(pool.user) == os.getuid() for pool in config.pools.values() if pool.user):
        return None
    mapped = _mapped()
    for attempt in range(16):
        digest = hashlib.blake2s(f"{place.runtime}\0{attempt}".encode(), digest_size=8).digest()
        for first, count in (UNUSED, UNUSED_IN_CONTAINERS):
            group = first + int.from_bytes(digest) % count
            if any(low <= group < low + length for low, length in mapped) and not _is_known(group):
                return group
    what = "there is no group number to be had by which workers of other users could reach the cluster"
    raise ConfigError(what, "pools.*.user", "Map more group numbers into this container, or leave user out")


def settle_folders(cluster: ClusterFile) -> None:
    """Let in whom this config has workers of, and nobody else. For a supervisor that has just begun."""
    place = cluster.place
    if not open_folders(cluster):
        for folder in (place.runtime, place.sockets, place.logs):
            os.chmod(folder, PRIVATE)


def open_folders(cluster: ClusterFile) -> bool:
    """Let the group of this config's workers in, also to the sockets of processes that run already; False where all run
    as the same user. What was open stays so: workers of an earlier config may still be there."""
    place, config = cluster.place, cluster.config
    group = group_for(place, config)
    if group is None:
        return False
    for folder, mode in {place.runtime: PASS, place.sockets: PASS, place.state: PASS, place.logs: DROP_BOX}.items():
        os.chown(folder, -1, group)
        os.chmod(folder, mode)
    pools = [name(pool) for pool in config.pools for name in (pool_in, pool_out)]
    for socket in (COMMANDS, STATS, *pools, *(loopback(server) for server in server_ids(config))):
        with suppress(FileNotFoundError):
            let_in(place, socket)
    write_workers_file(cluster, group)
    return True


def hand_over(cluster: ClusterFile, process: str, kind: Kind, pool: str) -> None:
    """Before a process starts: its files belong to whom it will run as, and are what they seem. The first
    of another user opens the folders: a changed config may have brought it. Raises OSError, ConfigError."""
    place = cluster.place
    uid = worker_uid(cluster, kind, pool)
    if uid is None:
        if shared_group(place) is None:
            return
        uid = os.getuid()
        _give(place.log_file(process), uid, os.O_CREAT)
    else:
        if shared_group(place) is None:
            open_folders(cluster)
        for path in (place.log_file(process), place.dump_file(process)):
            _give(path, uid, os.O_CREAT)
        if kind is Kind.WORKER:
            _give(place.begun_file(process), uid, os.O_CREAT)
    for log in Path(place.logs).glob(f"{process}.log*"):
        _give(str(log), uid)


def worker_uid(cluster: ClusterFile, kind: Kind, pool: str) -> int | None:
    """Whom a process will run as; None for us."""
    if kind not in (Kind.WORKER, Kind.ZYGOTE) or not cluster.config.pools[pool].user:
        return None
    uid = _uid(cluster.config.pools[pool].user)
    return None if uid == os.getuid() else uid


@cache
def _uid(user: str) -> int:
    """Looked up once: a directory of accounts that is slow, or gone, does not concern a cluster that runs."""
    return person_of("*", PoolConfig(handler="", user=user)).uid


def _give(path: str, uid: int, flags: int = 0) -> None:
    """Make a file of ours theirs; what is no plain file with one name goes away. No link is followed."""
    if not _is_given(path, uid, flags):
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(path)
        _is_given(path, uid, flags)


def _is_given(path: str, uid: int, flags: int) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, PRIVATE_FILE)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a folder, a socket
            return False
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return False
        if found.st_uid != uid:
            os.fchown(fd, uid, -1)
            os.fchmod(fd, PRIVATE_FILE)
    finally:
        os.close(fd)
    return True


def _is_known(group: int) -> bool:
    try:
        grp.getgrgid(group)
    except KeyError:
        return False
    return True


def _mapped() -> list[tuple[int, int]]:
    """The group numbers that this user namespace has (user_namespaces(7)): the first of each range, and how many."""
    with open("/proc/self/gid_map", encoding="ascii") as table:
        return [(int(first), int(count)) for first, _, count in map(str.split, table)]
