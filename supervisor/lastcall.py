"""§ The end of listening, so that nobody whom the kernel has let in is lost.

A connection is there for its client, who sends a request at once, before any server accepts it; one that nobody has
accepted when its listening socket closes is reset. So the kernel is told first to let no connection begin: a TCP socket
drops further SYNs (their clients ask again a second later, and are refused), a UNIX socket refuses. What has begun gets
through to a server meanwhile, which accepts for `LAST_CALL_S` more (`primectl.server.accept`) before it closes.

What waits for a server that does not run (it was being replaced, or had not come up) is answered 503 from here.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import socket
import struct
import sys
from collections.abc import Collection
from contextlib import suppress

from primectl.config.topology import server_number
from supervisor.listen import Listeners

LAST_CALL_S = 0.05
"""A round trip and more: a connection that began before is through by then."""
MOST = 8192
"""Connections that are turned away from one socket: twice what its backlog holds."""
READ = 1 << 16
READS = 16

SO_ATTACH_FILTER = 26
_LOAD_FLAGS, _AND, _IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_SYN, _SYN_OR_ACK = 0x02, 0x12
NO_FURTHER_SYN = (
    (_LOAD_FLAGS, 0, 0, 13),  # a filter of a TCP socket sees the packet from its TCP header on; its flags are byte 13
    (_AND, 0, 0, _SYN_OR_ACK),
    (_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
)
"""Classic BPF, socket(7). Connections that are accepted inherit it, and have no use for a SYN either."""

_PROBLEM = json.dumps(
    {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "the cluster is stopping"}
).encode()
TURNED_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
    b"retry-after: 1\r\nconnection: close\r\n\r\n%b" % (len(_PROBLEM), _PROBLEM)
)


def let_nobody_begin(listener: socket.socket) -> None:
    """No further connection of this listening socket begins, whoever has copies of it; those that have may be accepted.

    Where the OS cannot do that, what comes in the microseconds between a server's last look and its close is reset.
    """
    with suppress(OSError):
        if listener.family == socket.AF_UNIX:
            listener.shutdown(socket.SHUT_RD)
        elif sys.platform == "linux":
            code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in NO_FURTHER_SYN))
            program = struct.pack("HL", len(NO_FURTHER_SYN), ctypes.addressof(code))
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


class LastCall:
    """`over` is done when the last copies are closed and everybody is answered."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listeners: Listeners, unserved: Collection[str]) -> None:
        """Closes those sockets at once that a server accepts from."""
        self.over = loop.create_future()
        self._loop = loop
        # Who expects TLS can make nothing of a plain answer.
        self._answer = b"" if listeners.url.startswith("https:") else TURNED_AWAY
        self._turned_away: list[socket.socket] = []
        for listener in listeners.sockets:
            let_nobody_begin(listener)
        self._unserved = listeners.give_up({server_number(server) for server in unserved})
        if self._unserved:
            self._turn_away()
            loop.call_later(LAST_CALL_S, self._end)
        else:
            self.over.set_result(None)

    def _turn_away(self) -> None:
        for listener in self._unserved:
            for _ in range(MOST):
                try:
                    client, _ = listener.accept()
                except OSError:  # nobody waits; or there is no descriptor left, and nothing more that we can do
                    break
                self._turned_away.append(client)
                client.setblocking(False)
                with suppress(OSError):  # it has gone
                    client.sendall(self._answer)
                    client.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        self._turn_away()
        for listener in self._unserved:
            listener.close()
        self._loop.call_later(LAST_CALL_S, self._let_go)

    def _let_go(self) -> None:
        """A close with something unread would reset the connection, and might take the answer with it."""
        for client in self._turned_away:
            with suppress(OSError):
                for _ in range(READS):
                    client.recv(READ)
            client.close()
        self._turned_away.clear()
        self.over.set_result(None)
