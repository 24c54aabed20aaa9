"""What processes say to each other: every message a frozen struct, and the struct its only description.

job        the data plane: jobs, answers, credit
stats      reports to the supervisor, and the snapshot that operators see
control    broadcast commands, and the control API
zygote     the supervisor and its forking helpers
histogram  durations as counts, the form in which they travel
frames     all of these to bytes and back
"""
