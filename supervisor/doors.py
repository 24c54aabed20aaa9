"""§ Which listening sockets servers get: those in use, those bound for later, those that are being left.

A new address is bound before anything moves, put in use when the servers change, and the former one is closed when the
new one is served. Nothing listens that nobody serves: sockets bound for later begin to listen in their server.
"""

from __future__ import annotations

import socket

from supervisor.lastcall import let_nobody_begin
from supervisor.listen import Listeners


class Doors:
    """`listeners` are those that servers get which start now."""

    def __init__(self, listeners: Listeners) -> None:
        self.listeners = listeners
        self._aside: Listeners | None = None
        """Bound, not in use."""
        self._former: Listeners | None = None
        """No longer given to servers; some have them."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self.listeners.url

    def fd(self, server: int) -> int:
        return self.listeners.fd(server)

    def has(self, server: int) -> bool:
        return self.listeners.has(server)

    def take(self, server: int, lent: socket.socket) -> bool:
        """As `Listeners.take`."""
        return self.listeners.take(server, lent)

    def bind(self, listen: str, processes: int) -> str:
        """Bind for so many servers at this address; its URL. Raises StartFailed, with everything as it was."""
        self.drop()
        if self.listeners.is_at(listen):
            self._aside = self.listeners.widened(listen, processes)
        else:
            self._aside = Listeners(listen, processes, waiting=True, own_port=self.listeners.port)
        return self._aside.url

    def use(self) -> None:
        """From now on what `bind` has bound."""
        if self._aside is not None:
            self.close_former()
            self._former, self.listeners, self._aside = self.listeners, self._aside, None

    def drop(self) -> None:
        """What `bind` has bound is not wanted, in use or not."""
        if self._aside is not None:
            self._close(self._aside, self.listeners)
            self._aside = None
        elif self._former is not None:
            self._close(self.listeners, self._former)
            self.listeners, self._former = self._former, None

    def close_former(self) -> None:
        """Our copies of what is no longer in use."""
        if self._former is not None:
            self._close(self._former, self.listeners)
            self._former = None

    def close_others(self) -> None:
        """The cluster stops: what is not in use is of no use any more."""
        if self._aside is not None:
            self.drop()
        self.close_former()

    def keep(self, processes: int) -> None:
        """So many servers only: our copies of the others' sockets are closed."""
        fewer = self.listeners.widened(self.listeners.listen, processes)
        self._close(self.listeners, fewer)
        self.listeners = fewer

    def close(self) -> None:
        """Everything; servers have their own copies."""
        for listeners in (self._aside, self._former, self.listeners):
            if listeners is not None:
                listeners.close()

    def remove(self) -> None:
        """The files of UNIX sockets that are ours."""
        for listeners in (self._aside, self._former, self.listeners):
            if listeners is not None:
                listeners.remove()

    def _close(self, left: Listeners, kept: Listeners) -> None:
        """First nobody finds the way in any more; the servers that have copies let in who has, and then close them."""
        if not set(left.sockets) & set(kept.sockets):
            left.remove()
        for bound in set(left.sockets) - set(kept.sockets):
            let_nobody_begin(bound)
            bound.close()
