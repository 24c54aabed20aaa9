"""The data plane: what server, proxy, worker and loopback say to each other.

A request keeps one number from its first byte to its last; a *job* is that request at one pool:

    job id   | run token 16 bits | serial 36 bits | hop 12 bits |

The run token belongs to one run of one server, so an answer from an earlier run is recognised and dropped. Each
`Forward` adds one to the hop. A message is one frame and carries a batch: whatever became ready in one turn of the
sender's loop. A payload is opaque bytes to everyone but the handler's worker. New fields go last, with a default.
"""

from __future__ import annotations

from typing import NewType

from msgspec import Struct

from primectl.message import Headers

JobId = NewType("JobId", int)
RequestId = NewType("RequestId", int)

HOP_BITS = 12
SERIAL_BITS = 36
HOP_LIMIT = (1 << HOP_BITS) - 1

REQUEST = 0
"""`WireJob.kind` of a payload that holds a `message.Request`."""
VALUE = 1
"""`WireJob.kind` of a payload that holds what a handler gave to `Forward`."""


def first_job(incarnation: int, serial: int) -> JobId:
    """The id of request number `serial` of one run of a server, at its first pool."""
    token = incarnation & 0xFFFF
    return JobId(((token << SERIAL_BITS) | (serial & ((1 << SERIAL_BITS) - 1))) << HOP_BITS)


def request_of(job: JobId) -> RequestId:
    """The request that a job belongs to, the same at every hop."""
    return RequestId(job >> HOP_BITS)


def hop_of(job: JobId) -> int:
    """How often the request was forwarded before it became this job."""
    return job & HOP_LIMIT


def request_name(request: RequestId) -> str:
    """The request's id as clients see it in X-Request-Id: 13 hexadecimal digits."""
    return f"{request:013x}"


STREAM_GOES_ON = 0
STREAM_COMPLETE = 1
STREAM_BROKEN = 2
"""`StreamPart.end`: more follows; that was all; the handler failed half-way, the client must see that it is cut."""
STREAM_WINDOW = 256 << 10
"""Bytes of a streamed body that may be sent before the first `Allow`, and that a server keeps for a client."""


class WireJob(Struct, array_like=True, frozen=True, gc=False):
    """One request at one pool. `deadline` is CLOCK_MONOTONIC seconds, which every process of the host shares."""

    id: JobId
    origin: str
    deadline: float
    kind: int
    retryable: bool
    """Whether it may run again when its worker is lost: the method is idempotent (RFC 9110 9.2.2)."""
    payload: bytes
    attempt: int = 1
    key: str = ""
    """Its affinity: it goes to an idle worker that served this key last, where there is one; "" for none."""
    trail: bytes = b""
    """Where the request has been (`wire.journal.add_hop`)."""


class Jobs(Struct, array_like=True, frozen=True, tag="J"):
    """Jobs to queue (to a proxy) or to run (to a worker), in order."""

    jobs: list[WireJob]


class JobsAgain(Struct, array_like=True, frozen=True, tag="K"):
    """A server's open jobs, sent once more since their proxy was lost. They may be held by a worker, or have run."""

    jobs: list[WireJob]


class Cancel(Struct, array_like=True, frozen=True, tag="X"):
    """These requests are no longer waited for, wherever they are."""

    requests: list[RequestId]


class Allow(Struct, array_like=True, frozen=True, tag="F"):
    """A streamed answer may send its body up to byte `limit`, counted from its first: the client reads along.

    From the server by the pool's proxy to the urgent lane of the worker whose work lane is `lane`.
    """

    lane: bytes
    job: JobId
    limit: int


class Announce(Struct, array_like=True, frozen=True, tag="A"):
    """A worker is there and idle but for the jobs it `holds`: said on connecting, and again to a new proxy."""

    worker: str
    incarnation: int
    holds: list[JobId] = []
    key: str = ""
    """Of the job it ran last."""


class Done(Struct, array_like=True, frozen=True, tag="D"):
    """A worker has finished these jobs, their answers are sent; with the last it holds, it is idle again (credit).

    `service_s` is the time that all of them took in the handler, `failed` how many ended in an exception.
    """

    jobs: list[JobId]
    service_s: float
    failed: int = 0
    key: str = ""
    """Of the job it ran last: what the worker has at hand for the next one."""


class Streaming(Struct, array_like=True, frozen=True, tag="Y"):
    """A worker is about to send the first part of this job's answer: from now on it cannot be run by another."""

    job: JobId


class HandBack(Struct, array_like=True, frozen=True, tag="H"):
    """Jobs that a worker had been given and has not begun: they go to others. Nothing of them has run."""

    jobs: list[JobId]


class Beat(Struct, array_like=True, frozen=True, tag="B"):
    """A worker lives. `holding` is the number of jobs it has."""

    worker: str
    incarnation: int
    holding: int


class Leave(Struct, array_like=True, frozen=True, tag="L"):
    """A worker takes no more jobs; the proxy answers `Goodbye` behind the last one it sent."""


class Goodbye(Struct, array_like=True, frozen=True, tag="G"):
    """The proxy will send nothing more to this worker."""


class WhoIsThere(Struct, array_like=True, frozen=True, tag="W"):
    """A proxy has heard from a worker that it does not know: announce yourself (again)."""


class Answer(Struct, array_like=True, frozen=True, gc=False):
    """What becomes of a request. `worker` is the id of the process that made it."""

    job: JobId
    status: int
    fields: Headers
    body: bytes
    worker: str
    attempt: int = 1
    trail: bytes = b""
    """Where the request has been, this answer's pool included (`wire.journal.add_hop`)."""


class Answers(Struct, array_like=True, frozen=True, tag="R"):
    """Answers for the clients of one server."""

    answers: list[Answer]


class StreamBegun(Struct, array_like=True, frozen=True, tag="S"):
    """The head of a streamed answer, and what there is of its body; `lane` is where `Allow` has to go."""

    answer: Answer
    lane: bytes


class StreamPart(Struct, array_like=True, frozen=True, tag="P"):
    """The next bytes of a streamed answer."""

    job: JobId
    attempt: int
    data: bytes
    end: int = STREAM_GOES_ON


class Whereabouts(Struct, array_like=True, frozen=True, tag="T"):
    """Nobody waits for these requests any more, and here they were: each with its trail, this pool included. From a
    proxy that is told so, and from a worker that has let go."""

    places: list[tuple[RequestId, bytes]]


ToProxy = Jobs | JobsAgain | Cancel
"""`pool.<name>.in`: from servers and forwarding workers."""
FromOut = Announce | Done | HandBack | Beat | Leave | Streaming | Cancel | Allow
"""`pool.<name>.out`, to the proxy: from its workers, and from servers by their lanes what overtakes queued jobs."""
ToWorker = Jobs | Cancel | Goodbye | WhoIsThere | Allow
"""`pool.<name>.out`, downwards; `Cancel` and `Allow` come by the urgent lane."""
ToServer = Answers | StreamBegun | StreamPart | Whereabouts
"""`loopback.<server>`: from workers and proxies."""

URGENT = b"!"
"""Before a worker's address: its urgent lane, which its watchdog reads while a job runs."""


def server_lane(server: str, incarnation: int) -> bytes:
    """The identity of a server at `pool.<name>.out`, where it sends what must not queue behind jobs."""
    return f"^{server}#{incarnation}".encode()


def work_lane(worker: str, incarnation: int) -> bytes:
    """The identity of a worker's work lane at `pool.<name>.out`; the urgent lane's has URGENT in front."""
    return f"{worker}#{incarnation}".encode()
