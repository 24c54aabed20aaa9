"""The console: a terminal program that reads the feed and asks the control API, and knows nothing else of a cluster.

    present   snapshots to rows, charts, sentences; pure, and loaded by the command line too
    widgets   one a file, drawn line by line
    screens   one a file: overview, workers, logs, events, and the dialogs
    messages  what travels up from them
    commands  everything an operator can do, declared once
    feed      what the app hears and asks
    app       holds the snapshot, turns messages into commands

Nothing is imported here, so that `tui.present` loads without Textual.
"""
