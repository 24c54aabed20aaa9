"""§ Questions about recorded requests are handed on to the recorder, and its answers handed back.

The supervisor reads no journal: that may take its disk's time. What is asked and what is answered goes through as it
is, under a number of our own; nobody is waited for. A recorder that does not answer, or ends, costs the console an
answer in words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import zmq
from msgspec import Struct

from primectl.config.topology import JOURNAL, RECORDER, Place
from primectl.control.sockets import open_socket, receive, try_send
from primectl.errors import WireError
from primectl.wire import frames
from primectl.wire.control import Refusal, Reply, Request
from supervisor.events import Asker

UNDER_WAY = 64
ANSWER_S = 4.0
"""For the recorder to answer; a console waits for five seconds."""
REPLIES_A_TURN = 64
WITHOUT = "`primectl requests` reads the journal by itself"


class _Question(NamedTuple):
    asker: Asker
    timer: asyncio.TimerHandle


class JournalLink:
    """The link to the recorder, opened with the first question to it.

    `recorder` tells the incarnation of the one that runs, or why there is none; `complain` hears of what is no answer.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        place: Place,
        *,
        recorder: Callable[[], int | Refusal],
        reply: Callable[[bytes, Reply], None],
        complain: Callable[[str, str], None],
    ) -> None:
        self._loop = loop
        self._place = place
        self._recorder = recorder
        self._reply = reply
        self._complain = complain
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._incarnation = 0
        """Of the recorder at the other end."""
        self._number = 0
        self._questions: dict[int, _Question] = {}

    def ask(self, asker: Asker, request: Request, body: Struct) -> None:
        """Hand on what is asked; `body` is that of the request, checked."""
        incarnation = self._recorder()
        if isinstance(incarnation, Refusal):
            self._refuse(asker, 409, incarnation)
            return
        if len(self._questions) >= UNDER_WAY:
            self._refuse(asker, 409, Refusal("too many questions about the journal are under way", mend="Ask again"))
            return
        if incarnation != self._incarnation:
            self._hang_up("it was replaced")
            self._incarnation = incarnation
        socket = self._socket or self._connect()
        self._number += 1
        number = self._number
        question = Request(number, request.method, request.path, frames.raw(body), request.operator)
        if not try_send(socket, [frames.encode(question)]):
            self._refuse(asker, 409, Refusal("the recorder does not read what it is asked", mend=WITHOUT))
            return
        self._questions[number] = _Question(asker, self._loop.call_later(ANSWER_S, self._too_late, number))
        self._loop.call_soon(self._drain)  # sending may have used up the edge that an answer made

    def ended(self, process: str, incarnation: int) -> None:
        """A process is gone; whoever waits for an answer of the recorder is told at once."""
        if process == RECORDER and incarnation == self._incarnation:
            self._hang_up("it has ended")

    def close(self) -> None:
        for question in self._questions.values():
            question.timer.cancel()
        self._questions.clear()
        self._disconnect()
        if self._context is not None:
            self._context.term()

    def _connect(self) -> zmq.Socket[bytes]:
        self._context = self._context or zmq.Context()
        socket = self._socket = open_socket(self._context, zmq.DEALER, queue=UNDER_WAY, heartbeat_ms=0)
        socket.connect(self._place.endpoint(JOURNAL))
        self._loop.add_reader(socket.fileno(), self._drain)
        return socket

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _hang_up(self, why: str) -> None:
        self._incarnation = 0
        self._disconnect()
        questions, self._questions = self._questions, {}
        for question in questions.values():
            question.timer.cancel()
            self._refuse(question.asker, 409, Refusal(f"the recorder gives no answer: {why}", mend="Ask again"))

    def _drain(self) -> None:
        while self._socket is not None and (messages := receive(self._socket, REPLIES_A_TURN)):
            for message in messages:
                self._answered(message[-1])

    def _answered(self, frame: bytes) -> None:
        try:
            reply: Reply = frames.control_reply(frame)
        except WireError as error:
            self._complain(JOURNAL, str(error))
            return
        question = self._questions.pop(reply.id, None)
        if question is not None:  # else it came too late
            question.timer.cancel()
            self._reply(question.asker.address, Reply(question.asker.request, reply.status, reply.body))

    def _too_late(self, number: int) -> None:
        question = self._questions.pop(number)
        refusal = Refusal(f"the recorder has not answered within {ANSWER_S:g} s", mend=WITHOUT)
        self._refuse(question.asker, 504, refusal)

    def _refuse(self, asker: Asker, status: int, refusal: Refusal) -> None:
        self._reply(asker.address, Reply(asker.request, status, frames.raw(refusal)))
