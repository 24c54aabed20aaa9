"""What the types cannot say: whether the parts of a config fit together. Reads no file, opens no socket.

Each check looks at keys without a mistake of their own, so one slip makes one line.
"""

from __future__ import annotations

import re
from ipaddress import ip_network

from primectl.config.entry import HandlerFault, split
from primectl.config.listen import parse_listen
from primectl.config.model import RESERVED_POOL_NAMES, Config, PoolConfig
from primectl.config.names import CLUSTER_NAME, ENV_NAME, POOL_NAME
from primectl.config.problems import Path, Problems, nearest, show_value
from primectl.config.rlimits import RLIMITS, UNLIMITED, parse_limit, show_limit
from primectl.config.routes import parse_route, shadowed
from primectl.config.units import show_duration, show_size
from primectl.errors import ConfigError

LEAST_RSS = 16 << 20
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_POINTER = re.compile(r"(/([^~/]|~[01])*)+")
_ACCOUNT = re.compile(r"[^\s:\x00-\x1f\x7f-]\S*")
_UMASK = re.compile(r"0?[0-7]{3}")
_SERVER_PATH = re.compile(r"/[^\s?#%\x00-\x1f\x7f]*")


def check(config: Config, problems: Problems) -> None:
    """All checks of a whole file; mistakes go to `problems`."""
    _check_cluster(config, problems)
    _check_server(config, problems)
    _check_drain_delay(config, problems)
    _check_routes(config, problems)
    _check_pools(config, problems)
    _check_journal(config, problems)
    _check_supervisor(config, problems)


def _check_cluster(config: Config, problems: Problems) -> None:
    path: Path = ("cluster", "name")
    if problems.sound(path) and not re.fullmatch(CLUSTER_NAME, config.cluster.name):
        problems.add(
            path,
            f"expected 1 to 31 of a-z, 0-9, - and _, a letter or digit first, got {show_value(config.cluster.name)}",
            'Name it in lower case, such as "shop-2"',
        )


def _check_server(config: Config, problems: Problems) -> None:
    server = config.server
    scheme = ""
    if problems.sound(("server", "listen")):
        try:
            scheme = parse_listen(server.listen).scheme
        except ConfigError as error:
            problems.add(("server", "listen"), error.what, error.mend)
    for key, value in (("certificate", server.certificate), ("private_key", server.private_key)):
        if not problems.sound(("server", key)):
            continue
        if scheme == "https" and not value:
            problems.add(("server", key), "https needs a PEM file here, there is none", f'Set {key} = "…"')
        if scheme in ("http", "unix") and value:
            problems.warn(("server", key), f"not used, since listen is no https address ({server.listen})")
    for key, value in (("health_path", server.health_path), ("ready_path", server.ready_path)):
        if problems.sound(("server", key)) and value and not _SERVER_PATH.fullmatch(value):
            problems.add(
                ("server", key),
                f'expected a path such as "/{key.removesuffix("_path")}", or "" for none, got {show_value(value)}',
                "It begins with / and has no space, escape, query or fragment",
            )
    both: tuple[Path, Path] = (("server", "health_path"), ("server", "ready_path"))
    if problems.sound(*both) and server.ready_path and server.ready_path == server.health_path:
        problems.add(both[1], f'expected another path than health_path, got "{server.ready_path}" for both')
    for number, network in enumerate(server.trusted_proxies):
        if problems.clean(("server", "trusted_proxies")) and not _is_network(network):
            problems.add(
                ("server", "trusted_proxies", number),
                f"expected an address or a network, got {show_value(network)}",
                'Write one such as "10.0.0.0/8"',
            )


def _check_drain_delay(config: Config, problems: Problems) -> None:
    delay_s, limit_s = config.server.drain_delay, config.supervisor.stop_timeout
    if problems.sound(("server", "drain_delay"), ("supervisor", "stop_timeout")) and 0 < limit_s <= delay_s:
        problems.add(
            ("server", "drain_delay"),
            f"expected less than supervisor.stop_timeout, which it counts to, got {show_duration(delay_s)}"
            f" of {show_duration(limit_s)}",
            "Nothing would be left for finishing what is open: shorten it, or lengthen stop_timeout",
        )


def _check_routes(config: Config, problems: Problems) -> None:
    if not config.routes and problems.clean(("routes",)):
        problems.add(("routes",), "expected at least one route, got none", 'Add one, such as "GET /path" = "pool"')
    legal = {}
    for key, pool in config.routes.items():
        path: Path = ("routes", key)
        try:
            route = parse_route(key)
        except ConfigError as error:
            for mistake in error.problems:
                problems.add(path, f"{mistake.removeprefix(f'{error.where}: ').rstrip('.')}.")
        else:
            legal[key] = pool
            _check_own_paths(config, route.path, path, problems)
        if config.pools and pool not in config.pools and not problems.has(("pools", pool)):
            known = nearest(pool, config.pools) or f"The pools are {', '.join(config.pools)}"
            problems.add(path, f"expected the name of a pool, got {show_value(pool)}", known)
    for hidden, by in shadowed(legal):
        problems.add(
            ("routes", hidden), f"no request ever gets here, {show_value(by)} takes them all", "Remove one of the two"
        )


def _check_own_paths(config: Config, route_path: str, path: Path, problems: Problems) -> None:
    """A route to what the server answers by itself would never be used."""
    for key, own in (("health_path", config.server.health_path), ("ready_path", config.server.ready_path)):
        if own and route_path == own and problems.sound(("server", key)):
            problems.add(
                path, f"no request ever gets here, server.{key} is the same path", f"Change it, or set {key} to another"
            )


def _check_pools(config: Config, problems: Problems) -> None:
    if not config.pools and problems.clean(("pools",)):
        problems.add(("pools",), "expected at least one pool, got none", "Add a table [pools.<name>] with a handler")
    for name, pool in config.pools.items():
        path: Path = ("pools", name)
        if not re.fullmatch(POOL_NAME, name):
            problems.add(
                path,
                "expected a pool's name of 1 to 31 of a-z, 0-9, - and _, a letter first",
                "Rename it, and the routes to it",
            )
        elif name in RESERVED_POOL_NAMES:
            problems.add(path, f'"{name}" is reserved, it names a role or a topic', "Rename it, and the routes to it")
        _check_pool(pool, path, problems)
        _check_identity(pool, config.supervisor.log_size, path, problems)


def _check_pool(pool: PoolConfig, path: Path, problems: Problems) -> None:
    def sound(*keys: str) -> bool:
        # Not the pool's own path: a bad name does not hide what is wrong inside.
        return not any(problems.has((*path, key)) for key in keys)

    for key, entry in (("handler", pool.handler), ("affinity", pool.affinity)):
        if sound(key) and (entry or key == "handler"):
            try:
                split(entry)
            except HandlerFault as fault:
                problems.add((*path, key), fault.what, fault.mend)
    if sound("workers", "max_workers") and pool.max_workers < pool.workers:
        problems.add(
            (*path, "max_workers"),
            f"expected at least the {pool.workers} of workers, got {pool.max_workers}",
            "Raise max_workers, or lower workers",
        )
    if sound("max_rss") and 0 < pool.max_rss < LEAST_RSS:
        problems.add(
            (*path, "max_rss"),
            f'expected "0B" for no bound, or at least "{show_size(LEAST_RSS)}", got "{show_size(pool.max_rss)}"',
            "An interpreter alone takes about as much, so every worker would be replaced again and again",
        )
    for name in pool.env:
        if not re.fullmatch(ENV_NAME, name):
            problems.add(
                (*path, "env", name),
                "expected the name of an environment variable",
                "It has letters, digits and _, and does not begin with a digit",
            )


def _check_identity(pool: PoolConfig, log_size: int, path: Path, problems: Problems) -> None:
    """What can be said of limits and identity without looking at the host."""
    for key, name in (("user", pool.user), ("group", pool.group)):
        if problems.sound((*path, key)) and name and not _ACCOUNT.fullmatch(name):
            problems.add((*path, key), f"expected the name or the number of a {key}, got {show_value(name)}")
    if problems.sound((*path, "umask")) and not _UMASK.fullmatch(pool.umask):
        problems.add((*path, "umask"), f"expected octal digits, got {show_value(pool.umask)}", 'Write it such as "022"')
    for name, value in pool.rlimits.items():
        _check_limit(name, value, log_size, (*path, "rlimits", name), problems)


def _check_limit(name: str, value: int | str, log_size: int, path: Path, problems: Problems) -> None:
    if name not in RLIMITS:
        mend = nearest(name.lower().removeprefix("rlimit_"), RLIMITS) or f"Known here: {', '.join(RLIMITS)}"
        problems.add(path, "unknown limit", mend)
        return
    try:
        limit = parse_limit(name, value)
    except ValueError as expected:
        problems.add(path, f"expected {expected}, got {show_value(value)}")
        return
    if name == "fsize" and UNLIMITED < limit < log_size and problems.sound(("supervisor", "log_size")):
        least, got = show_size(log_size), show_limit(name, limit)
        what = f'expected at least supervisor.log_size, which is "{least}", got {got}'
        problems.add(path, what, "A worker writes its own log: raise it, or lower log_size")
    if name == "cpu" and limit == 0:
        problems.add(path, "expected more than 0 seconds, got 0", "A worker needs some processor time")


def _check_journal(config: Config, problems: Problems) -> None:
    for number, field in enumerate(config.journal.redact_headers):
        if problems.clean(("journal", "redact_headers")) and not _FIELD_NAME.fullmatch(field):
            problems.add(
                ("journal", "redact_headers", number),
                f"expected the name of a header field, got {show_value(field)}",
                'Write one such as "authorization"',
            )
    for number, key in enumerate(config.journal.redact_query):
        if problems.clean(("journal", "redact_query")) and not key:
            problems.add(("journal", "redact_query", number), 'expected a key of the query, got ""')
    for number, pointer in enumerate(config.journal.redact_body):
        if problems.clean(("journal", "redact_body")) and not _POINTER.fullmatch(pointer):
            problems.add(
                ("journal", "redact_body", number),
                f"expected a JSON pointer, got {show_value(pointer)}",
                'Write one such as "/user/password"; "~1" is a slash in a key, "~0" a tilde',
            )


def _check_supervisor(config: Config, problems: Problems) -> None:
    first, longest = config.supervisor.backoff_first, config.supervisor.backoff_longest
    keys: tuple[Path, Path] = (("supervisor", "backoff_first"), ("supervisor", "backoff_longest"))
    if problems.sound(*keys) and longest < first:
        problems.add(
            keys[1],
            f'expected at least backoff_first, which is "{show_duration(first)}", got "{show_duration(longest)}"',
            "Raise it, or lower backoff_first",
        )
    one, total = config.supervisor.log_size, config.supervisor.log_total
    if problems.sound(("supervisor", "log_size"), ("supervisor", "log_total")) and total < one:
        problems.add(
            ("supervisor", "log_total"),
            f'expected at least log_size, which is "{show_size(one)}", got "{show_size(total)}"',
            "Raise it, or lower log_size",
        )


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
