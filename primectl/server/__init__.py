"""The HTTP front.

routes   which pool a request is for
ledger   requests that are open: admitted, answered, expired, given up by their clients
run      the process: connections and loopback in, jobs and cancels out
"""
