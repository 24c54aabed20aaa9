"""`primectl scale`: how many workers a pool has."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.render import rounded, scaled_text
from primectl.cli.terminal import ProgressLine, say, say_json
from primectl.control.client import ControlClient
from primectl.errors import ConfigError, PrimectlError
from primectl.wire.control import Scale, Scaled

CONTEXT_SETTINGS = {"ignore_unknown_options": True}  # so that `scale compute -1` reaches us

_SIZE = re.compile(r"[+-]?[0-9]{1,6}")
_POOL = re.compile(r"[^-=\s][^=\s]*")


def scale(
    ctx: typer.Context,
    wishes: Annotated[list[str], typer.Argument(metavar="POOL=N", help="POOL=8, POOL=+2, POOL=-1; several at once.")],
    file: options.File = None,
    cluster: options.ClusterName = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Give a pool a number of workers; returns when it has them.

    Numbers with a sign add and take away. New workers get the lowest free numbers; idle workers leave first.
    """
    limit_s = options.seconds(timeout) if timeout else 60.0
    orders = [Scale(pool, workers, limit_s) for pool, workers in parse(wishes)]
    done: list[Scaled] = []
    place = chosen_place(ctx, file, cluster)
    try:
        with ControlClient(place) as client, ProgressLine() as progress:
            for order in orders:
                wait_s = limit_s + options.MARGIN_S
                scaled = client.ask("POST", "/scale", order, Scaled, timeout_s=wait_s, on_progress=progress)
                done.append(scaled)
    except PrimectlError:
        # What was done before stays done, and is told.
        for scaled in done if not as_json else ():
            say(scaled_text(scaled))
        raise
    if as_json:
        say_json({"cluster": place.cluster, "pools": [rounded(scaled) for scaled in done]})
    else:
        say("\n".join(map(scaled_text, done)))


def parse(words: list[str]) -> list[tuple[str, str]]:
    """`compute=8`, `compute=+2` or `compute 8` to pool and size, in order. Raises ConfigError."""
    wishes = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        pool, equals, size = word.partition("=")
        if not equals and rest and _SIZE.fullmatch(rest[0]):
            size = rest.pop(0)
        if not _POOL.fullmatch(pool) or not _SIZE.fullmatch(size):
            raise ConfigError(f"expected POOL=N, got {word!r}", "scale", "Such as compute=8, compute=+2 or compute=-1")
        wishes.append((pool, size))
    if len({pool for pool, _ in wishes}) < len(wishes):
        raise ConfigError("a pool is named twice", "scale", "Give each pool one size")
    return wishes
