"""The file that `primectl init` writes: it runs as it is, and shows every table with its most wanted keys.

A line "# key = value" shows a default: taking the # away changes nothing until the value is changed too.
"""

from __future__ import annotations


def starter() -> str:
    """A commented config to start from."""
    return _STARTER


_STARTER = """\
#:schema primectl.schema.json
# A cluster of one pool, ready to run: `primectl up -d`, then
#
#   curl 'http://127.0.0.1:8000/hello?name=you'
#
# and `primectl tui` to watch it. All keys: docs/config.md. `primectl check` says what is wrong with this file;
# `primectl schema > primectl.schema.json` lets your editor complete it.

[cluster]
name = "my-cluster"               # names the cluster on this host: `primectl -c my-cluster ps`

[server]
listen = "http://127.0.0.1:8000"  # where clients come in; 0.0.0.0 instead lets other hosts in too
# processes = 1                   # HTTP servers that share the port
# request_timeout = "30s"         # a request that takes longer is answered 504
# max_request_size = "10MiB"      # a larger body is answered 413
# max_inflight = 10000            # more requests open at once are answered 503
# health_path = "/health"         # answered by the server itself; "" for none
# ready_path = "/ready"           # 503 while the cluster starts, stops or has no workers
# access_log = true               # one line a request: `primectl logs server.1`

# Which request goes to which pool: "[METHODS] /path" = "pool". No method means all of them. Exact paths come before
# {parameters}, and those before a prefix ending in /*.
[routes]
"/hello" = "hello"
# "GET,POST /orders/{id}" = "hello"          # request.path_params["id"]
# "/files/*" = "hello"                       # everything below

# A pool is a number of worker processes that run one handler. This one comes with primectl and says back what it was
# asked. For your own, put a hello.py beside this file,
#
#     from primectl import Job, Request, Response
#
#     def handle(request: Request, job: Job) -> Response:
#         return Response.text(f"Hello, {request.query.get('name', 'world')}!")
#
# write handler = "hello:handle" here, and `primectl check`. A handler may also return
# Forward("other-pool", anything) to hand the request on to another pool.
[pools.hello]
handler = "primectl.handlers.echo:echo"      # "module:function"
workers = 2                       # change it live: `primectl scale hello=8`
# max_workers = 64                # the most that scale may ask for
# prefetch = "auto"               # 1 for long or very uneven jobs
# retry = "idempotent"            # which jobs run again when their worker dies: idempotent, always or never
# env = {}                        # environment of the workers, such as { OMP_NUM_THREADS = "1" }

[journal]
# keep = "24h"                    # how long recorded requests are kept
# max_size = "1GiB"               # and in how much room
# sample = 1.0                    # share of requests that is recorded; errors, slow ones, dead letters always are
# max_body = "64KiB"              # of each body; a request with more cannot be replayed
# redact_headers = ["authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key"]
"""
