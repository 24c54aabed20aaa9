"""Orders under way and failures, in lines."""

from __future__ import annotations

from primectl.wire.stats import OperationSnapshot
from tests.support.snapshots import a_cluster, a_pool, a_process
from tui.present.advice import Advice, advise
from tui.present.operations import failure_lines, operation_line, under_way
from tui.present.tables import activity, cause_text, pool_state

SCALE = OperationSnapshot(
    number=12, kind="scale", target="compute", operator="ana", wish="64", text="compute: 17 of 64 workers ready"
)
RESTART = OperationSnapshot(
    number=13, kind="restart", target="compute", text="queued behind scale 12 of compute", state="queued"
)


def test_an_order_is_told_by_its_number_verb_wish_operator_and_progress():
    assert operation_line(SCALE) == "12 scale compute -> 64 by ana: 17 of 64 workers ready"
    assert operation_line(RESTART) == "13 restart compute: queued behind scale 12 of compute"
    assert operation_line(OperationSnapshot(number=1, kind="kill", target="all")) == "1 kill all"


def test_what_operators_call_themselves_cannot_paint_the_screen():
    assert "\x1b" not in operation_line(OperationSnapshot(number=1, kind="kill", target="all", operator="\x1b[31m"))


def test_several_orders_are_the_first_and_a_number():
    assert under_way(a_cluster()) == ""
    assert under_way(a_cluster(operations=[SCALE])) == operation_line(SCALE)
    assert under_way(a_cluster(operations=[SCALE, RESTART])).endswith("workers ready · 1 more")


def test_a_failure_has_its_cause_a_remedy_and_its_last_lines():
    failed = a_process("compute.3", state="failed", cause="exit status 1: no", last_lines=["Traceback", "no\x07"])
    assert failure_lines([a_process(), failed]) == [
        "compute.3 failed: exit status 1: no; `primectl restart compute.3` tries again",
        "  | Traceback",
        "  | no␇",
    ]


def test_who_failed_alike_is_told_together_and_only_a_few_kinds_of_failure():
    alike = [a_process(f"compute.{number}", state="failed", cause="gone") for number in range(1, 9)]
    assert failure_lines(alike) == [
        "compute.1, compute.2, compute.3 and 5 more failed: gone; `primectl restart compute.1` tries again"
    ]
    different = [a_process(f"compute.{number}", state="failed", cause=f"exit {number}") for number in range(1, 9)]
    assert failure_lines(different)[4:] == ["4 more failed; `primectl events` tells why"]


def test_a_process_in_backoff_says_when_it_is_tried_again():
    waiting = a_process(state="backoff", retry_in_s=3.2, cause="killed by SIGSEGV")
    assert activity(waiting) == "backoff, again in 3.2s"
    assert cause_text(waiting) == "again in 3.2s: killed by SIGSEGV"
    assert activity(a_process(state="backoff")) == "backoff"


def test_the_cause_of_a_failure_goes_on_with_what_it_said_last_unless_it_has_it():
    assert cause_text(a_process(state="failed", cause="not READY in 30 s", last_lines=["loading"])) == (
        "not READY in 30 s | loading"
    )
    assert cause_text(a_process(state="failed", cause="exit status 1: no", last_lines=["no"])) == "exit status 1: no"


def test_a_pool_that_gets_no_new_workers_is_an_alarm_and_advice():
    pool = a_pool(trouble="no new workers, its handler cannot be imported: gone")
    assert pool_state(pool).word == "NO NEW"
    assert pool_state(pool).alarming
    assert advise(a_cluster(pool), {}) == Advice(
        "compute: no new workers, its handler cannot be imported: gone.", pool="compute", urgent=True
    )
