"""A supervisor's sockets and nothing behind them: what a console asks is kept, what it is answered the test decides."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq
from msgspec import Struct

from primectl.config.topology import Place
from primectl.wire import frames
from primectl.wire.control import Reply, Request
from primectl.wire.stats import FeedMessage

Answers = Callable[[Request], Sequence[Reply | bytes]]


def replies(*bodies: Struct, status: int = 200) -> Answers:
    """Progress for all bodies but the last, which is the final reply."""

    def answer(request: Request) -> list[Reply | bytes]:
        *before, last = bodies
        return [
            *(Reply(request.id, 102, frames.raw(body)) for body in before),
            Reply(request.id, status, frames.raw(last)),
        ]

    return answer


class FakeSupervisor:
    """Answers `requests` requests from a thread of its own, then closes its socket as a supervisor that leaves does."""

    def __init__(self, place: Place, answers: Answers, *, requests: int = 1) -> None:
        self.seen: list[Request] = []
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 2000)
        self._router.bind(place.endpoint("control"))
        self._thread = threading.Thread(target=self._serve, args=(answers, requests))
        self._thread.start()

    def _serve(self, answers: Answers, requests: int) -> None:
        for _ in range(requests):
            if not self._router.poll(10_000):
                break
            sender, frame = self._router.recv_multipart()
            request = frames.control_request(frame)
            self.seen.append(request)
            for reply in answers(request):
                self._router.send_multipart([sender, reply if isinstance(reply, bytes) else frames.encode(reply)])
        self._router.close()
        self._context.term()

    def join(self) -> None:
        self._thread.join(15)
        assert not self._thread.is_alive()


class FakeFeed:
    """The feed of a supervisor: sends everything to every subscriber that asks for a topic of it, at once."""

    def __init__(self, place: Place, messages: Sequence[tuple[str, FeedMessage]], *, subscriptions: int = 1) -> None:
        self._context = zmq.Context()
        self._publisher = self._context.socket(zmq.XPUB)
        self._publisher.setsockopt(zmq.LINGER, 0)
        self._publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._publisher.bind(place.endpoint("feed"))
        self._thread = threading.Thread(target=self._serve, args=(messages, subscriptions))
        self._stopped = threading.Event()
        self._thread.start()

    def _serve(self, messages: Sequence[tuple[str, FeedMessage]], subscriptions: int) -> None:
        for _ in range(subscriptions):
            if not self._publisher.poll(10_000):
                break
            self._publisher.recv()
            for topic, message in messages:
                self._publisher.send_multipart([topic.encode(), frames.encode(message)])
        self._stopped.wait(10)
        self._publisher.close()
        self._context.term()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join(15)
        assert not self._thread.is_alive()


class PidFile:
    """A pid file locked as a running supervisor locks it, by this process."""

    def __init__(self, place: Place) -> None:
        Path(place.runtime).mkdir(parents=True, exist_ok=True)
        self._file = open(place.pid_file, "w")  # noqa: SIM115  the lock lasts as long as it is open
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
