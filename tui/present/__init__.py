"""What the console shows, decided without a terminal: no Textual, no Rich, no clock. The CLI prints from here too.

clean      text from outside made harmless, measured and cut by terminal cells
units      seconds, bytes, shares and rates as short text
trends     a history of ClusterSnapshots as points, and how fast queues grow
tables     ClusterSnapshot -> rows, and which columns fit
advice     the sentence that names the bottleneck; what a new size would change
panels     the lines around the tables: status, servers, strips, events
journal    what is wrong with recording, in a line
picture    all that the feed has told so far, and how old it is
tail       log lines: joining the asked-for tail to the live ones, matching
requests   recorded requests: what to ask next, marks, rows
entries    one recorded request, in short and whole
replays    the plan of a replay: what is sent, how fast, by which command
runs       replays of this session: how far they are, what they found
differences  a result of a replay: then beside now
"""
