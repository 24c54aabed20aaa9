"""The supervisor: keeps a cluster's processes as they should be, and shows and does what operators ask.

Cores, which decide and touch nothing. What there is:

events      what can happen, and what may be asked in answer
lifecycle   the states of one process, as a table; `process` its record, `vitals` its health, `changes` its events
books       all that is known; `generations` of a pool's code, `memory` what outlives a supervisor
aggregate   samples to rates and percentiles; `picture` what is shown, `standing` for a service manager

What shall be:

plan        wanted and observed to steps; which processes a name means
restart     the policy on crashes; `essential` what the cluster cannot do without
health      whether a process is well; `recycling` which workers have run long enough
logtotal    which log files go

What operators order:

orders      what an order comes to; `desk` whose turn it is, and who waits for each
operations  scale, kill, restart; `drains`, `dumps`, `reload`, `reopening`
apply       what another config means; `stages`, `serverroll` and `applying` put it in force
stopping    the clean stop, step by step; `tally` what became of the open requests
causes      why a process or an order ended, in words; `words` numbers of things

And how it comes about:

lives       how processes begin, become ready, leave and end
adoption    the first moments of a supervisor that goes on with what one that died has left
hearing     what is reported and seen; `recording` how the journal does
cluster     the whole; `output` what a turn of it comes to

Shells, which perform and decide nothing:

run         the one loop; `python -m supervisor` starts it in the background, `arrival` tells who waits for that
spawn       processes begin, get signals, end; `zygotes` forks the workers; `kernel` has what only Linux offers
leftbehind  what handlers have started and left goes with their worker
probe       processor time and memory of every process; `examine` who is silent, `stackfile` who cannot be asked, `oom`
channel     commands, stats, feed, control: the four sockets; `api` reads `control`, `questions` answers in slices,
            `handon` hands on to the recorder
doors       which listening sockets servers get; `listen` binds, `lending` gets them back, `lastcall` ends them
statefile   what the next supervisor finds; `keeping` keeps it, `adopt` reads what one that died has left
runtime     the cluster's folders and files, and the lock; `sharing` lets workers of other users in
eventlog    what has happened
logtail     new log lines, for the feed; `logread` their ends; `logkeeper` keeps them within their bound
notify      sd_notify; `hangup` what SIGHUP means; `watch` files that are edited
"""

from supervisor.lifecycle import ProcessState

__all__ = ["ProcessState"]
