"""When a replay stops by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.errors import ConfigError
from primectl.journal.brake import Brake, Brakes, Figures, check_pools, parse


@pytest.mark.parametrize(
    ("text", "brake"),
    [
        ("queue>50", Brake("queue>50", "queue", 50)),
        (" queue.compute >= 50 ", Brake("queue.compute >= 50", "queue", 50, at=True, pool="compute")),
        ("in_flight>1000", Brake("in_flight>1000", "in_flight", 1000)),
        ("p99>200", Brake("p99>200", "p99", 200)),
        ("p99 > 1.5 s", Brake("p99 > 1.5 s", "p99", 1500)),
        ("lag>20ms", Brake("lag>20ms", "lag", 20)),
        ("errors>0.05", Brake("errors>0.05", "errors", 0.05)),
        ("errors>5%", Brake("errors>5%", "errors", 0.05)),
    ],
)
def test_a_brake_is_a_field_a_sign_and_a_number(text: str, brake: Brake):
    assert parse(text) == brake


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("", "expected a field: queue, in_flight, p99, errors, lag", 0),
        ("queu>50", 'there is no field "queu", did you mean "queue"?', 0),
        ("memory>50", 'there is no field "memory"; queue, in_flight, p99, errors, lag', 0),
        ("p99.compute>50", 'there is no field "p99.compute"; queue, in_flight, p99, errors, lag', 0),
        ("queue.>50", 'there is no field "queue.", did you mean "queue"?', 0),
        ("queue<50", 'expected ">" or ">="', 5),
        ("queue =50", 'expected ">" or ">="', 6),
        ("queue>many", "expected a number", 6),
        ("queue>-1", "expected a number", 6),
        ("queue>", "expected a number", 6),
        ("queue>50ms", '"ms" is no unit of queue', 8),
        ("p99>50%", '"%" is no unit of p99, but "ms" or "s" is', 6),
        ("errors > 50", "a share is at most 1, or 100%", 9),
        ("errors>101%", "a share is at most 1, or 100%", 7),
        ("queue>5 or p99>9", '"or" is no unit of queue', 8),
        ("p99>5 queue>9", '"queue" is no unit of p99, but "ms" or "s" is', 6),
        ("p99>5ms, lag>9", "expected nothing more; a further brake is a further --stop-if", 7),
    ],
)
def test_a_mistake_is_shown_with_a_caret_under_it(text: str, what: str, place: int):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == f"--stop-if: {what}\n  {text}\n  {' ' * place}^"


@given(st.text(max_size=20))
def test_any_text_is_a_brake_or_a_mistake_with_a_caret_within_it(text: str):
    try:
        parse(text)
    except ConfigError as error:
        *_, shown, caret = str(error).split("\n")
        assert caret.strip() == "^"
        assert len(caret) <= len(shown) + 1


def test_a_brake_on_a_pool_that_the_cluster_does_not_have_is_a_mistake():
    check_pools([parse("queue.compute>5"), parse("queue>5")], ["parse", "compute"])
    with pytest.raises(ConfigError) as caught:
        check_pools([parse("queue.render>5")], ["parse", "compute"])
    assert str(caught.value) == '--stop-if: there is no pool "render"; compute, parse\n  queue.render>5\n        ^'


def test_a_target_that_cannot_be_connected_to_from_the_start_is_given_up_after_a_few():
    brakes = Brakes()
    assert [brakes.ended(0, 0.0, "connection refused", connected=False) for _ in range(5)] == [
        *[""] * 4,
        "the target cannot be reached: connection refused",
    ]


def test_a_target_that_has_answered_once_may_be_away_for_a_moment():
    brakes = Brakes()
    brakes.ended(200, 0.1)
    assert [brakes.ended(0, 0.0, "connection refused", connected=False) for _ in range(19)] == [""] * 19
    assert brakes.ended(200, 0.1) == ""
    assert [brakes.ended(0, 0.0, "connection refused", connected=False) for _ in range(20)] == [
        *[""] * 19,
        "the target does not answer: 20 in a row, the last one: connection refused",
    ]


def test_answers_of_any_status_are_answers():
    brakes = Brakes()
    assert [brakes.ended(503, 0.1) for _ in range(200)] == [""] * 200


def test_the_share_of_errors_is_judged_over_the_last_hundred_once_there_are_enough():
    brakes = Brakes([parse("errors>10%")])
    said = [brakes.ended(500, 0.1) for _ in range(20)]
    assert said == [*[""] * 19, "errors>10%: it is 100% of the last 20"]
    brakes = Brakes([parse("errors>=10%")])
    for _ in range(300):
        assert brakes.ended(200, 0.1) == ""
    assert [brakes.ended(0, 0.1, "cut off") if turn % 2 else brakes.ended(500, 0.1) for turn in range(10)] == [
        *[""] * 9,
        "errors>=10%: it is 10% of the last 100",
    ]


@pytest.mark.parametrize(
    ("text", "figures", "said"),
    [
        ("queue>50", Figures({"a": 50, "b": 3}), ""),
        ("queue>50", Figures({"a": 3, "b": 51}), "queue>50: it is 51"),
        ("queue>=50", Figures({"a": 50}), "queue>=50: it is 50"),
        ("queue>0", Figures({}), ""),
        ("queue.a>5", Figures({"a": 5, "b": 60}), ""),
        ("queue.b>5", Figures({"a": 5, "b": 60}), "queue.b>5: it is 60"),
        ("queue.gone>5", Figures({"a": 9}), ""),
        ("in_flight>9", Figures({}, 10), "in_flight>9: it is 10"),
        ("queue>0", None, ""),
    ],
)
def test_what_the_cluster_says_pulls_a_brake(text: str, figures: Figures | None, said: str):
    assert Brakes([parse(text)]).looked(0.0, figures) == said


def test_a_brake_whose_figures_have_not_come_for_long_is_pulled():
    brakes = Brakes([parse("queue>50")])
    assert brakes.looked(0.0, Figures({"a": 1}, age_s=4.9)) == ""
    assert brakes.looked(0.0, Figures({"a": 1}, age_s=6.1)) == "queue>50: the cluster has not said anything for 6 s"
    assert Brakes([parse("lag>50")]).looked(0.0, Figures({"a": 1}, age_s=99)) == ""


def test_lag_pulls_a_brake():
    brakes = Brakes([parse("queue>5"), parse("lag>20ms")])
    assert brakes.looked(0.02, None) == ""
    assert brakes.looked(0.0214, None) == "lag>20ms: it is 21.4 ms"


def test_the_percentile_of_answers_pulls_a_brake_once_there_are_enough():
    brakes = Brakes([parse("p99>200ms")])
    for _ in range(19):
        brakes.ended(200, 1.0)
    assert brakes.looked(0.0, None) == ""
    brakes.ended(200, 1.0)
    assert brakes.looked(0.0, None).startswith("p99>200ms: it is ")


def test_only_some_brakes_need_to_ask_the_cluster():
    wanted = {text: parse(text).needs_cluster for text in ("queue>1", "queue.a>1", "in_flight>1", "p99>1", "lag>1")}
    assert wanted == {"queue>1": True, "queue.a>1": True, "in_flight>1": True, "p99>1": False, "lag>1": False}
