"""§ A server hands its listening socket to a supervisor that did not bind it: an earlier one did, which has died.

Both have the socket from then on. Connections wait in it while the server is replaced, as if nothing had happened.
"""

from __future__ import annotations

import socket

from primectl.config.topology import LISTENERS, Place
from primectl.wire import frames
from primectl.wire.control import Loan


def lend(listener: socket.socket, place: Place, server: str, incarnation: int) -> bool:
    """Never waits; False when nobody takes it, and then the supervisor asks again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.setblocking(False)
        try:
            link.connect(f"{place.sockets}/{LISTENERS}")
            socket.send_fds(link, [frames.encode(Loan(server, incarnation))], [listener.fileno()])
        except OSError:
            return False
    return True
