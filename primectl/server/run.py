"""§ Steps 1, 2, 7 and 8: the HTTP server process. Bytes in, jobs out, answers in, bytes out.

Whatever the clients' sockets bring in one turn of the loop leaves as one batch a pool, and an answer batch is written
to its clients in one go. Answers that come bit by bit are let go on as their clients read.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import msgspec
import uvloop
import zmq
from msgspec import structs

from primectl.clock import Clock, SystemClock
from primectl.config.affinity import Affinity
from primectl.config.model import JournalConfig
from primectl.config.topology import RECORDER, loopback
from primectl.control import child
from primectl.control.log import stamp
from primectl.control.memory import Heap
from primectl.control.report import Reporter
from primectl.control.sockets import open_socket, receive
from primectl.control.ways import let_in
from primectl.errors import JournalError, WireError
from primectl.http.connection import STORED_AT_LEAST, Exchange, HttpLimits, Refusal
from primectl.http.response import Answering, http_date
from primectl.journal.key import read_key
from primectl.journal.redact import Redactor
from primectl.message import Request, Response, problem_detail
from primectl.server.accept import BACKLOG, Acceptor, tls_context
from primectl.server.accesslog import AccessLog
from primectl.server.appender import Appender
from primectl.server.backlog import Backlog
from primectl.server.client import IDLE_GRACE_S, Client, Slot
from primectl.server.deadletter import dead_letter
from primectl.server.ledger import Ledger, Open
from primectl.server.lend import lend
from primectl.server.routes import Match, RouteTable, WrongMethod, respond
from primectl.server.tap import Tap
from primectl.server.upstream import Upstream
from primectl.server.wheel import Wheel
from primectl.wire import frames
from primectl.wire.control import KillNow, Lend, ProcessReady, Readiness, Reread, Retire
from primectl.wire.histogram import Histogram
from primectl.wire.job import (
    HOP_BITS,
    REQUEST,
    STREAM_BROKEN,
    STREAM_COMPLETE,
    Allow,
    Answer,
    Answers,
    RequestId,
    StreamBegun,
    StreamPart,
    Whereabouts,
    WireJob,
    first_job,
    request_name,
)
from primectl.wire.journal import BROKEN, DEAD, LEFT, STREAMED, TIMED_OUT, Written
from primectl.wire.stats import Acknowledged, Role, ServerSample

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""RFC 9110 9.2.2."""
MESSAGES_A_TURN = 64
ANSWER_QUEUE = 4
"""High-water mark of the loopback, in messages a peer: each may be a body of many megabytes."""
TICK_S = 0.05
SAMPLE_S = 0.25
IDLE_SAMPLE_S = 1.0
LOG_S = 0.1
RECALL_S = 5.0
"""How long a proxy that does not listen is told at least that a request is cancelled, if its deadline is nearer."""
_encode_request = msgspec.msgpack.Encoder().encode
"""What `frames.encode_payload` does with a Request, which is nothing that could fail."""
STOPPING = "the server is stopping"
UNUSABLE = "the handler's header fields cannot be sent"
GATEWAY = "proxy."
"""What the id of a proxy begins with."""


class Front:
    """The server process: its clients, its open requests, its sockets."""

    def __init__(self, me: child.Child, listener: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        config = me.cluster.config
        place = me.cluster.place
        settings = config.server
        self._me = me
        self._settings = settings
        self._loop = loop
        self.clock: Clock = SystemClock()
        self.limits = HttpLimits.from_config(settings)
        self.scheme = "https" if settings.listen.startswith("https:") else "http"
        self.write_timeout = settings.write_timeout
        self.draining = False
        self._clients: set[Client] = set()
        self._wheel: Wheel[Client] = Wheel()
        self._acceptor = Acceptor(
            listener,
            loop,
            me.log,
            tls=tls_context(settings.certificate, settings.private_key) if self.scheme == "https" else None,
            handshake_timeout=settings.header_timeout,
            welcome=lambda peer: Client(self, peer),
            room=lambda: settings.max_connections - len(self._clients),
        )
        self._backlog = Backlog(place.state)
        self._stuck: dict[Client, None] = {}
        """Clients that have not read all that there is for them, in the order of their last reading."""
        self._arriving = 0
        """Bytes of bodies on their way in."""
        self._routes = RouteTable(config.routes)
        self._own_paths = {settings.health_path, settings.ready_path} - {""}
        self._ledger: Ledger[Slot] = Ledger(
            me.id,
            me.incarnation,
            limit=settings.max_inflight,
            size_limit=settings.max_inflight_size,
            timeout_s=settings.request_timeout,
        )
        self._affinity = Affinity(config, me.cluster.import_path, me.log.error)
        self._affinity.load(set(config.routes.values()))
        self._keyed_pools = self._affinity.pools
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._loopback = open_socket(self._context, zmq.PULL, queue=ANSWER_QUEUE)
        self._loopback.bind(place.endpoint(loopback(me.id)))
        let_in(place, loopback(me.id))
        self._upstream = Upstream(
            self._context, place, config.pools, me.id, me.incarnation, loop, self.clock, self._ledger.__len__
        )
        self._reporter = Reporter(self._context, place, me.id, me.incarnation, Role.SERVER)
        self._proxies: dict[str, int] = {}
        """The incarnation of each proxy that has said it is ready."""
        self._readiness = Readiness(ready=False, reason="the cluster is starting")
        self._dead_letters = Appender(place.dead_letters_file)
        self._redactor: Redactor | None = None
        """For dead letters, from the first one on."""
        self._journal = config.journal
        self._tap = Tap(self._context, place, me.id, me.incarnation, loop, self.clock)
        self._record_as(config.journal)
        self._latency = Histogram()
        self._classes = [0] * 6
        self._counters = {
            "malformed": 0,
            "bad_headers": 0,
            "dead_letters": 0,
            "streams_cut": 0,
            "slow_clients_cut": 0,
            "write_timeouts": 0,
        }
        self._access_log = AccessLog(me.log, self.clock) if settings.access_log else None
        self._logged = 0.0
        self._date = http_date(self.clock.wall())
        self._sampled = 0.0
        self._changed = True
        self._heap = Heap()
        self._drain_until = 0.0
        self._idle_until = 0.0
        """In a drain, until when connections with nothing open may still send a request."""
        self._time_is_up = False
        """The drain has taken as long as it may: nothing more is begun."""
        self._answered_before_drain = 0
        self._drain_cancelled = 0
        self._rereading: asyncio.Task[None] | None = None
        self.done = loop.create_future()

    def start(self) -> None:
        self._loop.add_reader(self._loopback.fileno(), self._answers_arrived)
        self._loop.add_reader(self._reporter.commands.fileno(), self._obey)
        self._loop.add_signal_handler(signal.SIGTERM, self._drain, self._settings.request_timeout)
        self._acceptor.go_on()
        self._answers_arrived()
        self._obey()
        self._tick()

    # --- connections --------------------------------------------------------------------------------------------------

    def came(self, client: Client) -> None:
        """The connection is there."""
        self._clients.add(client)
        if self.draining:
            self._idle_until = self.clock.monotonic() + IDLE_GRACE_S

    def left(self, client: Client) -> None:
        """The connection is gone: nobody waits for what it had open, and nothing of it is kept."""
        self._clients.discard(client)
        self._abandon(client, self.clock.monotonic(), "the client left before its answer was whole")
        client.connection.discard()
        self.account(client)
        self.arrived(client)
        self._stuck.pop(client, None)
        self._wheel.drop(client)
        self._acceptor.go_on()
        if self.draining:
            self._leave_if_done(self.clock.monotonic())

    def look_at(self, client: Client, at: float) -> None:
        """Call the client's `look` at that time, in place of what was said before."""
        self._wheel.set(client, at)

    def arrived(self, client: Client) -> None:
        """More, or no more, of a body is on its way in; too much of all together is refused."""
        connection = client.connection
        more = connection.arriving - client.arriving
        client.arriving = connection.arriving
        self._arriving += more
        if more > 0 and self._ledger.size + self._arriving > self._settings.max_inflight_size:
            now = self.clock.monotonic()
            self.take(
                client, [connection.overload("the requests on their way in are more than this server takes")], now
            )
            self.arrived(client)

    def account(self, client: Client) -> None:
        """Book what the client has not read; where that is too much for memory, put large bodies elsewhere."""
        connection = client.connection
        self._book(client)
        if not client.counted:
            self._stuck.pop(client, None)
            return
        self._stuck.setdefault(client)
        if client.writable:
            self._stuck[client] = self._stuck.pop(client)
        if self._backlog.over_budget and client.counted >= STORED_AT_LEAST:
            failed = self._backlog.failed
            connection.offload(self._backlog.store)
            self._book(client)
            if failed == 0 < self._backlog.failed:
                self._me.log.warn("no room on disk for answers that clients have not read (this is told once)")
        while self._backlog.full and self._stuck:
            slowest = next(iter(self._stuck))
            self._counters["slow_clients_cut"] += 1
            self._me.log.warn(f"{slowest.peer or 'a client'} is cut off: it does not read, and memory is short")
            self._stop_serving(slowest)

    def _book(self, client: Client) -> None:
        connection = client.connection
        kept = connection.held + connection.unsent - connection.offloaded
        if not client.writable and not client.transport.is_closing():
            kept += client.transport.get_write_buffer_size()
        self._backlog.memory += kept - client.counted
        client.counted = kept

    def cut_off(self, client: Client) -> None:
        """The client has read nothing for `write_timeout`."""
        self._counters["write_timeouts"] += 1
        self._stop_serving(client)

    def _stop_serving(self, client: Client) -> None:
        """Reset a connection; the rest follows when it is gone, but for the memory, which is needed now."""
        self._abandon(client, self.clock.monotonic(), "the client was cut off: it did not read its answers")
        client.drop()
        self._book(client)
        self._stuck.pop(client, None)

    def _abandon(self, client: Client, now: float, why: str) -> None:
        """Nobody waits any more for what the client has open."""
        for exchange in client.connection.unanswered():
            request = RequestId(exchange.tag)
            entry = self._ledger.abandon(request)
            if entry is not None:
                self._changed = True
                self._recall(request, entry, now)
                if entry.stream is not None:
                    self._log(exchange, exchange.status, entry.stream.received, now, request_name(request))
                    self._record_stream(entry, now, LEFT, why)
                elif self._tap.enabled:
                    self._record(entry, Answer(entry.job.id, 0, (), b"", "", trail=entry.trail), now, LEFT, why)
        client.streams.clear()

    def _recall(self, request: RequestId, entry: Open[Slot], now: float) -> None:
        """The work on a request is no longer needed."""
        if entry.stream is not None:
            self._upstream.stream_ended(entry.stream.pool, entry.stream.job)
        self._upstream.cancel(request, max(entry.job.deadline, now + RECALL_S))

    # --- requests in --------------------------------------------------------------------------------------------------

    def take(self, client: Client, items: list[Exchange | Refusal], now: float) -> None:
        """What a connection's bytes amounted to."""
        for item in items:
            if type(item) is Exchange:
                self._admit(client, item, now)
            else:
                assert isinstance(item, Refusal)
                self._count(item.status, 0.0)
                if self._access_log is not None:
                    refused = Request(item.method, item.target, client=client.peer)
                    self._access_log.note(refused, item.status, item.body_bytes, 0.0, item.request_id, now)
                if self._tap.enabled:
                    self._tap.refused(item, client.peer, self._me.id, now)

    def _admit(self, client: Client, exchange: Exchange, now: float) -> None:
        request = exchange.request
        path = request.target.partition("?")[0]
        if path in self._own_paths:
            name = self.next_name()
            self._write(client, exchange, self._own_answer(request, path, name), name, now)
            return
        if self._time_is_up:
            self._refuse(client, exchange, "", STOPPING, now)
            return
        found = self._routes.find(request.method, path)
        if not isinstance(found, Match):
            name = self.next_name()
            self._reply(client, exchange, "", respond(found, name), name, now)
            return
        if found.path_params:
            request = Request(
                request.method,
                request.target,
                request.fields,
                request.body,
                request.client,
                found.path_params,
                request.version,
                request.scheme,
            )
        pool = found.pool
        payload = _encode_request(request)
        key = self._affinity.key(pool, request) if pool in self._keyed_pools else ""
        slot = (client, exchange)
        job = self._ledger.admit(slot, pool, REQUEST, payload, request.method in IDEMPOTENT, now, key)
        if job is None:
            self._refuse(client, exchange, pool, self._ledger.refusal(len(payload)), now)
            return
        exchange.tag = job.id >> HOP_BITS
        if request.body:
            exchange.forget_content()
        self._upstream.send(pool, job)

    def _refuse(self, client: Client, exchange: Exchange, pool: str, why: str, now: float) -> None:
        """Answer 503 here and now."""
        name = self.next_name()
        self._reply(client, exchange, pool, Response.unavailable(why, name), name, now, why)

    def _reply(
        self,
        client: Client,
        exchange: Exchange,
        pool: str,
        answer: Response,
        name: str,
        now: float,
        problem: str = "",
    ) -> None:
        """Answer a request of which no job is made."""
        self._write(client, exchange, answer, name, now)
        if self._tap.enabled:
            exchange.tag = int(name, 16)
            own = Answer(first_job(0, 0), answer.status, answer.fields, answer.body, self._me.id)
            self._tap.answered(exchange, _encode_request(exchange.request), pool, own, now, 0, problem)

    def _own_answer(self, request: Request, path: str, name: str) -> Response:
        """Liveness and readiness: answered here, even with every worker dead."""
        if request.method not in ("GET", "HEAD"):
            return respond(WrongMethod("GET, HEAD"), name)
        if path == self._settings.health_path:
            return Response.text("ok\n")
        if self.draining:
            return Response.unavailable("the server is draining", name)
        if not self._readiness.ready:
            return Response.unavailable(self._readiness.reason, name)
        return Response.text("ready\n")

    # --- answers out --------------------------------------------------------------------------------------------------

    def _answers_arrived(self) -> None:
        now = self.clock.monotonic()
        touched: dict[Client, None] = {}
        for _ in range(MESSAGES_A_TURN):
            # One at a time: each may hold many megabytes, which its clients take, or the backlog, before the next.
            messages = receive(self._loopback, 1)
            if not messages:
                break
            try:
                if len(messages[0]) != 1:
                    raise WireError("an answer of several frames")
                said = frames.to_server(messages[0][0])
            except WireError:
                self._counters["malformed"] += 1
                continue
            if type(said) is Answers:
                for answer in said.answers:
                    self._deliver(answer, touched, now)
            elif type(said) is StreamPart:
                self._part(said, touched, now)
            elif type(said) is StreamBegun:
                self._begin(said, touched, now)
            elif type(said) is Whereabouts:
                for request, trail in said.places:
                    self._ledger.locate(request, trail)
                    self._tap.found(request, trail)
            else:
                assert type(said) is Written
                self._tap.heard(said)
            if len(messages[0][0]) >= STORED_AT_LEAST:
                for client in touched:
                    client.settle()
                touched.clear()
        else:
            self._loop.call_soon(self._answers_arrived)
        for client in touched:
            client.settle()

    def _deliver(self, answer: Answer, touched: dict[Client, None], now: float) -> None:
        entry = self._ledger.answer(answer.job)
        if entry is None:
            self._contradict(answer, touched, now)
            return
        dead = answer.status == 502 and answer.worker.startswith(GATEWAY)
        if dead:
            self._bury(entry.job, answer)
        client, exchange = entry.slot
        status = self._write(client, exchange, answer, request_name(exchange.tag), now)  # type: ignore[arg-type]  # no call more
        touched[client] = None
        if not self._tap.enabled:
            return
        if status != answer.status:
            self._record(entry, _unusable(answer), now, 0, UNUSABLE)
        elif dead:
            self._record(entry, answer, now, DEAD, problem_detail(answer.body))
        else:
            self._tap.answered(exchange, entry.job.payload, entry.pool, answer, now)

    def _write(self, client: Client, exchange: Exchange, answer: Answering, name: str, now: float) -> int:
        """Queue the answer in its turn; the status that it has then. The caller settles the client."""
        status = answer.status
        if not client.connection.answer(exchange, answer, name, now):
            self._cannot_be_sent(name)
            status = 500
        self._changed = True
        self._classes[status // 100] += 1
        seconds = now - exchange.started
        self._latency.add(seconds)
        if self._access_log is not None:
            size = len(answer.body) if status == answer.status else 0
            self._access_log.note(exchange.request, status, size, seconds, name, now)
        return status

    def _record(self, entry: Open[Slot], answer: Answer, now: float, flags: int, problem: str) -> None:
        """Tell the recorder of a request that has not ended as most do."""
        self._tap.answered(entry.slot[1], entry.job.payload, entry.pool, answer, now, flags, problem)

    def _record_own(self, entry: Open[Slot], answer: Response, now: float, flags: int, problem: str) -> None:
        """The same, of one that this server has answered itself in place of a pool."""
        if self._tap.enabled:
            own = Answer(entry.job.id, answer.status, answer.fields, answer.body, self._me.id, trail=entry.trail)
            self._record(entry, own, now, flags, problem)

    def _record_stream(self, entry: Open[Slot], now: float, flags: int = 0, problem: str = "") -> None:
        """The same for one whose answer had begun to come bit by bit."""
        assert entry.stream is not None
        received = entry.stream.received
        self._tap.stream_ended(entry.slot[1], entry.job.payload, entry.pool, received, now, flags, problem)

    def _begin(self, begun: StreamBegun, touched: dict[Client, None], now: float) -> None:
        """The head of an answer that comes bit by bit."""
        answer = begun.answer
        pool = answer.worker.rpartition(".")[0]
        if pool not in self._upstream:
            self._counters["malformed"] += 1
            return
        entry = self._ledger.begin(answer, pool, begun.lane, now)
        if entry is None:
            self._contradict(answer, touched, now)
            return
        assert entry.stream is not None
        client, exchange = entry.slot
        request = RequestId(exchange.tag)
        name = request_name(request)
        entry.stream.received = len(answer.body)
        status = answer.status
        if not client.connection.begin(exchange, answer, name, now):
            self._cannot_be_sent(name)
            status = 500
        exchange.status = status
        self._count(status, now - exchange.started)
        touched[client] = None
        if exchange.streaming:
            client.streams[exchange] = entry
            if self._tap.enabled:
                self._tap.stream_began(exchange, answer)
            return
        self._ledger.end(request)
        self._recall(request, entry, now)
        self._log(exchange, status, 0, now, name)
        if self._tap.enabled:
            usable = status == answer.status
            self._record(entry, answer if usable else _unusable(answer), now, STREAMED, "" if usable else UNUSABLE)

    def _part(self, part: StreamPart, touched: dict[Client, None], now: float) -> None:
        """More of an answer, or its end."""
        entry = self._ledger.part(part.job, part.attempt, len(part.data), now)
        if entry is None:
            return
        client, exchange = entry.slot
        connection = client.connection
        touched[client] = None
        if self._tap.enabled:
            self._tap.stream_went_on(exchange, part.data)
        if not connection.part(exchange, part.data):
            self._cut(entry, "the handler sends more than the Content-Length that it declared", now)
        elif part.end == STREAM_BROKEN:
            self._cut(entry, "the handler failed, or was stopped; its worker's log says more", now)
        elif part.end == STREAM_COMPLETE:
            if not connection.end(exchange, now):
                self._cut(entry, "the handler sent less than the Content-Length that it declared", now)
                return
            self._ledger.end(RequestId(exchange.tag))
            self._end_stream(entry, now)

    def _contradict(self, answer: Answer, touched: dict[Client, None], now: float) -> None:
        """An answer to a request that does not wait for one: stray, or the end of one that has begun."""
        entry = self._ledger.contradict(answer.job, answer.attempt)
        if entry is None:
            return
        if answer.status == 502 and answer.worker.startswith(GATEWAY):
            self._bury(entry.job, answer)
        self._cut(entry, f"{answer.worker} says {answer.status}: whoever sent it is lost", now)
        touched[entry.slot[0]] = None

    def _cut(self, entry: Open[Slot], why: str, now: float, status: int = 502, flags: int = 0) -> None:
        """A streamed answer cannot come to its end: its client must see that, or, if nothing of it has left yet, gets
        an answer of this status in its place. The caller settles the client."""
        client, exchange = entry.slot
        request = RequestId(exchange.tag)
        name = request_name(request)
        self._counters["streams_cut"] += 1
        self._me.log.warn(f"request {name}: the answer breaks off: {why}")
        self._ledger.end(request)
        self._recall(request, entry, now)
        problem = Response.problem(status, "the answer broke off before any of it was sent", name)
        if client.connection.cut(exchange, problem, name, now):
            exchange.status = status
        self._end_stream(entry, now, BROKEN | flags, why)

    def _end_stream(self, entry: Open[Slot], now: float, flags: int = 0, problem: str = "") -> None:
        client, exchange = entry.slot
        assert entry.stream is not None
        client.streams.pop(exchange, None)
        self._upstream.stream_ended(entry.stream.pool, entry.stream.job)
        self._log(exchange, exchange.status, entry.stream.received, now, request_name(RequestId(exchange.tag)))
        self._record_stream(entry, now, flags, problem)
        if client.connection.stranded:
            self._abandon(client, now, "the client's connection ended with the answer before it")

    def allow(self, client: Client) -> None:
        """The client, to whom an answer is streamed, may have made room for more of it."""
        exchange = client.connection.sending
        entry = None if exchange is None else client.streams.get(exchange)
        if entry is None or exchange is None or entry.stream is None:
            return
        stream = entry.stream
        limit = stream.allow(client.connection.unsent)
        if limit is not None:
            self._upstream.allow(stream.pool, Allow(stream.lane, stream.job, limit))
            self._ledger.renew(RequestId(exchange.tag), self.clock.monotonic())

    def _bury(self, job: WireJob, answer: Answer) -> None:
        """A proxy has given a request up: keep it for whoever wants to know why."""
        self._counters["dead_letters"] += 1
        trouble = self._dead_letters.trouble
        try:
            if self._redactor is None:
                self._redactor = Redactor(self._journal, read_key(self._me.cluster.place.journal_key_file))
        except JournalError as error:
            self._dead_letters.drop(str(error))
        else:
            self._dead_letters.add(dead_letter(job, answer, stamp(self.clock.wall()), self._redactor))
        if self._dead_letters.trouble not in ("", trouble):
            self._me.log.error(f"dead letters cannot be written: {self._dead_letters.trouble}")

    def _cannot_be_sent(self, name: str) -> None:
        self._counters["bad_headers"] += 1
        self._me.log.error(f"request {name}: the handler's header fields cannot be sent, answered 500")

    def _count(self, status: int, seconds: float) -> None:
        self._changed = True
        self._classes[status // 100] += 1
        self._latency.add(seconds)

    def _log(self, exchange: Exchange, status: int, size: int, now: float, name: str) -> None:
        if self._access_log is not None:
            self._access_log.note(exchange.request, status, size, now - exchange.started, name, now)

    def _expire(self, now: float) -> None:
        timeout_s = self._settings.request_timeout
        for request, entry in self._ledger.expire(now):
            client, exchange = entry.slot
            self._recall(request, entry, now)
            name = request_name(request)
            why = f"no answer within {timeout_s:g} s"
            problem = Response.problem(504, why, name)
            self._write(client, exchange, problem, name, now)
            self._record_own(entry, problem, now, TIMED_OUT, why)
            client.settle()
        for request, entry in self._ledger.silent_streams(now):
            client, exchange = entry.slot
            if client.connection.sending is not exchange or client.connection.unsent or not client.writable:
                self._ledger.renew(request, now)  # it is the client that is slow, or others before it
                continue
            self._ledger.give_up(request)
            self._cut(entry, f"no part of it within {timeout_s:g} s", now, flags=TIMED_OUT)
            client.settle()

    # --- date, names --------------------------------------------------------------------------------------------------

    def next_name(self) -> str:
        """A request id for an answer that a connection makes by itself."""
        return request_name(self._ledger.name_next())

    def date(self) -> bytes:
        """The value of the Date field: that of the last tick, which is exact enough for whole seconds."""
        return self._date

    # --- the clock and the supervisor ---------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self.clock.monotonic()
        self._date = http_date(self.clock.wall())
        deadline = self._ledger.next_deadline()
        if deadline is not None and deadline <= now:
            self._expire(now)
        if now - self._logged >= LOG_S:
            self._logged = now
            self._backlog.tick()
            if self._access_log is not None:
                self._access_log.write()
        self._heap.note(self._ledger.size + self._arriving + self._backlog.memory)
        for client in self._wheel.due(now):
            client.look(now)
        self._dead_letters.tick()
        if now - self._sampled >= (SAMPLE_S if self._changed else IDLE_SAMPLE_S):
            self._sampled = now
            self._changed = False
            self._reporter.publish(self._sample())
            self._me.log.tend()
        if self.draining:
            self._drain_on()
        self._loop.call_later(TICK_S, self._tick)

    def _obey(self) -> None:
        for command in self._reporter.receive():
            if isinstance(command, Readiness):
                self._readiness = command
            elif isinstance(command, ProcessReady):
                self._send_again(command)
            elif isinstance(command, Retire):
                self._reporter.publish(Acknowledged(command.command))
                timeout_s = command.timeout_s
                self._drain(self._settings.request_timeout if timeout_s is None else timeout_s)
            elif isinstance(command, Lend):
                self._lend()
            elif isinstance(command, Reread):
                self._rereading = self._loop.create_task(self._reread(command.command, self._rereading))
            elif isinstance(command, KillNow):
                self._write_log()
                os._exit(0)

    def _lend(self) -> None:
        listener = self._acceptor.listener
        if listener is not None and not lend(listener, self._me.cluster.place, self._me.id, self._me.incarnation):
            self._me.log.info("nobody has taken the listening socket; the supervisor asks again")

    async def _reread(self, command: int, before: asyncio.Task[None] | None) -> None:
        """Routes, pools and key functions as cluster.json has them now; one after the other, the last word counts."""
        if before is not None:
            await before
        cluster = child.reread(self._me)
        if cluster is not None:
            config = cluster.config
            affinity = self._affinity
            if not affinity.is_for(config):
                affinity = Affinity(config, cluster.import_path, self._me.log.error)
                # An import may take its time, and clients shall not wait for it.
                await self._loop.run_in_executor(None, affinity.load, set(config.routes.values()))
                affinity.errors += self._affinity.errors
            self._record_as(config.journal)
            self._upstream.serve(config.pools)
            self._affinity, self._keyed_pools = affinity, affinity.pools
            self._routes = RouteTable(config.routes)
        self._reporter.publish(Acknowledged(command))

    def _record_as(self, settings: JournalConfig) -> None:
        """What is recorded, and what of it is kept from those who read dead letters."""
        self._journal, self._redactor = settings, None
        self._tap.configure(settings)

    def _send_again(self, ready: ProcessReady) -> None:
        """A proxy has started: what its predecessor had is lost. Or a recorder has."""
        if ready.process == RECORDER:
            self._tap.recorder_ready()
        if not ready.process.startswith(GATEWAY) or self._proxies.get(ready.process) == ready.incarnation:
            return
        self._proxies[ready.process] = ready.incarnation
        replaced = ready.process.removeprefix(GATEWAY)
        for pool, jobs in self._ledger.lost_with(replaced).items():
            if pool == replaced:
                self._upstream.send_again(pool, jobs)
            else:
                self._upstream.send_anew(pool, jobs)

    def _drain(self, timeout_s: float) -> None:
        """Take no more connections, finish what is open, then leave; after `timeout_s` answer the rest 503."""
        now = self.clock.monotonic()
        if self.draining:
            self._drain_until = min(self._drain_until, now + timeout_s)
            self._drain_on()
            return
        self.draining = True
        self._drain_until = now + timeout_s
        self._idle_until = now + IDLE_GRACE_S
        self._answered_before_drain = self._ledger.snapshot().answered
        for client in self._clients:
            client.connection.drain()
        self._acceptor.close(self._drain_on)
        self._loop.call_later(IDLE_GRACE_S, self._drain_on)

    def _drain_on(self) -> None:
        now = self.clock.monotonic()
        if now >= self._drain_until:
            self._answer_the_rest(now)
        for client in list(self._clients):
            if client.linger_until:
                client.look(now)
            elif now >= self._idle_until:
                client.close_if_idle()
        self._leave_if_done(now)

    def _leave_if_done(self, now: float) -> None:
        late = now >= self._drain_until + IDLE_GRACE_S
        if (late or not (self._clients or self._acceptor.busy)) and not self.done.done():
            self.done.set_result(None)

    def _answer_the_rest(self, now: float) -> None:
        """The time is up: whoever waits gets 503, also who is still sending, and whoever asks from now on."""
        self._time_is_up = True
        # Streams first: one that waits behind an unanswered request has nothing on its way, and gets an answer instead.
        for request, entry in sorted(self._ledger.close_all(), key=lambda end: end[1].stream is None):
            client, exchange = entry.slot
            self._drain_cancelled += 1
            if entry.stream is not None:
                self._cut(entry, STOPPING, now, 503)
            else:
                name = request_name(request)
                self._recall(request, entry, now)
                refusal = Response.unavailable(STOPPING, name)
                self._write(client, exchange, refusal, name, now)
                self._record_own(entry, refusal, now, 0, STOPPING)
            client.settle()
        for client in list(self._clients):
            if (refused := client.connection.turn_away(STOPPING)) is not None:
                self.take(client, [refused], now)
                self.arrived(client)
                client.settle()

    def _sample(self, *, last: bool = False) -> ServerSample:
        ledger = self._ledger.snapshot()
        counters = {
            **self._counters,
            "malformed": self._counters["malformed"] + self._tap.malformed,
            "refused_connections": self._acceptor.refused,
            "timed_out": ledger.timed_out,
            "abandoned": ledger.abandoned,
            "refused": ledger.refused,
            "stray_answers": ledger.stray_answers,
            "stray_parts": ledger.stray_parts,
            "stored_answers": self._backlog.stored_answers,
            "store_failed": self._backlog.failed,
            "cancels_dropped": self._upstream.cancels_dropped,
            "dead_letters_dropped": self._dead_letters.dropped,
            "affinity_errors": self._affinity.errors,
            "journal_dropped": self._tap.dropped,
            "journal_left_out": self._tap.left_out,
            "malformed_commands": self._reporter.malformed,
            "log_lines_dropped": self._me.log.dropped,
        }
        if self.draining:
            counters["finished"] = ledger.answered - self._answered_before_drain
            counters["cancelled"] = self._drain_cancelled
        return ServerSample(
            connections=len(self._clients),
            in_flight=ledger.open,
            requests=sum(self._classes),
            classes=list(self._classes),
            latency=self._latency.to_list(),
            draining=self.draining,
            counters=counters,
            last=last,
        )

    def _write_log(self) -> None:
        if self._access_log is not None:
            self._access_log.write()

    async def finish(self) -> None:
        """Nobody is served any more: what became of the last requests is on its way to the recorder."""
        await self._tap.finish()

    def close(self) -> None:
        for client in list(self._clients):
            client.transport.abort()
        self._write_log()
        self._tap.close()
        self._reporter.publish(self._sample(last=True))
        self._reporter.close()
        self._loopback.close()
        self._upstream.close()
        self._context.term()


def _unusable(answer: Answer) -> Answer:
    """What is recorded of an answer in whose place the client got 500."""
    return structs.replace(answer, status=500, fields=(), body=b"")


async def run(me: child.Child, listener: socket.socket) -> None:
    front = Front(me, listener, asyncio.get_running_loop())
    front.start()
    try:
        await front.done
        await front.finish()
    finally:
        front.close()


def main() -> None:
    options = child.arguments("primectl.server", ("--id", "--incarnation", "--listen-fd"))
    me = child.become(child.read_cluster_file(options.cluster_file), options.id, int(options.incarnation))
    listener = socket.socket(fileno=int(options.listen_fd))
    listener.setblocking(False)
    listener.listen(BACKLOG)  # again, where the supervisor has done so; one for later waits for this
    uvloop.run(run(me, listener))
    child.leave()
