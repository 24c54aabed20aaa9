"""What the supervisor and a pool's zygote say to each other, one message a packet over a SOCK_SEQPACKET pair.

The zygote imports the pool's handler once and forks a worker for each wish. A worker is re-parented to the
supervisor, which is a child subreaper (prctl(2)). The zygote leaves when it is told to; it outlives a supervisor that
dies (its end of the channel closes), and waits for SIGTERM.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

PACKET_LIMIT = 128 << 10
"""Bytes of one packet; `ForkWorkers` is split by the supervisor to stay below it."""
FORKS_A_PACKET = 256


class Wish(Struct, array_like=True, frozen=True):
    """A worker to be: its process id name, such as `compute.3`, and the incarnation it reports with."""

    worker: str
    incarnation: int


class Birth(Struct, array_like=True, frozen=True):
    """A worker that was forked. Its pid belongs to the supervisor, which has to reap it."""

    worker: str
    incarnation: int
    pid: int


class ForkWorkers(Struct, array_like=True, frozen=True, tag="F"):
    wishes: list[Wish]


class Leave(Struct, array_like=True, frozen=True, tag="L"):
    """Nobody wants workers of you any more."""


class Reopen(Struct, array_like=True, frozen=True, tag="O"):
    """As the command of that name; it is not answered."""

    rotate: bool = False


ToZygote = ForkWorkers | Leave | Reopen


class Imported(Struct, array_like=True, frozen=True, tag="I"):
    """The handler is imported; wishes are welcome."""


class ImportFailed(Struct, array_like=True, frozen=True, tag="E"):
    """The handler cannot be imported; `traceback` ends with the error itself. The zygote leaves with status 1."""

    traceback: str


class Forked(Struct, array_like=True, frozen=True, tag="B"):
    """Answers one `ForkWorkers`; what could not be forked (EAGAIN, ENOMEM) is missing from it, `error` says why."""

    births: list[Birth]
    error: str = ""


FromZygote = Imported | ImportFailed | Forked

to_zygote = msgspec.msgpack.Decoder(ToZygote).decode
from_zygote = msgspec.msgpack.Decoder(FromZygote).decode
encode = msgspec.msgpack.Encoder().encode
