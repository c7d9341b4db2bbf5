"""A temperature of validation cases, and reliability counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from client.scores.calibration import Tenth, calibration_error, fit_temperature, leave_one_out, reliability
from client.tasks.margins import BINS, LIMIT, MIDDLES, STEP, Margins
from tests.support.counted_margins import counted

VOXELS = 200_000


def drawn(temperature: float, seed: int) -> Margins:
    """A contour drawn with probability 1 / (1 + exp(-m / T)) at margins of any size."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(0, 3 * temperature, VOXELS).clip(-LIMIT + STEP, LIMIT - STEP)
    truth = rng.random(VOXELS) < expit(margins / temperature)
    bins = np.floor((margins + LIMIT) / STEP).astype(int)
    inside, outside = (np.bincount(bins[side], minlength=BINS).astype(np.int32) for side in (truth, ~truth))
    return Margins(outside, inside, inside + outside)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_logits_is_found(temperature: float) -> None:
    found = fit_temperature([drawn(temperature, seed) for seed in range(3)])
    assert found.value == pytest.approx(temperature, rel=0.01)


def test_the_optimum_of_one_margin_is_where_the_share_is_the_probability() -> None:
    """Margin 2.05 and a share of 0.75 inside: 2.05 / T = log 3."""
    case = counted([2.05, -2.05], [75, 25], [25, 75])
    assert fit_temperature([case] * 3).value == pytest.approx(2.05 / np.log(3), rel=1e-4)


def test_every_patient_weighs_alike_whatever_the_size() -> None:
    """Shares of 0.75 twice and 0.95 once, of which the last has 1,000 times the voxels: the mean share is 0.81667."""
    small, large = counted([2.05], [75], [25]), counted([2.05], [95_000], [5_000])
    share = (0.75 * 2 + 0.95) / 3
    assert fit_temperature([small, small, large]).value == pytest.approx(2.05 / np.log(share / (1 - share)), rel=1e-4)


def test_too_few_cases_have_no_temperature_and_one_without_a_lesion_is_no_case() -> None:
    case, empty = counted([2.05], [75], [25]), counted([], [], [])
    found = fit_temperature([case, case, empty])
    assert (found.value, found.reason) == (None, "2 validation case(s) with a lesion; a temperature needs 3")


def test_a_network_that_is_never_wrong_has_no_temperature() -> None:
    """The surer the better without end: the minimum lies at the end of the range."""
    found = fit_temperature([counted([3.05, -3.05], [10, 0], [0, 10])] * 3)
    assert found.value is None
    assert found.reason == "no temperature from 0.1 to 10 is better than the last of them"


def test_a_center_without_a_voxel_inside_has_no_temperature() -> None:
    assert fit_temperature([counted([2.05], [0], [10])] * 3).reason.startswith("the voxels looked at are all")


def test_its_range_is_of_the_fits_without_each_case() -> None:
    """Without the sure one all shares are 0.75; without one of the others the mean share is 0.85."""
    cases = [counted([2.05], [75], [25])] * 3 + [counted([2.05], [95], [5])]
    low, high = leave_one_out(cases) or (0, 0)
    share = (0.75 * 2 + 0.95) / 3
    assert high == pytest.approx(2.05 / np.log(3), rel=1e-4)
    assert low == pytest.approx(2.05 / np.log(share / (1 - share)), rel=1e-4)
    assert leave_one_out(cases[:3]) is None


def test_reliability_of_bins_made_by_hand() -> None:
    """p = 0.2592 of margin -1.05 and 0.8859 of 2.05: 2 of 10 voxels inside, and 27 of 30."""
    found = reliability([counted([-1.05, 2.05], [2, 20], [8, 3]), counted([2.05], [7], [0])], 1.0)
    low, high = expit(-1.05), expit(2.05)
    assert [tenth.voxels for tenth in found] == [0, 0, 10, 0, 0, 0, 0, 0, 30, 0]
    assert (found[2].observed, found[8].observed) == (0.2, 0.9)
    assert [found[2].predicted, found[8].predicted] == pytest.approx([low, high])
    assert found[0] == Tenth(0, None, None)
    assert calibration_error(found) == pytest.approx((10 * (low - 0.2) + 30 * (0.9 - high)) / 40)


def test_a_temperature_moves_voxels_to_other_tenths_and_none_away() -> None:
    """2.05 / 4 is 0.5125: p = 0.625."""
    assert reliability([counted([2.05], [3], [1])], 4.0)[6].voxels == 4


def test_without_a_voxel_there_is_no_error() -> None:
    assert calibration_error(reliability([counted([], [], [])], 1.0)) is None


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, BINS - 1), st.integers(0, 50), st.integers(0, 50)), max_size=8))
def test_the_error_lies_between_0_and_1_and_no_voxel_is_lost(steps: list[tuple[int, int, int]]) -> None:
    case = counted([MIDDLES[k] for k, _, _ in steps], [hit for _, hit, _ in steps], [miss for _, _, miss in steps])
    tenths = reliability([case], 1.7)
    assert sum(tenth.voxels for tenth in tenths) == int(case.inside.sum() + case.outside.sum())
    error = calibration_error(tenths)
    assert error is None or 0 <= error <= 1
