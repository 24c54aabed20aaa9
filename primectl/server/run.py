"""§ Steps 1, 2, 7 and 8: the HTTP server process. Bytes in, jobs out, answers in, bytes out.

Whatever the clients' sockets bring in one turn of the loop leaves as one batch a pool, and an answer batch is written
to its clients in one go. The listening socket is inherited: connections wait in its backlog while a server is replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Callable

import uvloop
import zmq

from primectl.clock import Clock, SystemClock
from primectl.config.topology import loopback, pool_in
from primectl.control import child
from primectl.control.log import stamp
from primectl.control.report import Reporter
from primectl.control.sockets import BATCH_QUEUE, connect_present, open_socket, receive, try_send
from primectl.errors import WireError
from primectl.http.connection import Exchange, HttpLimits, Refusal
from primectl.http.response import http_date
from primectl.message import Request, Response
from primectl.server.access import line
from primectl.server.client import IDLE_GRACE_S, Client
from primectl.server.ledger import Ledger
from primectl.server.routes import Match, RouteTable, WrongMethod, respond
from primectl.wire import frames
from primectl.wire.control import KillNow, ProcessReady, Readiness, Retire
from primectl.wire.histogram import Histogram
from primectl.wire.job import Answer, Answers, Cancel, Jobs, RequestId, WireJob, request_name, request_of
from primectl.wire.stats import Acknowledged, Role, ServerSample

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""RFC 9110 9.2.2."""
MESSAGES_A_TURN = 64
RETRY_S = 0.005
"""How soon jobs that a full or absent proxy did not take are offered again."""
TICK_S = 0.05
SAMPLE_S = 0.25
IDLE_SAMPLE_S = 1.0
SWEEP_S = 0.25
LOG_S = 0.1
LOG_BYTES = 64 << 10
ACCEPTS_A_TURN = 128
BACK_OFF_S = 0.1
"""Before accepting again when the process is out of file descriptors."""

Slot = tuple[Client, Exchange]


class Front:
    """The server process: its clients, its open requests, its sockets."""

    def __init__(self, me: child.Child, listener: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        config = me.cluster.config
        place = me.cluster.place
        self._me = me
        self._settings = config.server
        self._loop = loop
        self.clock: Clock = SystemClock()
        self.limits = HttpLimits.from_config(config.server)
        self.scheme = "https" if config.server.listen.startswith("https:") else "http"
        self._tls = _tls(config.server.certificate, config.server.private_key) if self.scheme == "https" else None
        self.clients: set[Client] = set()
        self.draining = False
        self._listener: socket.socket | None = listener
        self._accepting = False
        self._routes = RouteTable(config.routes)
        self._own_paths = {config.server.health_path, config.server.ready_path} - {""}
        self._ledger: Ledger[Slot] = Ledger(
            me.id, me.incarnation, limit=config.server.max_inflight, timeout_s=config.server.request_timeout
        )
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._loopback = open_socket(self._context, zmq.PULL, queue=BATCH_QUEUE)
        self._loopback.bind(place.endpoint(loopback(me.id)))
        self._pools: dict[str, zmq.Socket[bytes]] = {}
        for pool in config.pools:
            endpoint = place.endpoint(pool_in(pool))
            self._pools[pool] = connect_present(self._context, zmq.DEALER, endpoint, linger_ms=200)
        self._batches: dict[str, list[WireJob]] = {}
        self._cancels: list[RequestId] = []
        self._flush_due = False
        self._reporter = Reporter(self._context, place, me.id, me.incarnation, Role.SERVER)
        self._readiness = Readiness(ready=False, reason="the cluster is starting")
        self._latency = Histogram()
        self._classes = [0] * 6
        self._counters = {"malformed": 0, "bad_headers": 0, "refused_connections": 0}
        self._log_lines: list[str] = []
        self._log_bytes = 0
        self._logged = 0.0
        self._stamp = (0, "")
        self._date = (0, b"")
        self._sampled = self._swept = 0.0
        self._changed = True
        self._drain_began = 0.0
        self._drain_until = 0.0
        self._answered_before_drain = 0
        self._drain_cancelled = 0
        self._handshake_timeout = config.server.header_timeout if self._tls else None
        self._adopting: set[asyncio.Task[None]] = set()
        self.done = loop.create_future()

    def start(self) -> None:
        self._loop.add_reader(self._loopback.fileno(), self._answers_arrived)
        self._loop.add_reader(self._reporter.commands.fileno(), self._obey)
        self._loop.add_signal_handler(signal.SIGTERM, self._drain, self._settings.request_timeout)
        self._accept_again()
        self._answers_arrived()
        self._obey()
        self._tick()

    # --- connections --------------------------------------------------------------------------------------------------

    def _accept_again(self) -> None:
        if self._listener is not None and not self._accepting and len(self.clients) < self._settings.max_connections:
            self._accepting = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _stop_accepting(self) -> None:
        if self._listener is not None and self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(ACCEPTS_A_TURN):
            if len(self.clients) >= self._settings.max_connections:
                self._stop_accepting()  # further clients wait in the backlog
                return
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._counters["refused_connections"] += 1
                self._me.log.warn(f"cannot accept a connection: {error.strerror}")
                self._stop_accepting()
                self._loop.call_later(BACK_OFF_S, self._accept_again)
                return
            accepted.setblocking(False)
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else ""
            task = self._loop.create_task(self._adopt(Client(self, peer), accepted))
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)

    async def _adopt(self, client: Client, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: client, accepted, ssl=self._tls, ssl_handshake_timeout=self._handshake_timeout
            )
        except (OSError, ssl.SSLError):
            self._counters["refused_connections"] += 1
            accepted.close()

    def left(self, client: Client) -> None:
        """The connection is gone: nobody waits for what it had open."""
        self.clients.discard(client)
        for request in client.open:
            if self._ledger.abandon(request):
                self._cancels.append(request)
        client.open.clear()
        if self._cancels:
            self._flush_soon()
        self._accept_again()

    # --- requests in --------------------------------------------------------------------------------------------------

    def take(self, client: Client, items: list[Exchange | Refusal], now: float) -> None:
        """What a connection's bytes amounted to."""
        for item in items:
            self._changed = True
            if type(item) is Exchange:
                self._admit(client, item, now)
            else:
                assert isinstance(item, Refusal)
                self._count(item.status, 0.0)
                self._log(
                    client.peer, item.method, item.target, "1.1", item.status, item.body_bytes, 0.0, item.request_id
                )

    def _admit(self, client: Client, exchange: Exchange, now: float) -> None:
        request = exchange.request
        path = request.target.partition("?")[0]
        if path in self._own_paths:
            self._reply_here(client, exchange, lambda name: self._own_answer(request, path, name), now)
            return
        found = self._routes.find(request.method, path)
        if not isinstance(found, Match):
            refused = found
            self._reply_here(client, exchange, lambda name: respond(refused, name), now)
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
        kind, payload = frames.encode_payload(request)
        job = self._ledger.admit((client, exchange), found.pool, kind, payload, request.method in IDEMPOTENT, now)
        if job is None:
            detail = f"{len(self._ledger)} requests are open, the most this server takes"
            self._reply_here(client, exchange, lambda name: _unavailable(detail, name), now)
            return
        client.open[request_of(job.id)] = exchange
        self._batches.setdefault(found.pool, []).append(job)
        self._flush_soon()

    def _own_answer(self, request: Request, path: str, name: str) -> Response:
        """Liveness and readiness: answered here, even with every worker dead."""
        if request.method not in ("GET", "HEAD"):
            return respond(WrongMethod("GET, HEAD"), name)
        if path == self._settings.health_path:
            return Response.text("ok\n")
        if self.draining:
            return _unavailable("the server is draining", name)
        if not self._readiness.ready:
            return _unavailable(self._readiness.reason, name)
        return Response.text("ready\n")

    def _reply_here(self, client: Client, exchange: Exchange, answer: Callable[[str], Response], now: float) -> None:
        """Answer without a job; the caller settles the client."""
        name = self.next_name()
        self._write(client, exchange, answer(name), name, now)

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send this turn's batches. What a proxy does not take now is offered again in a moment; it stays bounded,
        since every job in it is an open request."""
        self._flush_due = False
        if self._cancels:
            self._send_cancels()
        stuck = False
        for pool, jobs in list(self._batches.items()):
            link = self._pools[pool]
            sent = 0
            for batch in frames.batches(jobs):
                if not try_send(link, [frames.encode(Jobs(batch))]):
                    stuck = True
                    break
                sent += len(batch)
            if sent == len(jobs):
                del self._batches[pool]
            else:
                self._batches[pool] = jobs[sent:]
        if stuck:
            self._flush_due = True
            self._loop.call_later(RETRY_S, self._flush)

    def _send_cancels(self) -> None:
        """To every pool: the request may be at any of them by now. A cancel that is not taken is not missed for long:
        its job is dropped at its deadline."""
        cancelled = frozenset(self._cancels)
        self._cancels.clear()
        for pool, jobs in list(self._batches.items()):
            self._batches[pool] = [job for job in jobs if request_of(job.id) not in cancelled]
        frame = frames.encode(Cancel(list(cancelled)))
        for link in self._pools.values():
            try_send(link, [frame])

    # --- answers out --------------------------------------------------------------------------------------------------

    def _answers_arrived(self) -> None:
        now = self.clock.monotonic()
        touched: dict[Client, None] = {}
        messages = receive(self._loopback, MESSAGES_A_TURN)
        for message in messages:
            if len(message) != 1:
                self._counters["malformed"] += 1
                continue
            try:
                batch = frames.to_server(message[0])
            except WireError:
                self._counters["malformed"] += 1
                continue
            if type(batch) is not Answers:
                continue
            for answer in batch.answers:
                self._deliver(answer, touched, now)
        for client in touched:
            client.settle()
        if len(messages) == MESSAGES_A_TURN:
            self._loop.call_soon(self._answers_arrived)

    def _deliver(self, answer: Answer, touched: dict[Client, None], now: float) -> None:
        entry = self._ledger.answer(answer.job)
        if entry is None:
            return
        client, exchange = entry.slot
        request = request_of(answer.job)
        del client.open[request]
        self._write(client, exchange, Response(answer.status, answer.fields, answer.body), request_name(request), now)
        touched[client] = None

    def _write(self, client: Client, exchange: Exchange, response: Response, name: str, now: float) -> None:
        """Queue the answer in its turn; the caller settles the client."""
        status, size = response.status, len(response.body)
        if not client.connection.answer(exchange, response, name, now):
            self._counters["bad_headers"] += 1
            self._me.log.error(f"request {name}: the handler's header fields cannot be sent, answered 500")
            status, size = 500, 0
        seconds = now - exchange.started
        request = exchange.request
        self._count(status, seconds)
        self._log(request.client, request.method, request.target, request.version, status, size, seconds, name)

    def _count(self, status: int, seconds: float) -> None:
        self._changed = True
        self._classes[status // 100] += 1
        self._latency.add(seconds)

    def _expire(self, now: float) -> None:
        for request, entry in self._ledger.expire(now):
            client, exchange = entry.slot
            del client.open[request]
            self._cancels.append(request)
            detail = f"no answer within {self._settings.request_timeout:g} s"
            self._write(
                client, exchange, Response.problem(504, detail, request_name(request)), request_name(request), now
            )
            client.settle()
        if self._cancels:
            self._flush_soon()

    # --- log, date, names ---------------------------------------------------------------------------------------------

    def next_name(self) -> str:
        """A request id for an answer that a connection makes by itself."""
        return request_name(self._ledger.name_next())

    def date(self) -> bytes:
        """The Date field's value, made once a second."""
        second = int(self.clock.wall())
        if second != self._date[0]:
            self._date = (second, http_date(second))
        return self._date[1]

    def _log(
        self, peer: str, method: str, target: str, version: str, status: int, size: int, seconds: float, name: str
    ) -> None:
        if not self._settings.access_log:
            return
        milliseconds = int(self.clock.wall() * 1000)
        if milliseconds != self._stamp[0]:
            self._stamp = (milliseconds, stamp(milliseconds / 1000))
        entry = line(self._stamp[1], peer, method, target, version, status, size, seconds, name)
        self._log_lines.append(entry)
        self._log_bytes += len(entry)
        if self._log_bytes >= LOG_BYTES:
            self._write_log()

    def _write_log(self) -> None:
        if self._log_lines:
            self._me.log.write("".join(self._log_lines).encode())
            self._log_lines.clear()
            self._log_bytes = 0

    # --- the clock and the supervisor ---------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self.clock.monotonic()
        deadline = self._ledger.next_deadline()
        if deadline is not None and deadline <= now:
            self._expire(now)
        if now - self._logged >= LOG_S:
            self._logged = now
            self._write_log()
        if now - self._swept >= SWEEP_S:
            self._swept = now
            self._sweep(now)
        if now - self._sampled >= (SAMPLE_S if self._changed else IDLE_SAMPLE_S):
            self._sampled = now
            self._changed = False
            self._reporter.publish(self._sample())
            self._me.log.rotate_if_large()
        if self.draining:
            self._drain_on(now)
        self._loop.call_later(TICK_S, self._tick)

    def _sweep(self, now: float) -> None:
        for client in list(self.clients):
            client.sweep(now)

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
            elif isinstance(command, KillNow):
                self._write_log()
                os._exit(0)

    def _send_again(self, ready: ProcessReady) -> None:
        """A proxy has started: what its predecessor had is lost, and the request may have been there at any hop."""
        if not ready.process.startswith("proxy."):
            return
        waiting = {request_of(job.id) for jobs in self._batches.values() for job in jobs}
        for entry in self._ledger.retryable():
            if request_of(entry.job.id) not in waiting:
                self._batches.setdefault(entry.pool, []).append(entry.job)
        if self._batches:
            self._flush_soon()

    def _drain(self, timeout_s: float) -> None:
        """Take no more connections, finish what is open, then leave; after `timeout_s` answer the rest 503."""
        now = self.clock.monotonic()
        if self.draining:
            self._drain_until = min(self._drain_until, now + timeout_s)
            return
        if self._listener is not None:
            self._accept()  # whoever is in the backlog has been let in by the kernel
            self._stop_accepting()
            self._listener.close()
            self._listener = None
        self.draining = True
        self._drain_began = now
        self._drain_until = now + timeout_s
        self._answered_before_drain = self._ledger.snapshot().answered
        for client in self.clients:
            client.connection.drain()

    def _drain_on(self, now: float) -> None:
        if now >= self._drain_until:
            for request, entry in self._ledger.close_all():
                client, exchange = entry.slot
                del client.open[request]
                name = request_name(request)
                self._write(client, exchange, _unavailable("the cluster is stopping", name), name, now)
                client.settle()
                self._drain_cancelled += 1
        if now - self._drain_began >= IDLE_GRACE_S:
            self._sweep(now)
            for client in list(self.clients):
                client.close_if_idle()
        late = now >= self._drain_until + IDLE_GRACE_S
        if not self._adopting and (not self.clients or late) and not self.done.done():
            self.done.set_result(None)

    def _sample(self) -> ServerSample:
        ledger = self._ledger.snapshot()
        counters = {
            **self._counters,
            "timed_out": ledger.timed_out,
            "abandoned": ledger.abandoned,
            "refused": ledger.refused,
            "stray_answers": ledger.stray_answers,
            "malformed_commands": self._reporter.malformed,
            "log_lines_dropped": self._me.log.dropped,
        }
        if self.draining:
            counters["finished"] = ledger.answered - self._answered_before_drain
            counters["cancelled"] = self._drain_cancelled
        return ServerSample(
            connections=len(self.clients),
            in_flight=ledger.open,
            requests=sum(self._classes),
            classes=list(self._classes),
            latency=self._latency.to_list(),
            draining=self.draining,
            counters=counters,
        )

    def close(self) -> None:
        for client in list(self.clients):
            client.transport.abort()
        self._write_log()
        self._reporter.publish(self._sample())
        self._reporter.close()
        for link in (self._loopback, *self._pools.values()):
            link.close()
        self._context.term()


def _unavailable(detail: str, name: str) -> Response:
    problem = Response.problem(503, detail, name)
    return Response(503, (*problem.fields, ("retry-after", "1")), problem.body)


def _tls(certificate: str, private_key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, private_key)
    return context


async def run(me: child.Child, listener: socket.socket) -> None:
    front = Front(me, listener, asyncio.get_running_loop())
    front.start()
    try:
        await front.done
    finally:
        front.close()


def main() -> None:
    options = child.arguments("primectl.server", ("--id", "--incarnation", "--listen-fd"))
    me = child.become(child.read_cluster_file(options.cluster_file), options.id, int(options.incarnation))
    listener = socket.socket(fileno=int(options.listen_fd))
    listener.setblocking(False)
    uvloop.run(run(me, listener))
