"""The options that commands share, each written once."""

from __future__ import annotations

from typing import Annotated

import typer

from primectl.config.units import parse_duration
from primectl.errors import ConfigError

File = Annotated[
    str | None,
    typer.Option("-f", "--file", metavar="FILE", help="Config file; else primectl.toml here, else the sample `prime`."),
]
FileBesideFollow = Annotated[
    str | None,
    typer.Option("--file", metavar="FILE", help="Config file; `primectl -f FILE` names it, too."),
]
ClusterName = Annotated[
    str | None,
    typer.Option("-c", "--cluster", metavar="NAME", help="Cluster; else the one running, else the one in the file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text for people.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes; Ctrl-C ends it.")]
Last = Annotated[str, typer.Option("-n", "--last", metavar="N", help="How many of the latest to show.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Not before: so long ago (5m), or a time (2026-01-31T12:00:00Z)."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Not after: as --since says it.")]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="FILTER", help="Those that fit, such as 'status>=500 and path~/x and not replay'."),
]
Dead = Annotated[bool, typer.Option("--dead", help="Dead letters that no replay has redeemed yet.")]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="How long it may take, such as 30s or 2m.")
]

MARGIN_S = 5.0
"""A console waits so much longer than it has told the supervisor to try, so that the refusal still arrives."""


def seconds(text: str, option: str = "--timeout") -> float:
    """A duration from the command line; a bare number is seconds. Raises ConfigError."""
    try:
        return parse_duration(f"{text}s" if text.replace(".", "", 1).isdecimal() else text)
    except ValueError:
        raise ConfigError(f"expected a duration, got {text!r}", option, "Give it a unit: 500ms, 30s, 2m") from None


def whole_number(text: str, option: str, least: int = 0) -> int:
    """A count from the command line. Raises ConfigError."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < least:
        raise ConfigError(f"expected a whole number >= {least}, got {text!r}", option)
    return int(text)
