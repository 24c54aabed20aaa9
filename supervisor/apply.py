"""What another config means for a cluster that runs: which keys differ, and what is done about each.

`KEYS` is the one table from a key to whom it concerns; a key that is missing from it fails a test. `plan` compares two
configs by it and says what is going to happen, in words for operators and as the parts that `applying` carries out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from functools import cache
from typing import Any, get_type_hints

from msgspec import Meta, Struct, structs

from primectl.config.model import ClusterConfig, Config, JournalConfig, PoolConfig, ServerConfig, SupervisorConfig
from primectl.config.problems import show_path, show_value
from primectl.config.units import show_duration, show_size
from primectl.wire.control import PlannedChange, Refusal
from supervisor.words import counted


class Concern(Enum):
    """What has to be done where a key changes."""

    FIXED = auto()
    """It cannot change while the cluster runs."""
    AT_ONCE = auto()
    """Whoever reads it takes it while running: the supervisor, or a process that is told to `Reread`."""
    SERVERS = auto()
    """The servers read it when they start: they are replaced."""
    LISTEN = auto()
    """A new address is bound, and the servers are replaced."""
    PROCESSES = auto()
    """Servers come or go."""
    RELOAD = auto()
    """A pool's workers have it from their start, or their zygote's: they are replaced."""
    SIZE = auto()
    """Workers come or go."""


C = Concern

KEYS: Mapping[str, Concern] = {
    "cluster.name": C.FIXED,
    "cluster.max_hops": C.AT_ONCE,
    "server.listen": C.LISTEN,
    "server.processes": C.PROCESSES,
    "server.request_timeout": C.SERVERS,
    "server.max_request_size": C.SERVERS,
    "server.max_inflight": C.SERVERS,
    "server.max_inflight_size": C.SERVERS,
    "server.max_connections": C.SERVERS,
    "server.max_header_size": C.SERVERS,
    "server.max_headers": C.SERVERS,
    "server.max_url_size": C.SERVERS,
    "server.header_timeout": C.SERVERS,
    "server.body_timeout": C.SERVERS,
    "server.write_timeout": C.SERVERS,
    "server.keep_alive_timeout": C.SERVERS,
    "server.health_path": C.SERVERS,
    "server.ready_path": C.SERVERS,
    "server.access_log": C.SERVERS,
    "server.certificate": C.SERVERS,
    "server.private_key": C.SERVERS,
    "server.trusted_proxies": C.SERVERS,
    "server.essential": C.AT_ONCE,
    "server.drain_delay": C.AT_ONCE,
    "routes": C.AT_ONCE,
    "pools.*.handler": C.RELOAD,
    "pools.*.workers": C.SIZE,
    "pools.*.max_workers": C.AT_ONCE,
    "pools.*.prefetch": C.AT_ONCE,
    "pools.*.max_queue": C.AT_ONCE,
    "pools.*.retry": C.AT_ONCE,
    "pools.*.max_attempts": C.AT_ONCE,
    "pools.*.affinity": C.AT_ONCE,
    "pools.*.kill_after": C.AT_ONCE,
    "pools.*.worker_timeout": C.AT_ONCE,
    "pools.*.spawn": C.RELOAD,
    "pools.*.env": C.RELOAD,
    "pools.*.cwd": C.RELOAD,
    "pools.*.user": C.RELOAD,
    "pools.*.group": C.RELOAD,
    "pools.*.nice": C.RELOAD,
    "pools.*.cpu_affinity": C.RELOAD,
    "pools.*.rlimits": C.RELOAD,
    "pools.*.umask": C.RELOAD,
    "pools.*.start_timeout": C.AT_ONCE,
    "pools.*.essential": C.AT_ONCE,
    "pools.*.proxy_essential": C.AT_ONCE,
    "pools.*.reload_surge": C.AT_ONCE,
    "pools.*.reload_pace": C.AT_ONCE,
    "pools.*.unresponsive_after": C.AT_ONCE,
    "pools.*.max_jobs": C.AT_ONCE,
    "pools.*.max_rss": C.AT_ONCE,
    "pools.*.max_age": C.AT_ONCE,
    "journal.enabled": C.AT_ONCE,
    "journal.keep": C.AT_ONCE,
    "journal.max_size": C.AT_ONCE,
    "journal.max_body": C.AT_ONCE,
    "journal.sample": C.AT_ONCE,
    "journal.slow": C.AT_ONCE,
    "journal.redact_headers": C.AT_ONCE,
    "journal.redact_query": C.AT_ONCE,
    "journal.redact_body": C.AT_ONCE,
    "supervisor.backoff_first": C.AT_ONCE,
    "supervisor.backoff_longest": C.AT_ONCE,
    "supervisor.crash_limit": C.AT_ONCE,
    "supervisor.crash_window": C.AT_ONCE,
    "supervisor.stop_timeout": C.AT_ONCE,
    "supervisor.log_size": C.AT_ONCE,
    "supervisor.log_age": C.AT_ONCE,
    "supervisor.log_keep": C.AT_ONCE,
    "supervisor.log_total": C.AT_ONCE,
    "supervisor.healthy_after": C.AT_ONCE,
    "supervisor.orphans": C.AT_ONCE,
}
"""By table and key; `pools.*` stands for every pool. `[routes]` is one key, since its keys are the operator's own."""

AT_ONCE = "takes effect at once"
SERVERS = "servers are replaced one after the other"
LISTEN = "the new address is bound, servers are replaced, the old address is closed"
STOP_AND_START = "Stop the cluster (`primectl down`) and start it with this file (`primectl up -d`)"
RECORDER_KEY = ("journal", "enabled")
IMPORT_PATH = "folder of the file"
"""Stands for a key: where handlers are imported from is given by where the file is."""

Table = ClusterConfig | ServerConfig | JournalConfig | SupervisorConfig | PoolConfig


class Plan(Struct, frozen=True):
    """What is going to happen: `changes` for people, the rest for `applying`, in the order in which it is done."""

    changes: tuple[PlannedChange, ...] = ()
    starting: tuple[str, ...] = ()
    """Pools that are new."""
    reloading: tuple[str, ...] = ()
    """Pools whose workers are replaced."""
    sizes: Mapping[str, int] = {}
    """New numbers of workers, by pool."""
    routes: bool = False
    servers: bool = False
    """All servers are replaced."""
    listen: bool = False
    """They get another address."""
    processes: bool = False
    """There are more of them, or fewer."""
    ending: tuple[str, ...] = ()
    """Pools that are no more."""
    refusal: Refusal | None = None
    """Why none of it can be."""


def concern(table: str, key: str) -> Concern:
    """Whom a key concerns; `table` is "server" or another table's name, "pools.*" for a pool's."""
    return KEYS[f"{table}.{key}"]


def plan(
    old: Config,
    new: Config,
    targets: Mapping[str, int],
    *,
    old_import_path: str = "",
    new_import_path: str = "",
    keep_sizes: bool = False,
) -> Plan:
    """From the config that counts to another one. `targets` is the number of workers that each pool shall have now."""
    changes: list[PlannedChange] = []
    found: set[Concern] = set()
    fixed = ""
    for name, before, after in _tables(old, new):
        for key, was, becomes in _differing(before, after):
            kind = concern(name, key)
            found.add(kind)
            if kind is C.FIXED:
                fixed = fixed or f"{name}.{key}"
            effect = _recorder_effect(new) if (name, key) == RECORDER_KEY else _server_effect(kind, old, new)
            changes.append(PlannedChange(f"{name}.{key}", was, becomes, effect))
    moved = old_import_path != new_import_path
    if moved:
        effect = "every pool is reloaded"
        changes.append(PlannedChange(IMPORT_PATH, show_value(old_import_path), show_value(new_import_path), effect))
    changes += _routes(old, new)
    starting = tuple(pool for pool in new.pools if pool not in old.pools)
    ending = tuple(pool for pool in old.pools if pool not in new.pools)
    sizes: dict[str, int] = {}
    reloading: list[str] = []
    for pool, settings in new.pools.items():
        if pool in starting:
            changes.append(PlannedChange(f"pools.{pool}", "", _in_short(settings), f"pool {pool} starts"))
            continue
        reloads = moved
        for key, was, becomes in _pool_differing(old.pools[pool], settings):
            if key == "workers":
                continue
            kind = concern("pools.*", key.partition(".")[0])
            reloads |= kind is C.RELOAD
            effect = f"pool {pool} is reloaded" if kind is C.RELOAD else AT_ONCE
            changes.append(PlannedChange(f"pools.{pool}.{key}", was, becomes, effect))
        if reloads:
            reloading.append(pool)
        size = _size(pool, old.pools[pool].workers, settings.workers, targets[pool], keep_sizes)
        if size is not None:
            sizes[pool] = settings.workers
            changes.append(size)
    for pool in ending:
        changes.append(PlannedChange(f"pools.{pool}", _in_short(old.pools[pool]), "", f"pool {pool} drains and ends"))
    refusal = None
    if fixed:
        refusal = Refusal(f"{fixed} cannot change while the cluster runs", mend=STOP_AND_START)
    return Plan(
        tuple(changes),
        starting,
        tuple(reloading),
        sizes,
        old.routes != new.routes,
        not found.isdisjoint((C.SERVERS, C.LISTEN)),
        C.LISTEN in found,
        C.PROCESSES in found,
        ending,
        refusal,
    )


def with_servers(old: Config, new: Config) -> Config:
    """`old` with all of `new` but its routes and pools."""
    return structs.replace(new, routes=old.routes, pools=old.pools)


def with_pool(old: Config, new: Config, pool: str, *, workers: int | None = None) -> Config:
    """`old` with this pool as it is in `new`, in the order of `new`; `workers` stand for those in `new`."""
    settings = new.pools[pool] if workers is None else structs.replace(new.pools[pool], workers=workers)
    pools = {**old.pools, pool: settings}
    order = [name for name in new.pools if name in pools]
    return structs.replace(old, pools={name: pools[name] for name in dict.fromkeys((*order, *pools))})


def without_pool(old: Config, pool: str) -> Config:
    return structs.replace(old, pools={name: settings for name, settings in old.pools.items() if name != pool})


def with_at_once(old: Config, new: Config) -> Config:
    """`old` with what `new` has in the keys that take effect at once; pools, routes and the rest stay."""
    pools = {
        name: _taking(pool, new.pools[name], "pools.*") if name in new.pools else pool
        for name, pool in old.pools.items()
    }
    return structs.replace(
        old,
        cluster=_taking(old.cluster, new.cluster, "cluster"),
        server=_taking(old.server, new.server, "server"),
        journal=_taking(old.journal, new.journal, "journal"),
        supervisor=_taking(old.supervisor, new.supervisor, "supervisor"),
        pools=pools,
    )


def _taking(before: Any, after: Any, table: str) -> Any:
    taken = {
        field.name: getattr(after, field.name)
        for field in structs.fields(before)
        if concern(table, field.name) is C.AT_ONCE
    }
    return structs.replace(before, **taken)


# --- the rows ---------------------------------------------------------------------------------------------------------


def _tables(old: Config, new: Config) -> Iterator[tuple[str, Table, Table]]:
    yield "cluster", old.cluster, new.cluster
    yield "server", old.server, new.server
    yield "journal", old.journal, new.journal
    yield "supervisor", old.supervisor, new.supervisor


def _differing(before: Table, after: Table) -> Iterator[tuple[str, str, str]]:
    """Each key of a table that differs, with both values."""
    units = _units(type(before))
    for field in structs.fields(before):
        was, becomes = getattr(before, field.name), getattr(after, field.name)
        if was != becomes:
            yield field.name, _shown(was, units.get(field.name, "")), _shown(becomes, units.get(field.name, ""))


def _pool_differing(before: PoolConfig, after: PoolConfig) -> Iterator[tuple[str, str, str]]:
    """As `_differing`; of the environment each name that changes, and no value, since values may be secrets."""
    for key, was, becomes in _differing(before, after):
        if key != "env":
            yield key, was, becomes
            continue
        for name in dict.fromkeys((*before.env, *after.env)):
            if before.env.get(name) != after.env.get(name):
                had, has = name in before.env, name in after.env
                yield show_path(("env", name)), "set" if had else "", ("changed" if had else "set") if has else ""


def _server_effect(kind: Concern, old: Config, new: Config) -> str:
    match kind:
        case C.FIXED:
            return "cannot change: stop and start"
        case C.LISTEN:
            return LISTEN
        case C.PROCESSES:
            return f"from {old.server.processes} to {new.server.processes} servers"
        case C.SERVERS:
            return SERVERS
        case _:
            return AT_ONCE


def _recorder_effect(new: Config) -> str:
    return "the recorder starts" if new.journal.enabled else "servers tell of no more requests, the recorder leaves"


def _routes(old: Config, new: Config) -> Iterator[PlannedChange]:
    for route in dict.fromkeys((*old.routes, *new.routes)):
        was, becomes = old.routes.get(route), new.routes.get(route)
        if was != becomes:
            key = show_path(("routes", route))
            shown = ["" if pool is None else show_value(pool) for pool in (was, becomes)]
            yield PlannedChange(key, shown[0], shown[1], AT_ONCE)


def _in_short(pool: PoolConfig) -> str:
    return f"{pool.handler}, {counted(pool.workers, 'worker')}"


def _size(pool: str, configured: int, wanted: int, target: int, keep: bool) -> PlannedChange | None:
    """The row of a pool's size. An operator's `scale` is shown against the file."""
    if wanted == configured and (wanted == target or keep):
        return None
    before = str(configured) if target == configured else f"{target} (scaled from {configured})"
    effect = f"stays at {wanted} workers" if wanted == target else f"from {target} to {wanted} workers"
    return PlannedChange(f"pools.{pool}.workers", before, str(wanted), effect)


def _shown(value: object, unit: str) -> str:
    """A value as the file writes it."""
    if unit == "duration" and isinstance(value, float):
        return show_value(show_duration(value))
    if unit == "size" and isinstance(value, int):
        return show_value(show_size(value))
    if isinstance(value, tuple | list):
        return f"[{', '.join(show_value(item) for item in value)}]"
    return show_value(value)


@cache
def _units(table: type[Struct]) -> Mapping[str, str]:
    """The unit of each key that has one."""
    found = {}
    for name, hint in get_type_hints(table, include_extras=True).items():
        for meta in getattr(hint, "__metadata__", ()):
            if isinstance(meta, Meta) and meta.extra and "unit" in meta.extra:
                found[name] = meta.extra["unit"]
    return found
