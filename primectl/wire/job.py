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


class Jobs(Struct, array_like=True, frozen=True, tag="J"):
    """Jobs to queue (to a proxy) or to run (to a worker), in order."""

    jobs: list[WireJob]


class Cancel(Struct, array_like=True, frozen=True, tag="X"):
    """These requests are no longer waited for, wherever they are."""

    requests: list[RequestId]


class Announce(Struct, array_like=True, frozen=True, tag="A"):
    """A worker is there and idle but for the jobs it `holds`: said on connecting, and again to a new proxy."""

    worker: str
    incarnation: int
    holds: list[JobId] = []


class Done(Struct, array_like=True, frozen=True, tag="D"):
    """A worker has finished these jobs, their answers are sent; with the last it holds, it is idle again (credit).

    `service_s` is the time that all of them took in the handler, `failed` how many ended in an exception.
    """

    jobs: list[JobId]
    service_s: float
    failed: int = 0


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


class Answers(Struct, array_like=True, frozen=True, tag="R"):
    """Answers for the clients of one server."""

    answers: list[Answer]


ToProxy = Jobs | Cancel
"""`pool.<name>.in`: from servers and forwarding workers."""
FromWorker = Announce | Done | HandBack | Beat | Leave
"""`pool.<name>.out`, upwards."""
ToWorker = Jobs | Cancel | Goodbye | WhoIsThere
"""`pool.<name>.out`, downwards; `Cancel` comes by the urgent lane."""

URGENT = b"!"
"""Before a worker's address: its urgent lane, which its watchdog reads while a job runs."""


def work_lane(worker: str, incarnation: int) -> bytes:
    """The identity of a worker's work lane at `pool.<name>.out`; the urgent lane's has URGENT in front."""
    return f"{worker}#{incarnation}".encode()
