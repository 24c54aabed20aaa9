"""Which code a worker gets when it starts."""

import pytest

from supervisor.generations import Generation, Generations


def test_outside_of_a_reload_everybody_gets_the_one_there_is():
    generations = Generations("compute", forks=True)
    assert generations.for_start(extra=False) == generations.for_start(extra=True) == Generation(1, "zygote.compute")
    assert generations.zygotes == ("zygote.compute",)


def test_the_coming_one_is_tried_by_extra_workers_and_given_to_all_once_it_is_proven():
    generations = Generations("compute", forks=True)
    coming = generations.prepare(forks=True)
    assert coming == Generation(2, "zygote.compute.next")
    assert generations.zygotes == ("zygote.compute", "zygote.compute.next")
    assert generations.for_start(extra=True) == coming
    assert generations.for_start(extra=False) == Generation(1, "zygote.compute")
    generations.prove()
    assert generations.for_start(extra=False) == coming


def test_the_names_of_the_zygotes_take_turns():
    generations = Generations("compute", forks=True)
    generations.prepare(forks=True)
    generations.commit()
    assert generations.zygotes == ("zygote.compute.next",)
    assert generations.prepare(forks=True) == Generation(3, "zygote.compute")


def test_one_that_was_given_up_is_never_counted_again():
    generations = Generations("compute", forks=True)
    generations.prepare(forks=True)
    generations.prove()
    generations.give_up()
    assert generations.for_start(extra=True) == Generation(1, "zygote.compute")
    assert generations.prepare(forks=True) == Generation(3, "zygote.compute.next")


def test_workers_with_interpreters_of_their_own_have_generations_without_a_zygote():
    generations = Generations("compute", forks=False)
    assert generations.zygotes == ()
    assert generations.prepare(forks=False) == Generation(2, "")


def test_a_pool_may_begin_and_cease_to_fork():
    generations = Generations("compute", forks=False)
    generations.prepare(forks=True)
    generations.commit()
    assert generations.zygotes == ("zygote.compute",)
    generations.prepare(forks=False)
    generations.commit()
    assert generations.zygotes == ()


def test_what_is_not_there_cannot_be_committed():
    with pytest.raises(ValueError, match="no coming generation"):
        Generations("compute", forks=True).commit()


def test_a_zygote_that_starts_again_imports_for_its_own_generation():
    generations = Generations("compute", forks=True)
    generations.prepare(forks=True)
    assert [generations.number_of(zygote) for zygote in generations.zygotes] == [1, 2]
