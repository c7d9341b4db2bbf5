"""When a study will be done: numbers that one can check by hand."""

from datetime import timedelta

import pytest

from server.dashboard.estimate import estimate
from server.study.stage import Stage
from tests.support.listed_link import NOW


def stage(name: str, rounds: int, steps: int) -> Stage:
    return Stage(name=name, kind="adapt", centers=("center-a",), rounds=rounds, local_steps=steps, learning_rate=0.1)


TWO = (stage("first", 2, 10), stage("second", 4, 30))


def test_the_time_left_follows_the_steps_that_are_left():
    """Three rounds: 10 + 10 + 30 steps in 100 s, 2 s a step; three rounds of 30 steps are left, 180 s."""
    found = estimate(TWO, 3, 100.0, NOW)
    assert found is not None
    assert (found.round_s, found.stage_end, found.study_end) == (60.0, *[NOW + timedelta(seconds=180)] * 2)


def test_a_stage_ends_before_the_study():
    """One round of 10 steps in 20 s: 2 s a step; the stage has 10 steps left, the study 130."""
    found = estimate(TWO, 1, 20.0, NOW)
    assert found is not None
    assert (found.stage_end - NOW, found.study_end - NOW) == (timedelta(seconds=20), timedelta(seconds=260))


@pytest.mark.parametrize(("rounds", "elapsed_s"), [(0, 50.0), (6, 50.0), (1, 0.0)])
def test_nothing_is_guessed_before_the_first_round_and_after_the_last(rounds: int, elapsed_s: float):
    assert estimate(TWO, rounds, elapsed_s, NOW) is None
