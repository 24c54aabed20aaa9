"""A worker of one pool.

duty     what it holds: running, not begun, cancelled, leaving
handler  one job through the user's handler
run      the process: jobs in, answers out, and the watchdog thread beside it
zygote   a process that has imported the handler and forks workers
"""
