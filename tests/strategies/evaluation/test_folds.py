"""Folds are disjoint, hold every case, and are alike in size, class and center."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.evaluation.folds import stratified_folds

# The sarcoma cohort: of centers a, b, c, d the cases without and with the event.
COUNTS = {(0, "a"): 8, (0, "b"): 5, (0, "c"): 5, (0, "d"): 5, (1, "a"): 4, (1, "b"): 1, (1, "c"): 4, (1, "d"): 5}
COHORT = {f"{center}-{own}-{i}": (own, center) for (own, center), n in COUNTS.items() for i in range(n)}


def drawn(folds: int = 5, seed: int = 0) -> list[tuple[str, ...]]:
    return stratified_folds(COHORT, folds, np.random.default_rng(seed))


def test_every_case_is_in_one_fold() -> None:
    assert sorted(case for fold in drawn() for case in fold) == sorted(COHORT)


def test_37_cases_make_folds_of_seven_and_eight() -> None:
    assert sorted(len(fold) for fold in drawn()) == [7, 7, 7, 8, 8]


def test_the_classes_of_two_folds_differ_by_one_case_at_most() -> None:
    """14 of 37 cases have the event: two or three in each of five folds."""
    assert {sum(COHORT[case][0] for case in fold) for fold in drawn()} == {2, 3}


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=6, max_size=40), st.integers(2, 6))
def test_strata_and_classes_differ_by_one_case_at_most(strata: list[tuple[int, int]], folds: int) -> None:
    cohort = {f"p{place}": stratum for place, stratum in enumerate(strata)}
    found = stratified_folds(cohort, folds, np.random.default_rng(0))
    for of_case in (lambda case: cohort[case], lambda case: cohort[case][0]):
        counts = [Counter(of_case(case) for case in fold) for fold in found]
        for key in {key for count in counts for key in count}:
            numbers = [count[key] for count in counts]
            assert max(numbers) - min(numbers) <= 1


def test_the_generator_decides_which_case_is_where() -> None:
    assert drawn(seed=1) == drawn(seed=1)
    assert drawn(seed=1) != drawn(seed=2)


def test_the_order_of_listing_decides_nothing() -> None:
    backwards = dict(reversed(COHORT.items()))
    assert stratified_folds(backwards, 5, np.random.default_rng(0)) == drawn()


@pytest.mark.parametrize("folds", [1, 38])
def test_folds_that_cannot_be_made_are_refused(folds: int) -> None:
    with pytest.raises(ValueError, match=f"37 case\\(s\\) make no {folds} folds"):
        drawn(folds)
