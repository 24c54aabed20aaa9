"""`primectl reload`: pools get the code as it is now, without a request that fails."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, NamedTuple

import typer

from primectl.cli import options
from primectl.cli.choose import chosen_place
from primectl.cli.render import reloaded_text, rounded
from primectl.cli.terminal import ProgressLine, say, say_json, tell
from primectl.config.topology import Place
from primectl.control.client import ControlClient
from primectl.errors import CommandRefused, PrimectlError
from primectl.wire.control import ALL, Reloaded, ReloadOrder
from primectl.wire.stats import ClusterSnapshot


class Outcome(NamedTuple):
    """What came of one pool."""

    pool: str
    reloaded: Reloaded | None
    error: PrimectlError | None = None


def reload(
    ctx: typer.Context,
    pools: Annotated[list[str], typer.Argument(metavar="POOL", help="all, or pools; several at once.")],
    file: options.File = None,
    cluster: options.ClusterName = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> int:
    """Import the code as it is now, bring up new workers, and let the old ones leave after what they have.

    No request fails. If the new code cannot be imported or its workers do not come up, the old ones stay and the error
    is shown.
    """
    order = ReloadOrder("", options.seconds(timeout)) if timeout else ReloadOrder("")
    place = chosen_place(ctx, file, cluster)
    wanted = _all_pools(place) if ALL in pools else list(dict.fromkeys(pools))
    with ProgressLine() as progress, ThreadPoolExecutor(len(wanted) or 1) as threads:
        outcomes = list(threads.map(lambda pool: _reload(place, pool, order.timeout_s, progress), wanted))
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if as_json:
        say_json({"cluster": place.cluster, "pools": [_object(outcome) for outcome in outcomes]})
    else:
        _show([outcome.reloaded for outcome in outcomes if outcome.reloaded is not None])
    for error in errors:
        tell(str(error))
    return errors[0].exit_code if errors else 0


def _all_pools(place: Place) -> list[str]:
    with ControlClient(place) as client:
        return [pool.name for pool in client.ask("GET", "/cluster", None, ClusterSnapshot).pools]


def _reload(place: Place, pool: str, timeout_s: float, progress: ProgressLine) -> Outcome:
    """In a thread of its own, with a client of its own: pools do not wait for each other."""
    try:
        with ControlClient(place) as client:
            order = ReloadOrder(pool, timeout_s)
            wait_s = timeout_s + options.MARGIN_S
            return Outcome(pool, client.ask("POST", "/reload", order, Reloaded, timeout_s=wait_s, on_progress=progress))
    except PrimectlError as error:
        return Outcome(pool, None, error)


def _object(outcome: Outcome) -> dict[str, Any]:
    if outcome.reloaded is not None:
        done = rounded(outcome.reloaded)
        return {"pool": done.pop("target"), "ok": True, **done}
    error = outcome.error
    lines = list(error.lines) if isinstance(error, CommandRefused) else []
    return {"pool": outcome.pool, "ok": False, "error": str(error).partition("\n")[0], "lines": lines}


def _show(done: Sequence[Reloaded]) -> None:
    if done:
        say("\n".join(map(reloaded_text, done)))
