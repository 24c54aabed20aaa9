"""A worker of one pool.

duty       what it holds: running, not begun, cancelled, leaving
flow       how much of a streamed answer may be sent
handler    one job through the user's handler; items: a generator, asked item by item
interrupt  how a running handler is stopped
outbox     what is ready to be sent
desk       what the two threads share
run        the main thread: jobs in, answers out; stream: an answer that is sent while it is made
watchdog   the other thread: awake while a job runs, whatever that does
zygote     a process that has imported the handler and forks workers
"""
