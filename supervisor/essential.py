"""What the cluster cannot do without: when it has failed for good, the cluster stops and says why by its exit code.

Whoever watches the supervisor (systemd, a container's runtime) can then do what it cannot: start anew, or elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from supervisor.books import Books
from supervisor.events import EssentialFailure, Kind
from supervisor.lifecycle import ProcessState
from supervisor.process import Process


def lost(books: Books) -> EssentialFailure | None:
    """The first essential thing of which nothing is left that could run; None while all is well."""
    config = books.config
    if not any(process.state is ProcessState.FAILED for process in books.processes.values()):
        return None
    wanted = [process for process in books.processes.values() if not process.leaving]
    if config.server.essential:
        servers = [process for process in wanted if process.kind is Kind.SERVER]
        if _all_failed(servers):
            return _failure(servers, "server.essential")
    for pool, settings in config.pools.items():
        if settings.proxy_essential:
            proxies = [process for process in wanted if process.kind is Kind.PROXY and process.pool == pool]
            if _all_failed(proxies):
                return _failure(proxies, f"pools.{pool}.proxy_essential")
        if settings.essential:
            workers = [process for process in wanted if process.kind is Kind.WORKER and process.pool == pool]
            if _all_failed(workers):
                return _failure(workers, f"pools.{pool}.essential")
    return None


def _all_failed(processes: Sequence[Process]) -> bool:
    return bool(processes) and all(process.state is ProcessState.FAILED for process in processes)


def _failure(failed: Sequence[Process], key: str) -> EssentialFailure:
    last = max(failed, key=lambda process: process.incarnation)
    who = last.id if len(failed) == 1 else f"{last.id}, the last of {len(failed)},"
    return EssentialFailure(last.id, f"{who} has failed: {last.cause}; {key} is true", last.last_lines)
