"""`make bench`: every benchmark after the other, a line of JSON a result. They inform, none of them fails; about six
minutes in all."""

from tests.bench import (
    bimodal,
    commands,
    console_cpu,
    floor,
    growth,
    journal_cost,
    journal_query,
    one_connection,
    recorder,
    replay,
    slow_pool,
    stream,
    throughput,
)

for bench in (
    floor,
    throughput,
    journal_cost,
    recorder,
    journal_query,
    one_connection,
    replay,
    bimodal,
    growth,
    slow_pool,
    stream,
    commands,
    console_cpu,
):
    bench.main()
