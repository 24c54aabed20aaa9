"""What the types cannot say: each rule with the whole line that it gives."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.config.check import check
from primectl.config.convert import convert
from primectl.config.load import Loaded
from primectl.config.problems import Problems

KEYS = st.text(max_size=4) | st.sampled_from(
    [
        "cluster",
        "server",
        "routes",
        "pools",
        "journal",
        "supervisor",
        "work",
        "/x",
        "é",
        "name",
        "listen",
        "workers",
        "max_workers",
        "handler",
        "env",
        "prefetch",
        "health_path",
        "request_timeout",
        "redact_headers",
        "trusted_proxies",
        "GET /{a}",
    ]
)
VALUES = (
    st.sampled_from(["work", "json:dumps", "30s", "10MiB", "http://h:1", "unix:/a", "/x"])
    | st.just(10**400)
    | st.text(max_size=9)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.datetimes()
    | st.times()
)
tables = st.dictionaries(
    KEYS,
    st.recursive(
        VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=5) | st.lists(inner, max_size=3), max_leaves=20
    ),
    max_size=6,
)

Lines = Callable[[str], list[str]]

NAME_RULE = "expected 1 to 31 of a-z, 0-9, - and _, a letter or digit first"
PATH_MEND = "It begins with / and has no space, escape, query or fragment."


@pytest.mark.parametrize("name", ["prime", "7", "shop-2_b", "a" * 31])
def test_a_cluster_name_that_is_fine(problems_with: Lines, name: str) -> None:
    assert problems_with(f'[cluster]\nname = "{name}"\n') == []


@pytest.mark.parametrize("name", ["", "Prime", "-a", "a/b", "..", "a b", "é", "a" * 32])
def test_a_cluster_name_that_is_no_name(problems_with: Lines, name: str) -> None:
    assert problems_with(f'[cluster]\nname = "{name}"\n') == [
        f'my.toml: cluster.name: {NAME_RULE}, got "{name}". Name it in lower case, such as "shop-2".'
    ]


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        (
            "ftp://127.0.0.1:1",
            'expected "http://host:port", "https://host:port" or "unix:/path", got "ftp://127.0.0.1:1". '
            "An address has no user, path or query.",
        ),
        (
            "http://127.0.0.1:80/x",
            'expected "http://host:port", "https://host:port" or "unix:/path", got "http://127.0.0.1:80/x". '
            "An address has no user, path or query.",
        ),
        (
            "http://localhost",
            '"http://localhost" has no port. Write "http://localhost:8000"; port 0 takes a free one.',
        ),
        ("http://localhost:65536", "expected a port from 0 to 65535, got 65536"),
        ("http://:8000", 'the address has no host. Use "127.0.0.1", or "0.0.0.0" for all interfaces.'),
        ("http://*:8000", '"*" is no host name. Use "127.0.0.1", or "0.0.0.0" for all interfaces.'),
        ("http://256.0.0.1:80", '"256.0.0.1" is no IPv4 address. It has four numbers from 0 to 255.'),
        ("http://[::z]:80", '"[::z]" is no IPv6 address. Write one such as "[::1]".'),
        ("unix:my.sock", 'expected an absolute path behind "unix:", got "my.sock". Write "unix:/run/my.sock".'),
        ("unix:/run/", 'expected the path of a socket, got the folder "/run/". Add the socket\'s name.'),
        (
            "unix:/" + "x" * 107,
            "the socket's path has 108 bytes, the system allows 107. Use a shorter path.",
        ),
    ],
)
def test_a_listen_address_that_nobody_could_bind(problems_with: Lines, listen: str, problem: str) -> None:
    assert problems_with(f'[server]\nlisten = "{listen}"\n') == [f"my.toml: server.listen: {problem}"]


@pytest.mark.parametrize(
    "listen", ["http://0.0.0.0:0", "http://[::]:80", "http://localhost:8000", "http://a.b-c.example:1", "unix:/x"]
)
def test_a_listen_address_that_is_fine(problems_with: Lines, listen: str) -> None:
    assert problems_with(f'[server]\nlisten = "{listen}"\n') == []


def test_https_needs_its_files(problems_with: Lines) -> None:
    assert problems_with('[server]\nlisten = "https://localhost:1"\n') == [
        'my.toml: server.certificate: https needs a PEM file here, there is none. Set certificate = "…".',
        'my.toml: server.private_key: https needs a PEM file here, there is none. Set private_key = "…".',
    ]


def test_a_certificate_without_https_is_a_warning(load_text: Callable[[str], Loaded]) -> None:
    Path("cert.pem").write_text("")
    text = '[server]\ncertificate = "cert.pem"\n[routes]\n"/x" = "a"\n[pools.a]\nhandler = "json:dumps"\n'
    assert load_text(text).warnings == (
        "my.toml: server.certificate: not used, since listen is no https address (http://127.0.0.1:8002)",
    )


@pytest.mark.parametrize("path", ["health", "/a b", "/a?b", "/%41", "/a#b"])
def test_the_paths_of_the_server_itself_are_plain_paths(problems_with: Lines, path: str) -> None:
    assert problems_with(f'[server]\nhealth_path = "{path}"\n') == [
        f'my.toml: server.health_path: expected a path such as "/health", or "" for none, got "{path}". {PATH_MEND}'
    ]
    assert problems_with(f'[server]\nready_path = "{path}"\n') == [
        f'my.toml: server.ready_path: expected a path such as "/ready", or "" for none, got "{path}". {PATH_MEND}'
    ]


def test_the_paths_of_the_server_itself_differ_or_are_none(problems_with: Lines) -> None:
    assert problems_with('[server]\nhealth_path = ""\nready_path = ""\n') == []
    assert problems_with('[server]\nready_path = "/health"\n') == [
        'my.toml: server.ready_path: expected another path than health_path, got "/health" for both'
    ]


def test_the_drain_delay_leaves_a_stop_some_of_its_time(problems_with: Lines) -> None:
    assert problems_with('[server]\ndrain_delay = "9s"\n[supervisor]\nstop_timeout = "10s"\n') == []
    assert problems_with('[server]\ndrain_delay = "10s"\n[supervisor]\nstop_timeout = "10s"\n') == [
        "my.toml: server.drain_delay: expected less than supervisor.stop_timeout, which it counts to, got 10s of 10s. "
        "Nothing would be left for finishing what is open: shorten it, or lengthen stop_timeout."
    ]


def test_a_network_that_is_none(problems_with: Lines) -> None:
    assert problems_with('[server]\ntrusted_proxies = ["10.0.0.0/8", "10.0.0.0/33"]\n') == [
        'my.toml: server.trusted_proxies[2]: expected an address or a network, got "10.0.0.0/33". '
        'Write one such as "10.0.0.0/8".'
    ]


def test_a_header_that_is_none(problems_with: Lines) -> None:
    assert problems_with('[journal]\nredact_headers = ["set cookie"]\n') == [
        'my.toml: journal.redact_headers[1]: expected the name of a header field, got "set cookie". '
        'Write one such as "authorization".'
    ]


def test_the_longest_wait_is_not_below_the_first(problems_with: Lines) -> None:
    assert problems_with('[supervisor]\nbackoff_first = "20s"\n') == [
        'my.toml: supervisor.backoff_longest: expected at least backoff_first, which is "20s", got "10s". '
        "Raise it, or lower backoff_first."
    ]


def test_all_logs_together_may_be_as_large_as_one(problems_with: Lines) -> None:
    assert problems_with('[supervisor]\nlog_total = "1MiB"\n') == [
        'my.toml: supervisor.log_total: expected at least log_size, which is "16MiB", got "1MiB". '
        "Raise it, or lower log_size."
    ]
    assert problems_with('[supervisor]\nlog_total = "16MiB"\n') == []


# --- routes and pools -------------------------------------------------------------------------------------------------

POOLS = '[pools.parse]\nhandler = "json:dumps"\n[pools.compute]\nhandler = "json:dumps"\n'


def test_a_route_to_an_unknown_pool_names_the_nearest(problems_of: Lines) -> None:
    routes = '[routes]\n"/a" = "parse"\n"/b" = "compute"\n"/c" = "prase"\n"/d" = "xyz"\n'
    assert problems_of(routes + POOLS) == [
        'my.toml: routes."/c": expected the name of a pool, got "prase". Did you mean "parse"?',
        'my.toml: routes."/d": expected the name of a pool, got "xyz". The pools are parse, compute.',
    ]


def test_a_malformed_route(problems_of: Lines) -> None:
    routes = '[routes]\n"/b" = "compute"\n"get /a" = "parse"\n"GET" = "parse"\n"GET /x{y}" = "parse"\n'
    assert problems_of(routes + POOLS) == [
        'my.toml: routes."get /a": "get" would never match: methods are told apart by case. Write GET.',
        'my.toml: routes.GET: the path does not begin with /. Write "GET /path", or "/path" for any method.',
        'my.toml: routes."GET /x{y}": "x{y}" is no parameter. A parameter takes a whole segment: "/users/{id}".',
    ]


def test_a_route_that_others_hide_wholly(problems_of: Lines) -> None:
    routes = '[routes]\n"GET /u/{id}" = "compute"\n"GET /u/{name}" = "parse"\n'
    assert problems_of(routes + POOLS) == [
        'my.toml: routes."GET /u/{name}": no request ever gets here, "GET /u/{id}" takes them all. '
        "Remove one of the two."
    ]


def test_a_route_to_what_the_server_answers_by_itself(problems_of: Lines) -> None:
    routes = '[routes]\n"/x" = "compute"\n"GET /ready" = "parse"\n'
    assert problems_of(routes + POOLS) == [
        'my.toml: routes."GET /ready": no request ever gets here, server.ready_path is the same path. '
        "Change it, or set ready_path to another."
    ]


def test_a_file_without_routes_or_pools(problems_of: Lines) -> None:
    assert problems_of('[cluster]\nname = "x"\n') == [
        'my.toml: routes: expected at least one route, got none. Add one, such as "GET /path" = "pool".',
        "my.toml: pools: expected at least one pool, got none. Add a table [pools.<name>] with a handler.",
    ]
    assert problems_of('[routes]\n"/x" = "work"\n') == [
        "my.toml: pools: expected at least one pool, got none. Add a table [pools.<name>] with a handler."
    ]


@pytest.mark.parametrize("name", ["Work", "1a", "a.b", "", "a" * 32, "é"])
def test_a_pool_name_that_is_no_name(problems_of: Lines, name: str) -> None:
    shown = name if name in ("Work", "1a", "a" * 32) else f'"{name}"'
    assert problems_of(f'[routes]\n"/x" = "{name}"\n[pools."{name}"]\nhandler = "json:dumps"\n') == [
        f"my.toml: pools.{shown}: expected a pool's name of 1 to 31 of a-z, 0-9, - and _, a letter first. "
        "Rename it, and the routes to it."
    ]


@pytest.mark.parametrize("name", ["all", "server", "worker"])
def test_a_pool_name_that_is_reserved(problems_of: Lines, name: str) -> None:
    assert problems_of(f'[routes]\n"/x" = "{name}"\n[pools.{name}]\nhandler = "json:dumps"\n') == [
        f'my.toml: pools.{name}: "{name}" is reserved, it names a role or a topic. Rename it, and the routes to it.'
    ]


def test_max_workers_is_not_below_workers_not_even_by_default(problems_of: Lines) -> None:
    assert problems_of('[routes]\n"/x" = "a"\n[pools.a]\nhandler = "json:dumps"\nworkers = 100\n') == [
        "my.toml: pools.a.max_workers: expected at least the 100 of workers, got 64. "
        "Raise max_workers, or lower workers."
    ]


def test_a_memory_bound_below_what_an_interpreter_takes(problems_of: Lines) -> None:
    assert problems_of('[routes]\n"/x" = "a"\n[pools.a]\nhandler = "json:dumps"\nmax_rss = "1MiB"\n') == [
        'my.toml: pools.a.max_rss: expected "0B" for no bound, or at least "16MiB", got "1MiB". '
        "An interpreter alone takes about as much, so every worker would be replaced again and again."
    ]


@pytest.mark.parametrize(
    "bounds", ['max_rss = "0B"\nmax_age = "0s"\nmax_jobs = 0', 'max_rss = "16MiB"\nmax_age = "1s"']
)
def test_bounds_of_a_worker_that_are_fine(problems_of: Lines, bounds: str) -> None:
    assert problems_of(f'[routes]\n"/x" = "a"\n[pools.a]\nhandler = "json:dumps"\n{bounds}\n') == []


def test_a_worker_cannot_be_asked_for_a_word_more_often_than_it_gives_one(problems_of: Lines) -> None:
    assert problems_of('[routes]\n"/x" = "a"\n[pools.a]\nhandler = "json:dumps"\nunresponsive_after = "1s"\n') == [
        'my.toml: pools.a.unresponsive_after: expected a duration >= 2s, got "1s"'
    ]


def test_a_handler_that_names_nothing(problems_of: Lines) -> None:
    assert problems_of('[routes]\n"/x" = "a"\n[pools.a]\nhandler = "shop.orders"\n') == [
        'my.toml: pools.a.handler: expected "module:callable", got "shop.orders". '
        "Name the module and the function in it, such as shop.orders:handle."
    ]


def test_an_affinity_that_names_nothing(problems_of: Lines) -> None:
    assert problems_of('[routes]\n"/x" = "a"\n[pools.a]\nhandler = "json:dumps"\naffinity = "shop"\n') == [
        'my.toml: pools.a.affinity: expected "module:callable", got "shop". '
        "Name the module and the function in it, such as shop.orders:handle."
    ]


@pytest.mark.parametrize("name", ["A-B", "1A", "A=B", ""])
def test_an_environment_variable_that_is_none(problems_of: Lines, name: str) -> None:
    shown = name if name in ("A-B", "1A") else f'"{name}"'
    assert problems_of(f'[routes]\n"/x" = "a"\n[pools.a]\nhandler = "json:dumps"\nenv = {{ "{name}" = "1" }}\n') == [
        f"my.toml: pools.a.env.{shown}: expected the name of an environment variable. "
        "It has letters, digits and _, and does not begin with a digit."
    ]


@given(tables)
def test_whatever_a_file_holds_it_is_refused_in_lines_that_a_terminal_can_show(source: dict[str, object]) -> None:
    problems = Problems("my.toml", source)
    check(convert(source, problems), problems)
    assert all(line.isprintable() and line.startswith("my.toml: ") for line in problems.lines())


def test_control_characters_of_a_file_are_shown_escaped(problems_of: Lines) -> None:
    assert problems_of('[routes]\n"/x" = "a"\n[pools.a]\nhandler = "\\u001b[31m\\n"\n') == [
        'my.toml: pools.a.handler: expected "module:callable", got "\\x1b[31m\\n". '
        "Name the module and the function in it, such as shop.orders:handle."
    ]
