"""The HTTP front.

routes      which pool a request is for
ledger      requests that are open: admitted, answered, streamed, expired, given up by their clients
outgoing    what one pool's proxy has yet to be told, in which order; upstream § its sockets
wheel       whose time is up, at a cost that does not grow with their number
backlog   § what clients have not read: so much in memory, the rest in a file
deadletter  a request that could not be answered, as a line; appender § the bounded file that it goes to
access      a line of the access log; accesslog § the lines of a moment, written together
accept    § lets clients in; client § one connection between its transport and `http.connection`
run       § the process: connections and loopback in, jobs and cancels out
"""
