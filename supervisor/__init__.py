"""The supervisor: keeps a cluster's processes as they should be, and shows and does what operators ask.

Cores, which decide and touch nothing:

events      what can happen, and what may be asked in answer
lifecycle   the states of one process, as a table
process     one process: its state, its figures, when it wants attention
restart     backoff and the budget of crashes
health      whether a process is well: its silence, its job, its processor time (noted in vitals)
recycling   which workers have run long enough
plan        wanted and observed to steps; which processes a name means
aggregate   samples to rates and percentiles; `causes` why a process ended, in words
operations  scale, kill, restart: orders that take time
stopping    the clean stop: what is still wanted, step by step
books       all that is known; `picture` what is shown of it, `orders` what an order comes to
lives       how processes begin, become ready, leave and end
hearing     what is reported and seen of them
changes     their changes of state, as events
reopening   the order that has logs opened anew; `dumps` the one that asks for stacks
cluster     the whole

Shells, which perform and decide nothing:

run         the one loop; `python -m supervisor` starts it in the background
spawn       processes begin, get signals, end; `zygotes` forks the workers; `kernel` has what only Linux offers
leftbehind  what handlers have started and left goes with their worker
examine     a closer look at who is silent; `stackfile` the stacks of who cannot be asked
channel     commands, stats, feed, control: the four sockets; `api` reads what `control` brings
listen      the sockets that clients connect to
probe       processor time and memory of every process
logtail     new log lines, for the feed; `logread` their ends, for causes and GET /logs
eventlog    what has happened
logkeeper   all logs within their bound, by the rules of `logtotal`
questions   answers to consoles, a slice of time at a time
runtime     the cluster's folders and files, and the lock; `adopt` finds what a dead supervisor left
"""

from supervisor.lifecycle import ProcessState

__all__ = ["ProcessState"]
