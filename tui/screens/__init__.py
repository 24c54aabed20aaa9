"""Screens: each shows a part of the picture that the app hands it, and posts what the operator wants.

view        View: what all screens share, from the status line to the bottom line
overview    pools, queues, advice, what happened last
workers     the processes, of all pools or of one
logs        the tail of logs
events      what happened
requests    what was recorded
request     all of one
replays     runs of this session, results of one, one result
dialog      Dialog: what all questions share
scale, kill, restart, stop, replay, help
"""
