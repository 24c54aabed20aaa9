"""One process's life is a table: every pair of state and change is tried."""

import pytest

from primectl.errors import IllegalTransition
from supervisor.lifecycle import ALIVE, TRANSITIONS, Change, ProcessState, after

PAIRS = [(state, change) for state in ProcessState for change in Change]


def test_the_table_has_a_row_for_every_state():
    assert set(TRANSITIONS) == set(ProcessState)


@pytest.mark.parametrize(("state", "change"), PAIRS)
def test_a_change_does_what_the_table_says_or_raises(state, change):
    if change in TRANSITIONS[state]:
        assert after(state, change) is TRANSITIONS[state][change]
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot take '{change.value}'"):
            after(state, change)


def test_a_living_process_can_always_end_and_always_be_killed():
    for state in ALIVE:
        assert after(state, Change.ENDED) not in ALIVE
        if state is not ProcessState.STOPPING:
            assert after(state, Change.KILL_ASKED) is ProcessState.STOPPING


def test_from_every_state_a_process_can_run_again():
    reached = {ProcessState.RUNNING}
    while True:
        more = {state for state, row in TRANSITIONS.items() if reached & set(row.values())} - reached
        if not more:
            break
        reached |= more
    assert reached == set(ProcessState)
