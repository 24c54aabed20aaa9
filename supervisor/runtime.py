"""§ The cluster's folders and files, and the lock that makes its supervisor the only one."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import structs

from primectl.config.topology import (
    BEGUN,
    COMMANDS,
    CONTROL,
    DUMP,
    FEED,
    JOURNAL,
    LISTENERS,
    RECORDER,
    STATS,
    WORKERS_JSON,
    ClusterFile,
    Place,
    loopback,
    pool_in,
    pool_out,
    proxy_id,
)
from primectl.control.ways import shared_group
from primectl.errors import CommandRefused, ConfigError
from supervisor.events import zygote_ids

PRIVATE = 0o700
SOCKETS = (COMMANDS, STATS, FEED, CONTROL, LISTENERS, RECORDER, JOURNAL)


def prepare_folders(place: Place) -> None:
    """Make the cluster's folders, all of them private. Raises ConfigError where they are somebody else's."""
    _private_folder(Path(place.runtime).parent, is_parent=True)
    for folder in dict.fromkeys((place.runtime, place.sockets)):
        _private_folder(Path(folder))
    prepare_logs(place)


def prepare_logs(place: Place) -> None:
    """Make the folder of the logs, private when it is new. Raises ConfigError where it cannot be."""
    try:
        Path(place.logs).mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        what = f"the folder for logs cannot be made: {error.strerror}"
        raise ConfigError(what, place.logs, "Set XDG_STATE_HOME to a folder of your own") from None


def _private_folder(folder: Path, *, is_parent: bool = False) -> None:
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise ConfigError("the runtime folder is no folder", str(folder), "Remove it, or set XDG_RUNTIME_DIR")
        if is_parent and found.st_uid == 0 and not found.st_mode & 0o022:
            return  # a service manager's, in which we have a folder of our own
        if found.st_uid != os.getuid():
            what = f"the runtime folder belongs to user {found.st_uid}, not to you"
            raise ConfigError(what, str(folder), "Remove it, or set XDG_RUNTIME_DIR to a folder of your own")
        # That a group may pass through is for `sharing` to judge, once it is known that no other supervisor runs.
        if stat.S_IMODE(found.st_mode) & 0o067:
            folder.chmod(PRIVATE)
    except OSError as error:
        what = f"the runtime folder cannot be made: {error.strerror}"
        raise ConfigError(what, str(folder), "Set XDG_RUNTIME_DIR to a folder of your own") from None


class Lock:
    """supervisor.pid, locked while its supervisor lives, whatever ends it; the pid inside is for people."""

    def __init__(self, place: Place) -> None:
        """Raises CommandRefused naming the supervisor that runs already."""
        self._path = Path(place.pid_file)
        while True:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.read(self._fd, 32).decode("ascii", "replace").strip() or "unknown"
                os.close(self._fd)
                what = f"cluster {place.cluster} is running already, its supervisor is process {pid}"
                raise CommandRefused(what, mend="`primectl down` stops it, `primectl ps` shows it") from None
            # A supervisor that is just leaving may have unlinked the file that we have locked.
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == os.fstat(self._fd).st_ino:
                    break
            os.close(self._fd)
        os.ftruncate(self._fd, 0)
        self.write_pid()

    def write_pid(self) -> None:
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def remove(self) -> None:
        """After a clean stop."""
        self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """The file stays and tells what ran."""
        os.close(self._fd)


def write_atomically(path: str, data: bytes, group: int | None = None) -> None:
    """A reader sees the old content or the new, never half of it. `group` may read it too."""
    temporary = f"{path}.new"
    with open(temporary, "wb", opener=_private_file) as file:
        file.write(data)
        if group is not None:
            os.fchown(file.fileno(), -1, group)
            os.fchmod(file.fileno(), 0o640)
    Path(temporary).replace(path)


def _private_file(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def write_cluster_file(cluster: ClusterFile) -> None:
    write_atomically(cluster.place.cluster_file, msgspec.json.encode(cluster))
    group = shared_group(cluster.place)
    if group is not None:
        write_workers_file(cluster, group)


def write_workers_file(cluster: ClusterFile, group: int) -> None:
    """What workers of other users may know: all but the environments, where secrets are."""
    pools = {name: structs.replace(pool, env={}) for name, pool in cluster.config.pools.items()}
    known = structs.replace(cluster, config=structs.replace(cluster.config, pools=pools))
    write_atomically(f"{cluster.place.runtime}/{WORKERS_JSON}", msgspec.json.encode(known), group)


def remove_pool(place: Place, pool: str) -> None:
    """The files of a pool that is no more; who was killed leaves them behind."""
    sockets = [Path(place.sockets, name) for name in (pool_in(pool), pool_out(pool))]
    runtime = Path(place.runtime)
    processes = (f"{pool}.*", proxy_id(pool), *zygote_ids(pool))
    left = [path for process in processes for kind in (BEGUN, DUMP) for path in runtime.glob(f"{process}{kind}")]
    for path in (*sockets, *left):
        path.unlink(missing_ok=True)


def remove_files(place: Place, lock: Lock) -> None:
    """After a clean stop: nothing of the cluster is left but its logs. The lock goes last."""
    fixed = (
        place.cluster_file,
        f"{place.runtime}/{WORKERS_JSON}",
        place.state_file,
        *(f"{place.sockets}/{name}" for name in SOCKETS),
    )
    # Pools and servers come and go while a cluster runs, so their files are known by their names only.
    made = [path for names in (pool_in("*"), pool_out("*"), loopback("*")) for path in Path(place.sockets).glob(names)]
    for path in (*map(Path, fixed), *made):
        path.unlink(missing_ok=True)
    for kind in (BEGUN, DUMP):
        for left in Path(place.runtime).glob(f"*{kind}"):
            left.unlink(missing_ok=True)
    lock.remove()
    for folder in dict.fromkeys((place.sockets, place.runtime)):
        # Somebody else's file in there keeps it; that is theirs to clear.
        with suppress(OSError):
            Path(folder).rmdir()
