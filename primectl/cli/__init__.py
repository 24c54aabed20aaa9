"""The command line: each command a module that is imported when it is called.

main       the table of commands, exit codes, errors as one line
choose     which cluster a command means
options    the options that commands share
terminal   stdout and stderr, colour, progress, questions
render     snapshots and replies as tables and JSON
loglines   several logs as one, a core; tail reads and follows the files
start      a cluster behind the terminal; foreground: one in it
leftovers  what a supervisor that died has left
"""
