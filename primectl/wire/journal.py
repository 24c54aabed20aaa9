"""Step 9: what becomes of every request, from the servers to the recorder, and what the journal answers when asked.

`Record` is what a server knows when a request has ended; the recorder makes rows of it. `Row` and `Entry` are what
readers get: the journal's control API, the console, `requests --json` and exported files all carry these.

    GET  /requests        RequestsQuery   -> Requests
    GET  /requests/entry  EntryQuery      -> Entry

The supervisor hands both on to the recorder, whose socket `journal` answers with `control.Reply` as the supervisor
does.
New fields go last, with a default.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from primectl.message import Headers
from primectl.wire.job import RequestId

REPLAY_HEADER = "x-primectl-replay"
"""`<run>/<id>`: sent along by every replay: the run that it belongs to and the X-Request-Id of the original."""


# --- the way through the pools ----------------------------------------------------------------------------------------


class Hop(Struct, array_like=True, frozen=True, gc=False):
    """One pool's part in a request. `begun` and `ended` are when its handler ran, in CLOCK_MONOTONIC seconds.

    `worker` is the id of the worker, or the name of the pool, where none had begun it: then it waited until `ended`.
    What lies between the hop before (or the server) and `begun` is waiting, attempts that were lost included.
    """

    worker: str
    begun: float
    ended: float
    attempt: int = 1
    failed: bool = False


EMPTY_TRAIL = b""
"""Of a request that has been nowhere yet."""
_FRONTS = tuple(bytes((0x90 | count,)) for count in range(16))
"""How a msgpack array of so many begins; a longer one says it in three bytes."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Hop]).decode


def add_hop(trail: bytes, hop: Hop) -> bytes:
    """The trail with one hop more. A trail is a msgpack array of `Hop`, or empty, which nobody on the way has to read.

    Only the count in front of it changes, so its length does not matter to those who hand it on.
    """
    encoded = _encode(hop)
    if not trail:
        return b"\x91" + encoded
    if trail[0] != 0xDC:
        count = (trail[0] & 0x0F) + 1
        front = _FRONTS[count] if count < len(_FRONTS) else b"\xdc" + count.to_bytes(2, "big")
        return front + trail[1:] + encoded
    count = int.from_bytes(trail[1:3], "big") + 1
    return b"\xdc" + count.to_bytes(2, "big") + trail[3:] + encoded


def hops_of(trail: bytes) -> list[Hop]:
    """Raises msgspec.MsgspecError for what is no trail."""
    return _decode(trail) if trail else []


# --- servers to the recorder ------------------------------------------------------------------------------------------

DEAD = 1
"""`Record.flags`: a dead letter: its proxy has given it up."""
LEFT = 2
"""The client left before the answer was whole."""
TIMED_OUT = 4
STREAMED = 8
"""The answer came bit by bit."""
BROKEN = 16
"""A streamed answer that did not come to its end."""


class Record(Struct, array_like=True, frozen=True, gc=False):
    """A request and its end. `began` and `ended` are CLOCK_MONOTONIC seconds: the request was whole, its answer was.

    `asked` is the request as msgpack of `message.Request`. Both bodies are cut to `journal.max_body`; `asked_bytes` and
    `body_bytes` are their whole lengths. `status` 0: the client got no answer. `worker` is the process that made the
    answer, `pool` the first pool ("" where no route was found), `problem` what the answer itself does not say.
    """

    request: RequestId
    began: float
    ended: float
    asked: bytes
    asked_bytes: int
    status: int
    fields: Headers
    body: bytes
    body_bytes: int
    worker: str
    pool: str
    attempts: int = 1
    trail: bytes = EMPTY_TRAIL
    flags: int = 0
    problem: str = ""


class Records(Struct, array_like=True, frozen=True, tag="E"):
    """Records of one run of a server, in the order in which they ended; PUSH to the recorder.

    `first` is the number of the first one, counted from 1 over the server's run. A server sends again what was not
    said to be `Written`, so numbers may repeat; a gap is what it had to drop, `dropped` in all so far. `clock` is what
    to add to monotonic seconds for Unix seconds.
    """

    server: str
    incarnation: int
    first: int
    clock: float
    dropped: int
    records: list[Record]


class Written(Struct, array_like=True, frozen=True, tag="N"):
    """To `loopback.<server>`, from the recorder: the records of this run of the server up to number `last` are on disk,
    or were left out for good; the server can forget them."""

    incarnation: int
    last: int


# --- what readers get -------------------------------------------------------------------------------------------------


class HopTimes(Struct, frozen=True):
    """One pool's part in a request, for people: milliseconds waiting for a worker, and in the handler."""

    pool: str
    worker: str
    """Empty where none had begun it."""
    queued_ms: float
    served_ms: float
    attempt: int = 1
    failed: bool = False


class Row(Struct, frozen=True, kw_only=True):
    """A recorded request in a list. `time` is Unix seconds at which the request was whole, `ms` until its answer was.

    `id` is its X-Request-Id, `number` its place in the journal, which grows with time. `status` is 0 where the client
    got no answer, `problem` says why there was none or what was wrong. `size` and `asked_size` are bytes of the whole
    bodies. `replay_of` is the id of the original of a replay, `replay_run` the run that sent it.
    """

    id: str
    number: int = 0
    time: float
    method: str
    path: str
    query: str = ""
    """Of the target, as it was sent, without the question mark."""
    status: int
    ms: float
    pool: str = ""
    worker: str = ""
    server: str = ""
    client: str = ""
    attempts: int = 1
    size: int = 0
    asked_size: int = 0
    problem: str = ""
    hops: list[HopTimes] = []
    cut: bool = False
    """The body of the request is not whole: it cannot be replayed."""
    answer_cut: bool = False
    dead: bool = False
    redeemed: bool = False
    """A dead letter of which a replay has succeeded."""
    streamed: bool = False
    imported: bool = False
    replay_of: str = ""
    replay_run: str = ""


class Entry(Struct, frozen=True, kw_only=True):
    """A recorded request with all there is. Bodies are as recorded: cut where the row says so.

    `redacted` names what was taken out before it was written: `header NAME`, `query KEY`, `body /POINTER`, `answer
    header NAME`, `answer body /POINTER`. In its place stands `redacted:<bytes>:<16 hex digits>`, the digits being the
    same for the same value in the same cluster.
    """

    row: Row
    version: str = "1.1"
    scheme: str = "http"
    fields: Headers = ()
    body: bytes = b""
    answer_fields: Headers = ()
    answer_body: bytes = b""
    redacted: list[str] = []

    @property
    def target(self) -> str:
        """The request target: path and query as they were sent."""
        return f"{self.row.path}?{self.row.query}" if self.row.query else self.row.path


class RequestsQuery(Struct, frozen=True):
    """The newest `last` rows (at most 1000) that fit, newest first; with `after`, the first ones above that number,
    oldest first.

    `where` is a filter as `requests --where` takes it. `since` and `until` are Unix seconds, 0 for open. `originals`
    leaves replays out, `dead` all but dead letters that are not redeemed.
    """

    where: str = ""
    last: int = 50
    after: int = 0
    since: float = 0.0
    until: float = 0.0
    originals: bool = False
    dead: bool = False


class Requests(Struct, frozen=True):
    """`kept` is the number of rows in the journal, `newest` the number of its newest row."""

    requests: list[Row]
    kept: int = 0
    newest: int = 0


class EntryQuery(Struct, frozen=True):
    """`id` is an X-Request-Id, or the end of one: the newest that ends so is meant if all of these are one request."""

    id: str
