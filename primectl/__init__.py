"""primectl: a cluster of ZeroMQ processes that answers requests, and the console that operates it.

The nine steps of one HTTP request, in reading order:

1. bytes in: `http.request` parses them, `http.connection` keeps one client's requests in order
2. admitted: `server.routes` finds the pool, `server.ledger` gives id and deadline
3. framed: `wire.frames` turns a turn's jobs into one message to the pool's proxy
4. given to an idle worker: `proxy.dispatch`
5. worked on: `worker.handler`, watched by `worker.duty`
6. looped back to the server, or forwarded to another pool's proxy (again 4): `worker.run`
7. its client found: `server.ledger`
8. bytes out: `http.response`
9. counted and logged: `server.access`, `control.report`
"""

from primectl.errors import PrimectlError
from primectl.message import Forward, HTTPError, Job, JobCancelled, Request, Response

__all__ = ["Forward", "HTTPError", "Job", "JobCancelled", "PrimectlError", "Request", "Response"]
__version__ = "0.1.0"
