"""Folds as one run: every patient counts once, however many a fold holds."""

from dataclasses import replace

import numpy as np
import pytest

from strategies.evaluation.merged_folds import merge_folds
from strategies.evaluation.run_scores import RunScores
from tests.support.patient_scores import classified, cohort_scores, final_scores


def named(scores: RunScores, *names: str) -> RunScores:
    """The scores with these cases at center-a, none of them known to another fold."""
    b = tuple(f"b-{names[0]}-{place}" for place in range(len(scores.cases["center-b"])))
    return replace(scores, cases={"center-a": names, "center-b": b})


def test_a_center_mean_is_over_patients_not_over_folds() -> None:
    """0.2, 0.4 in one fold and 0.9 in the other: (0.2 + 0.4 + 0.9) / 3 = 0.5, not (0.3 + 0.9) / 2."""
    first, second = named(final_scores(1, [0.4, 0.2], [0.5]), "p", "r"), named(final_scores(1, [0.9], [0.7]), "q")
    merged = merge_folds([first, second])
    assert merged.cases["center-a"] == ("p", "q", "r")
    assert merged.patients["center-a"][-1].tolist() == [0.4, 0.9, 0.2]
    assert merged.matrix.final == pytest.approx({"center-a": 0.5, "center-b": 0.6})


def test_a_fold_without_a_test_patient_of_a_center_adds_none() -> None:
    first, second = named(final_scores(1, [0.4], [0.5]), "p"), named(final_scores(1, [0.9], []), "q")
    assert merge_folds([first, second]).matrix.final == pytest.approx({"center-a": 0.65, "center-b": 0.5})


def test_a_single_run_stays_as_it_is() -> None:
    run = final_scores(1, [0.4], [0.5])
    assert merge_folds([run]) is run


def test_what_is_undefined_is_left_out_of_the_mean() -> None:
    first, second = named(final_scores(1, [np.nan], [0.5]), "p"), named(final_scores(1, [0.9], [0.7]), "q")
    assert merge_folds([first, second]).matrix.final["center-a"] == pytest.approx(0.9)


def test_what_is_not_the_folds_of_one_run_is_refused() -> None:
    run = named(final_scores(1, [0.4], [0.5]), "p")
    with pytest.raises(ValueError, match="center 'center-a': 1 case"):
        merge_folds([run, run])
    with pytest.raises(ValueError, match="different seeds"):
        merge_folds([run, named(final_scores(2, [0.4], [0.5]), "q")])
    with pytest.raises(ValueError, match="ranks the answers of one network"):
        merge_folds([cohort_scores(1, {"a": [classified(0, 0.1)]})] * 2)
