"""Clients that tell apart what a stop may do to them and what it must not.

    answered    a whole answer, and the right one
    refused     the connection never began: the client knows that nothing of it was taken up, and asks elsewhere
    closed      a kept-alive connection ended with nothing open, before a request was sent on it
    lost        a connection had begun, a request was sent on it, and no whole answer came: what must not be

One thread and blocking only in `select`, so that between a client's last look at its connection and its sending lies as
little time as may be. The rest of that race belongs to HTTP/1.1: a connection that has ended by the time when its
request had just been sent (looked at once more right then) counts as closed.
"""

from __future__ import annotations

import errno
import os
import random
import selectors
import socket
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

ASK_AGAIN_S = 0.02
"""After a refusal."""
PATIENCE_S = 20.0
"""For the answers that are still owed when no more requests go out."""


class Customer:
    """One client: a request at a time, on connections that it keeps or not."""

    def __init__(self, crowd: Crowd, number: int, *, keeps: bool, pause_s: float, sleep_s: float) -> None:
        self.crowd = crowd
        self.number = number
        self.keeps = keeps
        self.pause_s = pause_s
        self.sleep_s = sleep_s
        self.asked = 0
        self.socket: socket.socket | None = None
        self.used = False
        """The connection has had an answer."""
        self.connecting = False
        self.waiting = False
        self.received = b""
        self.token = b""
        self.wake_at = 0.0

    def connect(self) -> None:
        """Begin to connect."""
        self.socket = socket.socket(socket.AF_INET if self.crowd.path is None else socket.AF_UNIX)
        self.socket.setblocking(False)
        self.used = False
        trouble = self.socket.connect_ex(self.crowd.path or self.crowd.address)
        if trouble not in (0, errno.EINPROGRESS):
            self.refused()
            return
        self.connecting = True
        self.crowd.selector.register(self.socket, selectors.EVENT_WRITE, self)

    def connected(self) -> None:
        assert self.socket is not None
        trouble = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if trouble in (errno.ECONNREFUSED, errno.ETIMEDOUT):
            self.refused()
            return
        if trouble:  # the kernel had let it in, and then it was thrown out
            self.lost(os.strerror(trouble))
            return
        self.connecting = False
        self.crowd.selector.modify(self.socket, selectors.EVENT_READ, self)
        self.ask()

    def ask(self) -> None:
        assert self.socket is not None
        self.asked += 1
        self.token = b"%d-%d" % (self.number, self.asked)
        close = b"" if self.keeps else b"Connection: close\r\n"
        query = b"%b&sleep=%g" % (self.token, self.sleep_s) if self.sleep_s else self.token
        if self.asked % 2:
            request = b"GET /echo?token=%b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (query, close)
        else:
            head = b"POST /echo?token=%b HTTP/1.1\r\nHost: a\r\n%bContent-Length: 4\r\n\r\nbody"
            request = head % (query, close)
        if self.ended():
            self.closed()
            return
        try:
            sent = self.socket.send(request)
        except OSError as error:
            self.lost(f"cannot send: {error.strerror}")
            return
        assert sent == len(request)
        if self.used and self.ended():
            self.closed()
            return
        self.received = b""
        self.waiting = True

    def ended(self) -> bool:
        """Whether the other side has ended a connection on which nothing is owed."""
        assert self.socket is not None
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            # One that has not been used was let in by the kernel and then thrown out.
            return self.used

    def readable(self) -> None:
        assert self.socket is not None
        try:
            data = self.socket.recv(1 << 16)
        except OSError as error:
            data = b""
            trouble = str(error.strerror)
        else:
            trouble = "the connection ended"
        if not self.waiting:
            self.closed()
        elif not data:
            self.lost(f"{trouble} after {len(self.received)} bytes of the answer")
        else:
            self.received += data
            self.look_for_answer()

    def look_for_answer(self) -> None:
        head, ends, body = self.received.partition(b"\r\n\r\n")
        if not ends:
            return
        fields = head.lower()
        length = int(fields.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        status = int(head[9:12])
        self.waiting = False
        self.used = True
        counts = self.crowd.counts
        counts["answered"] += 1
        counts[status] += 1
        if status == 200 and b'"' + self.token + b'"' not in body:
            self.crowd.wrong.append(f"{self.token!r} was answered {body!r}")
        if self.crowd.closes_promised and b"connection: close" not in fields:
            counts["kept"] += 1
        if not self.keeps or b"connection: close" in fields:
            self.drop()
        self.rest(self.pause_s * random.uniform(0.2, 1.8))

    def refused(self) -> None:
        self.crowd.counts["refused"] += 1
        self.drop()
        self.rest(ASK_AGAIN_S)

    def closed(self) -> None:
        self.crowd.counts["closed"] += 1
        if not self.used:
            self.crowd.counts["closed unused"] += 1
        self.drop()
        self.rest(0.0)

    def lost(self, why: str) -> None:
        kind = "kept-alive" if self.used else "new"
        self.crowd.lost.append(f"{kind} connection, request {self.asked} of {self.number}: {why}")
        self.drop()
        self.rest(ASK_AGAIN_S)

    def rest(self, seconds: float) -> None:
        self.wake_at = time.monotonic() + seconds

    def drop(self) -> None:
        self.waiting = self.connecting = False
        if self.socket is not None:
            if self.socket in self.crowd.selector.get_map():
                self.crowd.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None

    @property
    def at_work(self) -> bool:
        return self.waiting or self.connecting

    def wake(self) -> None:
        """It is time for another request."""
        if self.socket is None:
            self.connect()
        else:
            self.ask()


class Crowd:
    """All of them, in a thread of their own; a context manager, at whose end every answer that is owed has come."""

    def __init__(self, url: str, *, slow_s: float = 0.3) -> None:
        """The handler is `primectl.handlers.echo:echo` at /echo."""
        parts = urlsplit(url)
        self.path = url.removeprefix("unix:") if url.startswith("unix:") else None
        self.address = (parts.hostname, parts.port)
        self.selector = selectors.DefaultSelector()
        self.counts: Counter[str | int] = Counter()
        self.lost: list[str] = []
        self.wrong: list[str] = []
        self.closes_promised = False
        """From now on every answer should say that the connection ends with it; those that do not are `kept`."""
        kinds = [
            *[{"keeps": False, "pause_s": 0.002, "sleep_s": 0.0}] * 6,
            *[{"keeps": True, "pause_s": 0.0, "sleep_s": 0.0}] * 6,
            *[{"keeps": True, "pause_s": 0.1, "sleep_s": 0.0}] * 12,
            *[{"keeps": True, "pause_s": 0.0, "sleep_s": slow_s}] * 2,
            *[{"keeps": False, "pause_s": 0.0, "sleep_s": slow_s}] * 2,
        ]
        self.customers = [Customer(self, number, **kind) for number, kind in enumerate(kinds)]  # type: ignore[arg-type]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowd")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for customer in self.customers:
            customer.drop()
        self.selector.close()

    def _run(self) -> None:
        until: float | None = None
        while True:
            now = time.monotonic()
            if self._over.is_set():
                until = until or now + PATIENCE_S
                if now >= until or not any(customer.waiting for customer in self.customers):
                    break
            else:
                for customer in self.customers:
                    if not customer.at_work and customer.wake_at <= now:
                        customer.wake()
            for key, _ in self.selector.select(0.002):
                customer = key.data
                (customer.connected if customer.connecting else customer.readable)()
        self.lost += [f"request of {c.number}: no answer in time" for c in self.customers if c.waiting]

    @property
    def told(self) -> str:
        return f"{dict(self.counts)}, lost {self.lost[:5]}, wrong {self.wrong[:3]}"
