"""What a cluster shall be: a TOML file on one side, frozen structs on the other.

model          the tables and keys, with their bounds, defaults and descriptions
load           a file, or the one that is meant, to a checked config
  convert      parsed TOML to the structs, value by value
  check        whether the parts fit together
  reach        which pools nothing leads to (a warning)
  problems     every mistake of a file, a line each, in its order
units, names, listen, routes   what single texts mean: "30s", "compute", "http://…", "GET /path"
entry          what a handler is, also for workers
affinity       the keys of jobs, for those who make jobs
handlers       whether handlers can be imported, tried in a child (import_check)
schema, starter   the file for editors, and for beginners
topology       where the sockets and files of a cluster are, and which processes it has
"""
