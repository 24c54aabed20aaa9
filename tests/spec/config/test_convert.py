"""Single keys: what is refused, in whole lines; what the structs hold."""

from collections.abc import Callable

import pytest

from primectl.config.load import Loaded
from primectl.config.model import PoolConfig

POOL_KEYS = ", ".join(PoolConfig.__struct_fields__)

Lines = Callable[[str], list[str]]


def test_all_keys_arrive_in_the_structs(load_text: Callable[[str], Loaded]) -> None:
    config = load_text(
        """
        [cluster]
        name = "shop-2"
        [server]
        listen = "http://[::1]:0"
        request_timeout = "250ms"
        max_request_size = "1MiB"
        access_log = false
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [routes]
        "POST /orders" = "orders"
        [pools.orders]
        handler = "json:dumps"
        prefetch = 1
        env = { OMP_NUM_THREADS = "1" }
        """
    ).config
    assert config.cluster.name == "shop-2"
    assert (config.server.listen, config.server.request_timeout) == ("http://[::1]:0", 0.25)
    assert (config.server.max_request_size, config.server.access_log) == (1 << 20, False)
    assert config.server.trusted_proxies == ("10.0.0.0/8", "::1")
    assert config.routes == {"POST /orders": "orders"}
    assert config.pools["orders"].prefetch == 1
    assert config.pools["orders"].env == {"OMP_NUM_THREADS": "1"}
    assert config.journal.keep == 86_400.0


@pytest.mark.parametrize(
    ("pool_line", "problem"),
    [
        (
            'workers = "four"',
            'workers: expected a whole number >= 0, got "four". Give the number of worker processes.',
        ),
        ('workers = "4"', 'workers: expected a whole number >= 0, got "4". Write 4 without quotes.'),
        ("workers = -1", "workers: expected a whole number >= 0, got -1"),
        (
            "workers = 2.5",
            "workers: expected a whole number >= 0, got 2.5. Give the number of worker processes.",
        ),
        (
            "workers = true",
            "workers: expected a whole number >= 0, got true. Give the number of worker processes.",
        ),
        ("workers = 5000", "workers: expected a whole number from 0 to 4096, got 5000"),
        (
            "max_workers = []",
            "max_workers: expected a whole number >= 1, got a list. Give the most workers that scale may ask for.",
        ),
        ("max_queue = 0", "max_queue: expected a whole number >= 1, got 0"),
        (
            "max_queue = 99999999999999999999",
            "max_queue: expected a whole number <= 9223372036854775807, got 99999999999999999999",
        ),
        (
            f"max_queue = 0x1{'0' * 5000}",
            "max_queue: expected a whole number <= 9223372036854775807, got a number of very many digits",
        ),
        ("prefetch = 0", 'prefetch: expected "auto" or a whole number >= 1, got 0'),
        ('prefetch = "many"', 'prefetch: expected "auto" or a whole number >= 1, got "many"'),
        ("prefetch = true", 'prefetch: expected "auto" or a whole number >= 1, got true'),
        (
            'retry = "allways"',
            'retry: expected "always", "idempotent" or "never", got "allways". Did you mean "always"?',
        ),
        ("retry = true", 'retry: expected "always", "idempotent" or "never", got true'),
        (
            "start_timeout = 30",
            'start_timeout: expected a duration with its unit, such as "30s", got 30. '
            'Write "30s"; units are ms, s, m, h and d.',
        ),
        (
            'start_timeout = "30 seconds"',
            'start_timeout: expected a duration with its unit, such as "30s", got "30 seconds". '
            "Units are ms, s, m, h and d.",
        ),
        (
            "start_timeout = nan",
            'start_timeout: expected a duration with its unit, such as "30s", got nan. Units are ms, s, m, h and d.',
        ),
        ('start_timeout = "0s"', 'start_timeout: expected a duration > 0s, got "0s"'),
        ("env = 3", "env: expected a table, got 3. Begin it with [pools.work.env]."),
        ("env.THREADS = 4", 'env.THREADS: expected a text in quotes, got 4. Write "4".'),
        ("env.A = 1979-05-27", 'env.A: expected a text in quotes, got 1979-05-27. Write "1979-05-27".'),
        ('env.A = "a\\u0000b"', 'env.A: expected a text without NUL, got "a\\u0000b"'),
        ("wrokers = 3", 'wrokers: unknown key. Did you mean "workers"?'),
        ('listen = "x"', "listen: unknown key. It belongs in [server]."),
        (
            "colour = 1",
            f"colour: unknown key. Known here: {POOL_KEYS}.",
        ),
        (
            '"a \\n b" = 1',
            f'"a \\n b": unknown key. Known here: {POOL_KEYS}.',
        ),
    ],
)
def test_a_wrong_value_of_a_pool_is_told_in_one_line(problems_of: Lines, pool_line: str, problem: str) -> None:
    text = f'[routes]\n"/x" = "work"\n[pools.work]\nhandler = "json:dumps"\n{pool_line}\n'
    assert problems_of(text) == [f"my.toml: pools.work.{problem}"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            "[server]\nmax_request_size = 10485760",
            'server.max_request_size: expected a size with its unit, such as "10MiB", got 10485760. '
            'Write "10MiB"; units are B, KiB, MiB, GiB.',
        ),
        (
            '[server]\nmax_request_size = "10 megs"',
            'server.max_request_size: expected a size with its unit, such as "10MiB", got "10 megs". '
            "Units are B, KiB, MiB, GiB.",
        ),
        (
            '[server]\nmax_request_size = "1GiB"',
            'server.max_request_size: expected a size from 0B to 256MiB, got "1GiB"',
        ),
        ('[journal]\nmax_size = "1KiB"', 'journal.max_size: expected a size >= 1MiB, got "1KiB"'),
        (
            '[server]\naccess_log = "yes"',
            'server.access_log: expected true or false, got "yes". Write it without quotes, in lower case.',
        ),
        (
            "[server]\naccess_log = 1",
            "server.access_log: expected true or false, got 1. Write it without quotes, in lower case.",
        ),
        ("[server]\nlisten = 8002", 'server.listen: expected a text in quotes, got 8002. Write "8002".'),
        (
            '[journal]\nredact_headers = "cookie"',
            'journal.redact_headers: expected a list of texts, got "cookie". Write it as ["one", "two"].',
        ),
        (
            '[journal]\nredact_headers = ["cookie", 3]',
            'journal.redact_headers[2]: expected a text in quotes, got 3. Write "3".',
        ),
        ("server = 3", "server: expected a table, got 3. Begin it with [server]."),
        ('[sever]\nlisten = "x"', 'sever: unknown key. Did you mean "server"?'),
        ("workers = 3", "workers: unknown key. It belongs in [pools.<name>]."),
        ("[[server]]", "server: expected a table, got a list. Begin it with [server]."),
        ('[cluster]\nnmae = "x"', 'cluster.nmae: unknown key. Did you mean "name"?'),
    ],
)
def test_a_wrong_value_of_a_table_is_told_in_one_line(problems_with: Lines, lines: str, problem: str) -> None:
    assert problems_with(lines) == [f"my.toml: {problem}"]


def test_a_pool_without_handler_is_told_what_one_is(problems_of: Lines) -> None:
    assert problems_of('[routes]\n"/x" = "work"\n[pools.work]\nworkers = 1\n') == [
        'my.toml: pools.work.handler: expected a text, the key is missing. What runs a job: "package.module:callable".'
    ]


def test_a_pool_that_is_no_table_is_one_mistake_and_no_unknown_pool_besides(problems_of: Lines) -> None:
    assert problems_of('[routes]\n"/x" = "work"\n[pools]\nwork = "json:dumps"\n') == [
        'my.toml: pools.work: expected a table, got "json:dumps". Begin it with [pools.work].'
    ]


def test_a_long_text_is_shown_shortened(problems_with: Lines) -> None:
    assert problems_with(f'[server]\nhealth_path = "{"x" * 5000}"') == [
        f'my.toml: server.health_path: expected a path such as "/health", or "" for none, got "{"x" * 59}…". '
        "It begins with / and has no space, escape, query or fragment."
    ]


def test_every_mistake_is_found_in_one_run_in_the_order_of_the_file(problems_of: Lines) -> None:
    text = """
        [pools.compute]
        workers = "four"
        handler = "nonsense"
        max_quue = 3
        [server]
        request_timeout = 30
        listen = "ftp://x"
        [routes]
        "GET /x" = "comput"
        "get /y" = "compute"
        [cluster]
        name = "Prime"
        [nothing]
        """
    assert [line.split(": ")[1] for line in problems_of(text)] == [
        "pools.compute.workers",
        "pools.compute.handler",
        "pools.compute.max_quue",
        "server.request_timeout",
        "server.listen",
        'routes."GET /x"',
        'routes."get /y"',
        "cluster.name",
        "nothing",
    ]
