"""Whoever has started a supervisor hears that the cluster is there: at once, or when a changed config is applied."""

import pytest

from primectl.wire.control import Progress, Refusal, Scale, Scaled
from supervisor.arrival import OURSELVES, Arrival
from supervisor.events import Answer, CameUp

THEN = Scale("compute", "4")


class Starter:
    def __init__(self, then):
        self.ordered, self.progress, self.ready = [], [], []
        self.arrival = Arrival(
            then,
            order=lambda order, asker: self.ordered.append((order, asker)),
            on_progress=self.progress.append,
            on_ready=self.ready.append,
        )


def test_without_an_order_it_is_told_at_once():
    starter = Starter(None)
    starter.arrival.came_up(CameUp(adopted=8))
    assert (starter.ordered, starter.ready) == ([], [CameUp(adopted=8)])


@pytest.mark.parametrize(
    ("body", "status", "outcome"),
    [
        (Scaled("compute", 2, 4, 0.25), 200, CameUp(8, 1, (), "compute has 4 workers (was 2), 0.25 s")),
        (
            Refusal("cannot be", "server", "Mend it"),
            409,
            CameUp(8, 1, ("the changed config is not applied: server: cannot be. Mend it",)),
        ),
    ],
)
def test_with_an_order_it_is_told_what_came_of_that_too(body, status, outcome):
    starter = Starter(THEN)
    starter.arrival.came_up(CameUp(8, 1))
    assert (starter.ordered, starter.ready) == ([(THEN, OURSELVES)], [])
    starter.arrival.answered(Answer(OURSELVES, 102, Progress("on its way")))
    assert (starter.progress, starter.ready) == (["on its way"], [])
    starter.arrival.answered(Answer(OURSELVES, status, body))
    assert starter.ready == [outcome]
