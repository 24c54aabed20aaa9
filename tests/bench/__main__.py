"""`make bench`: every benchmark after the other, a line of JSON a result. They inform, none of them fails."""

from tests.bench import commands, console_cpu, throughput

for bench in (commands, throughput, console_cpu):
    bench.main()
