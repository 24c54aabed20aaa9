"""The config file as frozen structs: one class a table, one attribute a key, the defaults those of the manual.

`load` makes these from TOML and refuses unknown keys; nothing here reads a file. Durations are seconds and sizes are
bytes, as `Duration` and `Size`, which say in the schema that a file writes them with a unit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Duration = Annotated[
    float, Meta(description='A duration with its unit: "250ms", "30s", "5m", "24h", "7d"', extra={"unit": "duration"})
]
Size = Annotated[
    int, Meta(description='A size with its unit: "512B", "64KiB", "10MiB", "1GiB"', extra={"unit": "size"})
]
Count = Annotated[int, Meta(ge=1)]

RESERVED_POOL_NAMES = frozenset({"all", "pool", "proc", "proxy", "recorder", "role", "server", "supervisor", "worker"})
"""Names that a pool cannot have: they are ids, roles and topics."""


class ClusterConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[cluster]"""

    name: Annotated[str, Meta(description="Names the cluster on this host: lower-case letters, digits, - and _")] = (
        "prime"
    )
    max_hops: Annotated[int, Meta(ge=1, le=4095, description="Forwards after which a request is given up with 500")] = (
        256
    )


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[server]"""

    listen: Annotated[
        str, Meta(description='"http://host:port", "https://host:port" or "unix:/path"; port 0 takes a free one')
    ] = "http://127.0.0.1:8002"
    processes: Annotated[int, Meta(ge=1, le=64, description="HTTP server processes")] = 1
    request_timeout: Annotated[Duration, Meta(gt=0, description="From the whole request to its answer, else 504")] = (
        30.0
    )
    max_request_size: Annotated[Size, Meta(ge=0, le=1 << 28, description="Largest body, else 413")] = 10 << 20
    max_inflight: Annotated[Count, Meta(description="Requests open at once in one server process, else 503")] = 10_000
    max_inflight_size: Annotated[
        Size, Meta(ge=1 << 20, description="Bytes of all requests open at once in one server process, else 503")
    ] = 256 << 20
    max_connections: Annotated[Count, Meta(description="Connections of one server process; further ones wait")] = 10_000
    max_header_size: Annotated[
        Size, Meta(ge=256, le=1 << 24, description="All header fields of a request, else 431")
    ] = 64 << 10
    max_headers: Annotated[Count, Meta(description="Number of header fields, else 431")] = 128
    max_url_size: Annotated[Size, Meta(ge=64, le=1 << 20, description="The request target, else 414")] = 8 << 10
    header_timeout: Annotated[Duration, Meta(gt=0, description="For a whole request head, else 408")] = 10.0
    body_timeout: Annotated[Duration, Meta(gt=0, description="Between two reads of a body, else 408")] = 30.0
    write_timeout: Annotated[Duration, Meta(gt=0, description="A client that reads nothing for so long is cut off")] = (
        30.0
    )
    keep_alive_timeout: Annotated[Duration, Meta(gt=0, description="An idle connection is closed after this")] = 75.0
    drain_delay: Annotated[
        Duration,
        Meta(ge=0, description="After the order to stop, go on accepting for so long, with ready_path at 503 already"),
    ] = 0.0
    health_path: Annotated[str, Meta(description='Answered by the server itself while it lives; "" for none')] = (
        "/health"
    )
    ready_path: Annotated[str, Meta(description='200 when requests can be served, else 503; "" for none')] = "/ready"
    access_log: Annotated[bool, Meta(description="One line a request in the server's log")] = True
    certificate: Annotated[str, Meta(description="PEM file, for https")] = ""
    private_key: Annotated[str, Meta(description="PEM file, for https")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="Networks whose Forwarded/X-Forwarded-For is believed")
    ] = ()
    essential: Annotated[
        bool, Meta(description="When every server has failed, the cluster stops and the supervisor exits with 1")
    ] = True


class PoolConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[pools.<name>]"""

    handler: Annotated[str, Meta(description='What runs a job: "package.module:callable"')]
    workers: Annotated[int, Meta(ge=0, le=4096, description="Worker processes")] = 1
    max_workers: Annotated[int, Meta(ge=1, le=4096, description="Most workers that scale may ask for")] = 64
    prefetch: Annotated[
        Count | Literal["auto"],
        Meta(description='Jobs given to a worker at once: "auto" sizes a batch to 1 ms of work; 1 is strictly greedy'),
    ] = "auto"
    max_queue: Annotated[Count, Meta(description="Jobs that wait in the proxy; when full it stops reading")] = 20_000
    retry: Annotated[
        Literal["idempotent", "always", "never"], Meta(description="Which jobs run again when their worker is lost")
    ] = "idempotent"
    max_attempts: Annotated[Count, Meta(description="Workers that a job may lose before it is answered 502")] = 3
    affinity: Annotated[
        str,
        Meta(description='"module:function" from a payload to its key; equal keys go to the worker that had it last'),
    ] = ""
    kill_after: Annotated[
        Duration, Meta(gt=0, description="A worker that does not let go of a cancelled job for so long is killed")
    ] = 2.0
    max_jobs: Annotated[
        int, Meta(ge=0, description="A worker is replaced after about so many jobs; 0 for no such bound")
    ] = 0
    max_rss: Annotated[
        Size, Meta(ge=0, description='A worker is replaced when it takes so much memory; "0B" for none')
    ] = 0
    max_age: Annotated[Duration, Meta(ge=0, description='A worker is replaced when it is so old; "0s" for none')] = 0.0
    unresponsive_after: Annotated[
        Duration,
        Meta(ge=2, description="A worker that is dead inside (no report, no job, no processor time) is replaced then"),
    ] = 10.0
    worker_timeout: Annotated[
        Duration, Meta(gt=0, description="For a job to wait in a pool that has no worker at all, else 503")
    ] = 10.0
    spawn: Annotated[
        Literal["fork", "exec"],
        Meta(description='"fork" from a process that has imported the handler, or "exec" an interpreter each'),
    ] = "fork"
    reload_surge: Annotated[
        Count, Meta(description="Workers above the pool's size during a reload, and how many are replaced at once")
    ] = 1
    reload_pace: Annotated[Duration, Meta(ge=0, description="Pause between two steps of a reload")] = 0.0
    env: Annotated[dict[str, str], Meta(description="Environment variables, set before the handler is imported")] = {}
    cwd: Annotated[
        str, Meta(description="Folder that the workers work in, relative to the config file; else that of the cluster")
    ] = ""
    user: Annotated[
        str, Meta(description="Name or number of the user that the workers run as; needs a cluster that root runs")
    ] = ""
    group: Annotated[str, Meta(description="Name or number of the group that they run as; else the user's own")] = ""
    nice: Annotated[
        Annotated[int, Meta(ge=-20, le=19)] | Literal["inherit"],
        Meta(description="Priority of the workers: 19 gives way to everybody; below 0 needs rights"),
    ] = "inherit"
    cpu_affinity: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=8191, description="a CPU")], ...],
        Meta(description="Numbers of the CPUs that the workers may run on, the first being 0; [] for all"),
    ] = ()
    rlimits: Annotated[
        dict[str, Annotated[int, Meta(ge=0)] | str],
        Meta(description='Limits of each worker by the names of setrlimit(2), such as { nofile = 4096, as = "2GiB" }'),
    ] = {}
    umask: Annotated[str, Meta(description="Rights that files of the workers do not get, in octal digits")] = "077"
    start_timeout: Annotated[Duration, Meta(gt=0, description="For importing the handler and saying READY")] = 30.0
    essential: Annotated[
        bool, Meta(description="When every worker of it has failed, the cluster stops and the supervisor exits with 1")
    ] = False
    proxy_essential: Annotated[
        bool, Meta(description="When its proxy has failed, the cluster stops and the supervisor exits with 1")
    ] = True


class JournalConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[journal]"""

    enabled: Annotated[bool, Meta(description="Record requests, so that they can be seen and sent again")] = True
    keep: Annotated[Duration, Meta(gt=0, description="How long recorded requests are kept")] = 86_400.0
    max_size: Annotated[Size, Meta(ge=1 << 20, description="Size of the journal on disk")] = 1 << 30
    max_body: Annotated[
        Size, Meta(ge=0, description="Of each body so much is recorded; a request with more cannot be replayed")
    ] = 64 << 10
    sample: Annotated[
        float,
        Meta(ge=0, le=1, description="Share of requests that is recorded; errors, slow ones, dead letters always are"),
    ] = 1.0
    slow: Annotated[Duration, Meta(ge=0, description="A request that takes so long is recorded in any case")] = 1.0
    redact_headers: Annotated[tuple[str, ...], Meta(description="Header fields whose values are not recorded")] = (
        "authorization",
        "cookie",
        "set-cookie",
        "proxy-authorization",
        "x-api-key",
    )
    redact_query: Annotated[
        tuple[str, ...], Meta(description="Keys of the query (and of form bodies) whose values are not recorded")
    ] = ()
    redact_body: Annotated[
        tuple[str, ...],
        Meta(description='JSON pointers (RFC 6901) into bodies whose values are not recorded; "*" stands for any key'),
    ] = ()


class SupervisorConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[supervisor]"""

    backoff_first: Annotated[
        Duration, Meta(gt=0, description="Wait before the second restart in a row; doubles from there")
    ] = 0.1
    backoff_longest: Annotated[Duration, Meta(gt=0, description="The longest wait between restarts")] = 10.0
    crash_limit: Annotated[Count, Meta(description="Crashes within crash_window after which a process is failed")] = 6
    crash_window: Annotated[Duration, Meta(gt=0, description="See crash_limit")] = 30.0
    healthy_after: Annotated[
        Duration, Meta(gt=0, description="A process that was ready for so long starts with a clean record")
    ] = 10.0
    stop_timeout: Annotated[Duration, Meta(ge=0, description="For a clean stop, before processes are killed")] = 30.0
    log_size: Annotated[Size, Meta(ge=1 << 12, description="A log file is rotated at this size")] = 16 << 20
    log_age: Annotated[Duration, Meta(gt=0, description="And when its first line is so old")] = 7 * 86_400.0
    log_keep: Annotated[int, Meta(ge=1, le=100, description="Older files that are kept of each log")] = 3
    log_total: Annotated[
        Size, Meta(ge=1 << 14, description="All logs of the cluster; beyond it the oldest files go")
    ] = 1 << 30
    orphans: Annotated[
        Literal["adopt", "kill"],
        Meta(description='What a supervisor that died has left running: "adopt" goes on with it, "kill" ends it first'),
    ] = "adopt"


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    cluster: ClusterConfig = ClusterConfig()
    server: ServerConfig = ServerConfig()
    routes: Annotated[dict[str, str], Meta(description='"[METHODS] /path" = "pool"')] = {}
    pools: dict[str, PoolConfig] = {}
    journal: JournalConfig = JournalConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
