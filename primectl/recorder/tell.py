"""§ Tells servers what is written, at their loopbacks. What cannot be sent yet is sent later, the newest word only."""

from __future__ import annotations

import zmq

from primectl.config.topology import Place, loopback
from primectl.control.sockets import connect_present, try_send
from primectl.journal.heard import Run
from primectl.wire import frames
from primectl.wire.journal import Written

LINGER_MS = 200
MOST_SERVERS = 256


class Loopbacks:
    """A link to each server that was heard."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], place: Place) -> None:
        self._context = context
        self._place = place
        self._links: dict[str, zmq.Socket[bytes]] = {}
        self._unsaid: dict[Run, int] = {}

    def tell(self, written: dict[Run, int]) -> bool:
        """The last number that is written of each run; whether all of it is said, this and what was not before."""
        self._unsaid.update(written)
        for run, last in list(self._unsaid.items()):
            server, incarnation = run
            if try_send(self._link(server), [frames.encode(Written(incarnation, last))]):
                del self._unsaid[run]
        while len(self._unsaid) > MOST_SERVERS:  # of servers that are gone
            del self._unsaid[next(iter(self._unsaid))]
        return not self._unsaid

    def _link(self, server: str) -> zmq.Socket[bytes]:
        link = self._links.pop(server, None)
        if link is None:
            link = connect_present(self._context, zmq.PUSH, self._place.endpoint(loopback(server)), linger_ms=LINGER_MS)
        self._links[server] = link
        if len(self._links) > MOST_SERVERS:
            self._links.pop(next(iter(self._links))).close()
        return link

    def close(self) -> None:
        for link in self._links.values():
            link.close()
