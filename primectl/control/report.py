"""§ A data-plane process tells the supervisor how it does, and hears its commands.

Both sockets belong to the thread that makes the `Reporter`. Nothing here waits: with no supervisor, reports are dropped
at the high-water mark and no command comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import zmq

from primectl.config.topology import COMMANDS, STATS, Place
from primectl.control import stacks
from primectl.control.log import reopen_own
from primectl.control.sockets import CALM_HEARTBEAT_MS, REPORT_QUEUE, open_socket, receive
from primectl.errors import WireError
from primectl.wire import frames
from primectl.wire.control import ALL, Command, Dump, Hello, Reopen, pool_topic, process_topic, role_topic
from primectl.wire.stats import Acknowledged, Dumped, Ready, Report, ReportEnvelope, Role

COMMANDS_A_TURN = 256


class Reporter:
    """One process's line to the supervisor. `malformed` counts frames on `commands` that were no command."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        place: Place,
        process: str,
        incarnation: int,
        role: Role,
        pool: str = "",
    ) -> None:
        self._process = process
        self._incarnation = incarnation
        self._sequence = 0
        self.malformed = 0
        self.about: Callable[[], str] = str
        """What a dump of this process begins with: what it is at."""
        self.first_word: Callable[[], Report] | None = None
        """What is said together with READY."""
        topics = [ALL, role_topic(role), process_topic(process)]
        if pool:
            topics.append(pool_topic(pool))
        self._topics = frozenset(topic.encode() for topic in topics)
        self.commands = open_socket(context, zmq.SUB, queue=REPORT_QUEUE, heartbeat_ms=CALM_HEARTBEAT_MS)
        for topic in self._topics:
            self.commands.subscribe(topic)
        self._stats = open_socket(context, zmq.PUB, queue=REPORT_QUEUE, linger_ms=200, heartbeat_ms=CALM_HEARTBEAT_MS)
        self._stats.connect(place.endpoint(STATS))
        self.commands.connect(place.endpoint(COMMANDS))
        self._topic = process.encode()

    def receive(self) -> list[Command]:
        """The commands that have arrived for this process. HELLO and DUMP are answered here: call it once all is set
        up."""
        commands: list[Command] = []
        while messages := receive(self.commands, COMMANDS_A_TURN):
            for message in messages:
                if len(message) != 2:
                    self.malformed += 1
                    continue
                topic, frame = message
                if topic not in self._topics:
                    continue
                try:
                    command: Command = frames.command(frame)
                except WireError:
                    self.malformed += 1
                    continue
                if isinstance(command, Hello):
                    self.publish(Ready(os.getpid()))
                    if self.first_word is not None:
                        self.publish(self.first_word())
                elif isinstance(command, Dump):
                    self.publish(Dumped(command.command, stacks.stacks(self.about())))
                elif isinstance(command, Reopen):
                    reopen_own(rotate=command.rotate)
                    self.publish(Acknowledged(command.command))
                else:
                    commands.append(command)
            if len(messages) < COMMANDS_A_TURN:
                break
        return commands

    def publish(self, report: Report) -> None:
        """Send a report; a PUB socket drops it when nobody listens or the queue is full."""
        self._sequence += 1
        envelope = ReportEnvelope(self._process, self._incarnation, self._sequence, report)
        self._stats.send_multipart([self._topic, frames.encode(envelope)], zmq.NOBLOCK)

    def close(self) -> None:
        self.commands.close()
        self._stats.close()
