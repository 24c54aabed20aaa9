"""Widgets that draw by line: each is handed lines in tones and repaints those that changed.

lines       Lines: the one that draws; the others make lines for it
live_table  rows with a cursor that belongs to a row's id
log_view    a bounded tail: follow, search, filter
spark       a history as a chart
text_view   lines to read, longer than the screen
workers     one cell a worker
bar         the line at the bottom for `:` and `/`
"""
