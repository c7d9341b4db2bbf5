"""Whole cases predicted by windows, and cohorts compared on the same resamples of their cases."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.cohorts import compare_cohorts, drawn_weights, predict_case
from client.tasks.contract import Batch, CaseScore
from protocol.messages.scores import Score

CROP = (2, 2, 2)


class Windows(nn.Module):
    """Notes the sizes of the batches it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.shown: list[int] = []


def mean_of_inputs(model: nn.Module, batch: Batch) -> Tensor:
    """Outputs (b, 2): the mean of the CT, 0 where there is none, and the first covariate."""
    assert isinstance(model, Windows)
    model.shown.append(len(batch.cases))
    ct = torch.zeros(len(batch.cases)) if batch.ct is None else batch.ct.mean((1, 2, 3, 4))
    ehr = torch.zeros(len(batch.cases)) if batch.ehr is None else batch.ehr[:, 0]
    return torch.stack([ct, ehr], dim=1)


def case() -> PreparedCase:
    """Six slices, 0 to 5, and one covariate."""
    ct = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None], (6, 2, 2)).copy()
    return PreparedCase("p", ct, ehr=np.array([7], np.float32))


def test_a_case_is_the_mean_over_the_windows_that_cover_it() -> None:
    """Windows of two slices: means 0.5, 2.5, 4.5, each beside the same covariate."""
    model = Windows()
    assert predict_case(mean_of_inputs, model, case(), "ct+ehr", CROP).tolist() == [2.5, 7.0]
    assert model.shown == [3]
    assert not model.training


def test_without_images_one_pass_is_all() -> None:
    model = Windows()
    assert predict_case(mean_of_inputs, model, case(), "ehr", CROP).tolist() == [0.0, 7.0]
    assert model.shown == [1]


def test_many_windows_go_in_portions() -> None:
    """Six windows of one slice, four at once."""
    model = Windows()
    assert predict_case(mean_of_inputs, model, case(), "ct", (1, 2, 2)).tolist() == [2.5, 0.0]
    assert model.shown == [4, 2]


def rows(**values: float) -> dict[str, CaseScore]:
    return {name: CaseScore(name, "ct", {"value": value}) for name, value in values.items()}


def share_of_the_highest(cohort: Sequence[CaseScore], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """No mean over cases: 1 / cases drawn of the highest value; undefined where the first case is not drawn."""
    values = np.array([row.values["value"] for row in cohort], dtype=np.float64)
    highest = weights[:, values == values.max()].sum(1)
    with np.errstate(divide="ignore"):
        return np.where(weights[:, 0] > 0, 1 / np.maximum(highest, 1), np.nan)


def count_cases(cohort: Sequence[CaseScore]) -> Score:
    return Score(len(cohort))


def test_both_cohorts_are_figured_on_the_same_resamples() -> None:
    """A network against itself: no difference in any of them."""
    cohort = rows(a=0.1, b=0.9, c=0.4)
    found = compare_cohorts(cohort, cohort, share_of_the_highest, count_cases, np.random.default_rng(0))
    assert (found.cases, found.difference, found.standard_error) == (3, 0.0, 0.0)


def mean_where_the_first_is_drawn(cohort: Sequence[CaseScore], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.array([row.values["value"] for row in cohort], dtype=np.float64)
    return np.where(weights[:, 0] > 0, weights @ values / weights.sum(1), np.nan)


def test_the_standard_error_is_the_scatter_over_resamples() -> None:
    """Differences 0.3 and -0.3: with a drawn, it is 0.3 in 1/3 and 0 in 2/3: 0.3 sqrt(2) / 3."""
    found = compare_cohorts(
        rows(a=0.5, b=0.2), rows(a=0.2, b=0.5), mean_where_the_first_is_drawn, count_cases, np.random.default_rng(0)
    )
    assert found.difference == pytest.approx(0)
    assert found.standard_error == pytest.approx(0.3 * 2**0.5 / 3, abs=0.01)


def test_resamples_that_hardly_ever_define_the_figure_have_no_standard_error() -> None:
    """Each of seven cases exactly once: 7! / 7^7 = 0.6 % of the resamples."""
    cohort = rows(**dict.fromkeys("abcdefg", 0.1))

    def whole(_cohort: Sequence[CaseScore], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where((weights == 1).all(1), 1.0, np.nan)

    found = compare_cohorts(cohort, cohort, whole, count_cases, np.random.default_rng(0))
    assert (found.cases, found.difference, found.standard_error) == (7, 0.0, None)


def test_only_the_cases_of_both_are_compared() -> None:
    """Of a, b and c two are in both; the highest of the new ones is shared by both cases, so that 1/2 - 1."""
    found = compare_cohorts(
        rows(a=0.5, b=0.5, d=9.0),
        rows(a=0.1, b=0.9, c=0.4),
        share_of_the_highest,
        count_cases,
        np.random.default_rng(0),
    )
    assert (found.cases, found.difference) == (2, -0.5)


def test_a_comparison_says_what_the_compared_cases_stand_on() -> None:
    found = compare_cohorts(
        rows(a=1, b=2, d=3), rows(a=1, b=2), share_of_the_highest, count_cases, np.random.default_rng(0)
    )
    assert found.score == Score(2)


def test_without_a_case_of_both_or_a_figure_there_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    assert compare_cohorts(rows(a=1), rows(b=1), share_of_the_highest, count_cases, rng).cases == 0
    undefined = compare_cohorts(
        rows(a=1), rows(a=1), lambda _, weights: np.full(len(weights), np.nan), count_cases, rng
    )
    assert (undefined.cases, undefined.difference, undefined.standard_error) == (1, None, None)


def test_a_resample_draws_as_many_cases_as_there_are() -> None:
    weights = drawn_weights(7, np.random.default_rng(0))
    assert weights.shape == (1000, 7)
    assert set(weights.sum(1)) == {7}
    assert weights.mean() == pytest.approx(1)
