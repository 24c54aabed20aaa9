"""§ Answers what consoles ask about the journal, in a thread and with a connection of its own: a question may take a
while, and rows must not wait for it. What waits is bounded: more is refused with 409."""

from __future__ import annotations

import os
import threading
from collections import deque

import msgspec
import zmq

from primectl.config.topology import JOURNAL, Place
from primectl.control.log import ProcessLog
from primectl.control.sockets import CALM_HEARTBEAT_MS, REPORT_QUEUE, open_socket, receive, try_send
from primectl.errors import ConfigError, JournalError, NotFound, PrimectlError, WireError
from primectl.journal.archive import Archive
from primectl.wire import frames
from primectl.wire.control import Refusal, Reply, Request
from primectl.wire.journal import EntryQuery, RequestsQuery

MOST_WAITING = 16
MESSAGES_A_TURN = 64
BUSY = Refusal("too many questions to the journal at once", JOURNAL, "Ask again in a moment")


class Desk:
    """The thread runs from `start` to `close`."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], place: Place, log: ProcessLog) -> None:
        self._archive = Archive(place.journal_file)
        self._log = log
        self._socket = open_socket(context, zmq.ROUTER, queue=REPORT_QUEUE, heartbeat_ms=CALM_HEARTBEAT_MS)
        self._socket.bind(place.endpoint(JOURNAL))
        self._closing = os.eventfd(0)
        self._waiting: deque[tuple[bytes, Request]] = deque()
        self._thread = threading.Thread(target=self._run, name="questions", daemon=True)
        self.malformed = 0

    def start(self) -> None:
        """From now on the socket is the thread's."""
        self._thread.start()

    def close(self) -> None:
        """Ends after the question that is being answered."""
        os.eventfd_write(self._closing, 1)
        self._thread.join()
        os.close(self._closing)

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._closing, zmq.POLLIN)
        try:
            while self._closing not in dict(poller.poll(0 if self._waiting else None)):
                self._take_in()
                if self._waiting:
                    asker, question = self._waiting.popleft()
                    try_send(self._socket, [asker, frames.encode(self._answer(question))])
        finally:
            self._archive.close()
            self._socket.close()

    def _take_in(self) -> None:
        for message in receive(self._socket, MESSAGES_A_TURN):
            try:
                asker, frame = message
                question: Request = frames.control_request(frame)
            except (ValueError, WireError):
                self.malformed += 1
                continue
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append((asker, question))
            else:
                try_send(self._socket, [asker, frames.encode(Reply(question.id, 409, frames.raw(BUSY)))])

    def _answer(self, question: Request) -> Reply:
        try:
            return Reply(question.id, 200, frames.raw(self._look_up(question)))
        except (ConfigError, WireError) as error:
            return _refusal(question, 400, error)
        except NotFound as error:
            return _refusal(question, 404, error)
        except JournalError as error:
            return _refusal(question, 500, error)
        except Exception as error:  # the edge of the thread: who asked gets an answer, and the next one too
            self._log.error(f"{question.method} {question.path} failed: {error!r}")
            return _refusal(question, 500, PrimectlError(f"the recorder could not answer: {error!r}", JOURNAL))

    def _look_up(self, question: Request) -> msgspec.Struct:
        match question.method, question.path:
            case "GET", "/requests":
                return self._archive.query(frames.body(question.body, RequestsQuery, JOURNAL))
            case "GET", "/requests/entry":
                return self._archive.entry(frames.body(question.body, EntryQuery, JOURNAL).id)
            case _:
                raise NotFound(f"nothing is known of {question.method} {question.path}", JOURNAL)


def _refusal(question: Request, status: int, error: PrimectlError) -> Reply:
    what = str(error) if isinstance(error, ConfigError) else error.what
    where, mend = ("", "") if isinstance(error, ConfigError) else (error.where, error.mend)
    return Reply(question.id, status, frames.raw(Refusal(what, where, mend)))
