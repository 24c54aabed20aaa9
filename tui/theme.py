"""The console's own colours, by meaning; the style sheet takes them from here. Loaded with the app."""

from __future__ import annotations

from textual.theme import Theme

NIGHT = Theme(
    name="primectl",
    dark=True,
    background="#0f141a",
    surface="#151b23",
    panel="#1d2630",
    foreground="#c9d3de",
    primary="#5ab0f6",
    secondary="#8fa3b8",
    accent="#7fd1e8",
    success="#7bd88f",
    warning="#f2c46d",
    error="#f7768e",
    variables={
        "ink-strong": "#f0f5fa",
        "ink-dim": "#64748a",
        "title": "#8fb3d9",
        "busy": "#5ab0f6",
        "idle": "#52708f",
        "low": "#2c5579",
        "middle": "#3b7ba8",
        "high": "#5aa7cc",
        "match-ink": "#0f141a",
        "cursor-bar": "#22364d",
        "footer-key-foreground": "#7fd1e8",
        "input-cursor-background": "#c9d3de",
        "border": "#33475c",
        "scrollbar": "#33475c",
        "block-cursor-background": "#22364d",
        "block-cursor-foreground": "#f0f5fa",
    },
)
