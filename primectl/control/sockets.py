"""§ ZeroMQ sockets with the options that every link of ours has: bounded, with heartbeats, drained to EAGAIN."""

from __future__ import annotations

from typing import cast

import zmq

from primectl.wire.frames import FRAME_LIMIT

HEARTBEAT_MS = 500
CALM_HEARTBEAT_MS = 15_000
"""For links that only report and command, between processes of one host: the kernel tells when a peer is gone, and
with 64 idle workers quicker pings would cost the supervisor a percent of a core."""
HEARTBEAT_TIMEOUT_MS = 5000
"""How long a peer may be silent on a link: well above a stall of a busy machine, well below a request's deadline."""
BATCH_QUEUE = 64
"""High-water mark of data-plane links, in messages; each is a batch of at most about 1 MiB."""
REPORT_QUEUE = 1000
"""High-water mark of stats, commands and feed, in messages: small ones, dropped beyond it."""
RECONNECT_MS = 10
RECONNECT_MAX_MS = 200

Frames = list[bytes]

# As plain numbers: arithmetic with pyzmq's enums costs more than what they ask the socket for.
_EVENTS = int(zmq.EVENTS)
_RCVMORE = int(zmq.RCVMORE)
_POLLIN = int(zmq.POLLIN)
_POLLOUT = int(zmq.POLLOUT)
_NOBLOCK = int(zmq.NOBLOCK)
_NOBLOCK_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


def open_socket(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    *,
    queue: int,
    linger_ms: int = 0,
    identity: bytes = b"",
    heartbeat_ms: int = HEARTBEAT_MS,
) -> zmq.Socket[bytes]:
    """A socket that is neither bound nor connected. `queue` bounds each direction in messages a peer."""
    socket = context.socket(kind)
    socket.set(zmq.LINGER, linger_ms)
    socket.set(zmq.SNDHWM, queue)
    socket.set(zmq.RCVHWM, queue)
    socket.set(zmq.MAXMSGSIZE, FRAME_LIMIT)
    socket.set(zmq.HEARTBEAT_IVL, heartbeat_ms)
    socket.set(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    if identity:
        socket.set(zmq.IDENTITY, identity)
    return socket


def connect_present(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, endpoint: str, *, linger_ms: int
) -> zmq.Socket[bytes]:
    """A data-plane link that queues nothing for a peer that is not there: it would be lost, or reach a successor.

    What cannot be sent stays with the sender, where a deadline or a disconnect can still reach it.
    """
    socket = open_socket(context, kind, queue=BATCH_QUEUE, linger_ms=linger_ms)
    socket.set(zmq.IMMEDIATE, 1)
    socket.connect(endpoint)
    return socket


def receive(socket: zmq.Socket[bytes], limit: int) -> list[Frames]:
    """The messages that have arrived, at most `limit` of them, without waiting.

    The socket's fd is edge-triggered: with exactly `limit` messages there may be more, and nothing will say so.
    """
    messages: list[Frames] = []
    while len(messages) < limit and readable(socket):  # asking costs a third of an EAGAIN raised
        message = [socket.recv(_NOBLOCK)]
        while socket.get(_RCVMORE):
            message.append(socket.recv(_NOBLOCK))
        messages.append(message)
    return messages


def readable(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message waits. To be asked after sending too: a send may use up the edge that a message made."""
    return bool(_events(socket) & _POLLIN)


def writable(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message would be taken, by some peer that is connected."""
    return bool(_events(socket) & _POLLOUT)


def try_send(socket: zmq.Socket[bytes], frames: list[bytes]) -> bool:
    """Send without waiting; False when the queue is full or nobody is connected."""
    for _ in range(2):
        try:
            for frame in frames[:-1]:
                socket.send(frame, _NOBLOCK_MORE)
            socket.send(frames[-1], _NOBLOCK)
        except zmq.Again:
            # libzmq looks only now and then for what the peer has read meanwhile; asking for events makes it look.
            if not writable(socket):
                return False
        else:
            return True
    return False


def _events(socket: zmq.Socket[bytes]) -> int:
    return cast("int", socket.get(_EVENTS))
