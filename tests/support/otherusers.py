"""Clusters whose workers are other users: what that needs of the machine, and how to be one of them."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.support.cluster import ClusterUnderTest

USER, STRANGER = "nobody", "daemon"
"""Accounts that every Linux has."""

NOT_ROOT = "only root can run workers as another user"

_OPEN_PYTHON = """
python=$1 closed=$2 aside=$3; shift 3
mount --bind "$python" "$aside"
mount -t tmpfs -o mode=0755 none "$closed"
mkdir -p "$python"
mount --bind "$aside" "$python"
umount "$aside"
exec "$@"
"""
"""In a mount namespace: of the folder that is closed to others, only the way to the interpreter is left, open."""


def readable_python(aside: Path) -> list[str]:
    """What to put before a command so that other users can read the Python that it runs; nothing where they can."""
    python = Path(sys.base_prefix)
    closed = next((folder for folder in reversed((python, *python.parents)) if not folder.stat().st_mode & 0o005), None)
    if closed is None:
        return []
    aside.mkdir()
    return ["unshare", "--mount", "sh", "-ec", _OPEN_PYTHON, "sh", str(python), str(closed), str(aside)]


def can_be_made_readable() -> bool:
    """Whether the above works here: in a container without CAP_SYS_ADMIN it may not."""
    return subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0


class ClusterOfOthers(ClusterUnderTest):
    """Its commands run where other users can read Python and the handlers' folder."""

    def __init__(self, config: str, *, name: str = "others", files: Mapping[str, str] | None = None) -> None:
        super().__init__(config, name=name, files=files)
        for folder in (self.home, self.folder):
            folder.chmod(0o755)
        self._prefix = readable_python(self.home / "python")

    def command(self, *words: str) -> list[str]:
        return [*self._prefix, *super().command(*words)]

    def check_as(self, user: str) -> subprocess.CompletedProcess[str]:
        """`primectl check`, asked by that user."""
        account = pwd.getpwnam(user)
        become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]
        return subprocess.run(
            [*self._prefix, *become, *super().command("check")],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


def reached(folder: str, sockets: Iterable[str], user: str, groups: Sequence[int] = ()) -> set[str]:
    """Which of the sockets in a folder a process of that user, with these groups beside its own, can connect to.

    It has the folder as a worker has it, by a descriptor: what is above the folder does not keep it out.
    """
    account = pwd.getpwnam(user)
    way = os.open(folder, os.O_PATH)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(list(groups))
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            os.write(writer, "\n".join(name for name in sockets if _connects(f"/proc/self/fd/{way}/{name}")).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.close(way)
    with open(reader) as told:
        found = told.read().split()
    os.waitpid(pid, 0)
    return set(found)


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except PermissionError:
            return False
        return True
