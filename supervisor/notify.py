"""§ What systemd, or another manager that speaks its protocol, hears of this service: sd_notify(3).

A datagram of a few lines to the socket that the environment names. No library: the protocol is this one call, and the
bindings to libsystemd need its headers where primectl is installed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from primectl.clock import Clock
from primectl.config.identity import SERVICE_VARIABLES
from primectl.control.log import ProcessLog
from supervisor.standing import Standing, news


class Notify:
    """The one who runs us as a service, if anybody does; `wanted` is false otherwise, and nothing is said."""

    def __init__(self, environ: MutableMapping[str, str], clock: Clock, log: ProcessLog) -> None:
        """Takes its variables out of the environment: what we start shall not speak for us."""
        address, owner, watchdog_us = (environ.pop(name, "") for name in SERVICE_VARIABLES)
        self._clock = clock
        self._log = log
        self._told = Standing()
        self._unsaid: list[str] = []
        self._address = b"\0" + os.fsencode(address[1:]) if address.startswith("@") else os.fsencode(address)
        self.wanted = address.startswith(("@", "/"))
        if not self.wanted and address:
            log.warn(
                f"NOTIFY_SOCKET={address} is neither a path nor an abstract name: nobody is told that we are ready"
            )
        ours = not owner or owner == str(os.getpid())
        self._alive_every_s = int(watchdog_us) / 2e6 if ours and watchdog_us.isdecimal() else 0.0
        self._alive_at = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if self.wanted else None

    def tell(self, now: Standing) -> None:
        """Say what is new about the whole."""
        if not self.wanted:
            return
        told = news(self._told, now, os.getpid(), int(self._clock.monotonic() * 1e6))
        self._told = now
        if told:
            self._send(told)

    def be_heard(self) -> None:
        """To be called now and then by the loop: that it still goes round, and what could not be said before."""
        now = self._clock.monotonic()
        due = self.wanted and self._alive_every_s > 0 and now >= self._alive_at
        if due:
            self._alive_at = now + self._alive_every_s
        if due or self._unsaid:
            self._send(["WATCHDOG=1"] if due else [])

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _send(self, told: list[str]) -> None:
        """What cannot be sent (a full queue, a manager that is away) is said with the next: of each kind the newest."""
        assert self._socket is not None
        lines = list({line.partition("=")[0]: line for line in (*self._unsaid, *told)}.values())
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
            self._unsaid = []
        except OSError as error:
            if not isinstance(error, BlockingIOError) and not self._unsaid:
                self._log.warn(f"the service manager does not hear us: {error.strerror}")
            self._unsaid = lines
