"""§ The sockets that clients connect to: bound by the supervisor before anything starts, handed to the servers.

They stay open while a server is replaced, so connections wait in the kernel's queue instead of being refused. With
several server processes each has a socket of its own on the same port (SO_REUSEPORT), and the kernel spreads clients.
A single one has that option too, since others may join it later (`widened`).

A supervisor that takes over from one that died has none of them at first: its servers lend theirs (`lending`).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import psutil
from msgspec import structs

from primectl.config.listen import parse_listen
from primectl.errors import StartFailed

BACKLOG = 4096
KEY = "server.listen"


class Listeners:
    """Bound and listening sockets, one a server process."""

    def __init__(
        self, listen: str, processes: int, *, bound: bool = False, waiting: bool = False, own_port: int = 0
    ) -> None:
        """`bound`: servers that an earlier supervisor has started hold the sockets already, and may lend them.
        `waiting`: the sockets begin to listen in their servers. `own_port` is one that we have at another address.

        Raises StartFailed when the address is taken or not ours, ConfigError when it is none.
        """
        self.listen = listen
        """The address as it was asked for; `url` is where clients connect."""
        self.url = listen
        self._address = parse_listen(listen)
        self._processes = processes
        self._backlog = 0 if waiting else BACKLOG
        self._by_server: dict[int, socket.socket] = {}
        self._inode = -1
        self._closed = False
        if bound:
            self._note_inode()
            return
        try:
            for slot in range(1, processes + 1):
                if not self.has(slot):
                    self._bind(slot, alone=slot == 1 and self._address.port != own_port)
        except BaseException:
            self.close()
            raise

    @property
    def sockets(self) -> list[socket.socket]:
        """Those that we have."""
        return list(dict.fromkeys(self._by_server.values()))

    @property
    def port(self) -> int:
        """0 for a UNIX socket."""
        return self._address.port

    def is_at(self, listen: str) -> bool:
        """Whether this address is the one that these sockets have, as it was asked for or as it came to be."""
        return _place(listen) in (_place(self.listen), _place(self.url))

    def widened(self, listen: str, processes: int) -> Listeners:
        """The same sockets for so many servers, at an address of the same place; further ones wait to listen."""
        wider = Listeners(self.url, processes, bound=True)
        wider.listen = listen
        wider._address = structs.replace(self._address, scheme=parse_listen(listen).scheme)
        wider.url = str(wider._address)
        wider._backlog = 0
        wider._inode = self._inode
        if self._address.scheme == "unix":
            wider._by_server = dict.fromkeys(range(1, processes + 1), self._by_server[1]) if self._by_server else {}
            return wider
        wider._by_server = {slot: bound for slot, bound in self._by_server.items() if slot <= processes}
        try:
            for slot in range(self._processes + 1, processes + 1):
                wider._bind(slot, alone=False)
        except BaseException:
            for fresh in set(wider.sockets) - set(self.sockets):
                fresh.close()
            raise
        return wider

    def fd(self, server: int) -> int:
        """For server number `server`, the first being 1; -1 once closed. Those above the number of servers, which stand
        in for others, share their sockets: it begins again with the first.

        Where nobody has lent us a socket it is bound anew. Raises StartFailed when that cannot be.
        """
        if self._closed:
            return -1
        slot = self._slot(server)
        if slot not in self._by_server:
            self._bind(slot, alone=False)
        return self._by_server[slot].fileno()

    def has(self, server: int) -> bool:
        return self._slot(server) in self._by_server

    def take(self, server: int, lent: socket.socket) -> bool:
        """Have a server's own socket. False, and it is closed, when we have one or it listens elsewhere."""
        if self._closed or self.has(server) or not self._is_ours(lent):
            lent.close()
            return False
        self._have(self._slot(server), lent)
        return True

    def close(self) -> None:
        """Our copies; servers have theirs."""
        self._closed = True
        for bound in self.sockets:
            bound.close()

    def give_up(self, unserved: Collection[int]) -> list[socket.socket]:
        """Close our copies of what a server accepts from. Those that only `unserved` servers have are the caller's."""
        self._closed = True
        served = {bound for server, bound in self._by_server.items() if server not in unserved}
        for bound in served:
            bound.close()
        return [bound for bound in self.sockets if bound not in served]

    def remove(self) -> None:
        """The socket's file, if it is still ours."""
        if self._address.scheme == "unix":
            with suppress(FileNotFoundError):
                if Path(self._address.path).lstat().st_ino == self._inode:
                    Path(self._address.path).unlink()

    def _slot(self, server: int) -> int:
        return (server - 1) % self._processes + 1

    def _bind(self, slot: int, *, alone: bool) -> None:
        address = self._address
        if address.scheme == "unix":
            if not self._by_server:
                self._have(slot, _bind_unix(address.path, self._backlog))
            return
        bound = _bind_tcp(address.host, address.port, self._backlog, alone=alone)
        self._have(slot, bound)
        self._address = structs.replace(address, port=bound.getsockname()[1])
        self.url = str(self._address)

    def _have(self, slot: int, bound: socket.socket) -> None:
        # One path is one socket: all servers accept from it.
        shared = self._address.scheme == "unix"
        self._by_server.update(dict.fromkeys(range(1, self._processes + 1), bound) if shared else {slot: bound})
        self._note_inode()

    def _note_inode(self) -> None:
        if self._address.scheme == "unix":
            with suppress(FileNotFoundError):
                self._inode = Path(self._address.path).lstat().st_ino

    def _is_ours(self, lent: socket.socket) -> bool:
        if not lent.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        name = lent.getsockname()
        if self._address.scheme == "unix":
            return bool(name == self._address.path)
        return isinstance(name, tuple) and bool(name[1] == self._address.port)


def _place(listen: str) -> tuple[str, int, str]:
    address = parse_listen(listen)
    return address.host, address.port, address.path


def _bind_tcp(host: str, port: int, backlog: int, *, alone: bool) -> socket.socket:
    """`alone`: nobody shall be at that port, not even who would share it. It listens if there is a backlog."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG * (host == "localhost")
        )[0]
    except socket.gaierror as error:
        raise StartFailed(f'"{host}" is no address of this machine: {error.strerror}', KEY) from None
    if alone and port:
        # SO_REUSEPORT would join a stranger's socket that has it too; without it, bind tells that somebody is there.
        _open_tcp(family, address, 0, shared=False).close()
    return _open_tcp(family, address, backlog, shared=True)


def _open_tcp(family: int, address: tuple[object, ...], backlog: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # "::" means every address of the machine, IPv4 included, whatever bindv6only says.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
        if backlog:
            bound.listen(backlog)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        shown = f"[{address[0]}]:{address[1]}" if family == socket.AF_INET6 else f"{address[0]}:{address[1]}"
        raise _refused(error, shown, _holder_of_port(int(str(address[1])))) from None
    return bound


def _bind_unix(path: str, backlog: int) -> socket.socket:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise StartFailed(f"{path} is there already and no socket", KEY, "Choose another path, or remove it")
        if _answers(path):
            raise StartFailed(f"{path} is in use{_holder_of_path(path)}", KEY, "Stop it, or choose another path")
        os.unlink(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        if backlog:
            bound.listen(backlog)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise _refused(error, path, "") from None
    return bound


def clear(listen: str) -> None:
    """Remove the file of a UNIX socket that nobody listens at any more."""
    path = listen.removeprefix("unix:")
    if path != listen and os.path.exists(path) and stat.S_ISSOCK(os.lstat(path).st_mode) and not _answers(path):
        os.unlink(path)


def _answers(path: str) -> bool:
    """Whether somebody listens there: a socket file outlives its owner."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


def _refused(error: OSError, shown: str, holder: str) -> StartFailed:
    if error.errno == errno.EADDRINUSE:
        return StartFailed(f"{shown} is in use{holder}", KEY, "Stop it, or choose another address")
    reason = error.strerror or str(error)
    mend = "Ports below 1024 need privileges" if error.errno == errno.EACCES else ""
    return StartFailed(f"cannot listen on {shown}: {reason}", KEY, mend)


def _holder_of_port(port: int) -> str:
    return _holder(
        connection.pid
        for connection in _connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port
    )


def _holder_of_path(path: str) -> str:
    return _holder(connection.pid for connection in _connections("unix") if connection.laddr == path)


def _connections(kind: str) -> list[psutil._common.sconn]:  # type: ignore[name-defined]
    try:
        return psutil.net_connections(kind)
    except (psutil.Error, OSError):
        return []


def _holder(pids: object) -> str:
    """ " by process 4242 (nginx)", or "" when it cannot be known (another user's process)."""
    for pid in pids:  # type: ignore[attr-defined]
        if pid:
            try:
                return f" by process {pid} ({psutil.Process(pid).name()})"
            except psutil.Error:
                return f" by process {pid}"
    return ""
