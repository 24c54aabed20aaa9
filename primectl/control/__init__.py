"""How processes and consoles talk to the supervisor.

sockets   ZeroMQ sockets with the options that every link of ours has, and draining them
ways      the folders for workers of other users
log       a process's own log file: lines, bounded size, rotation
child     how a process of the cluster starts: arguments, cluster.json, log, title, signals
report    a data-plane process tells the supervisor how it does, and hears its commands
memory    memory of bodies that are gone goes back to the kernel
client    a console asks and listens
"""
