"""Whose mean a result is."""

import numpy as np
import pytest

from server.study.history import ALL_CENTERS, StageRow
from tests.support.benchmark_scripts import load_script
from tests.support.segmentation_scores import dice_score

killed_sums = load_script("killed_sums.py")


@pytest.mark.parametrize(
    ("state", "off_survivors", "off_all", "verdict"),
    [
        ("complete", 1e-9, 0.1, "mean of the survivors"),
        ("complete", 0.1, 1e-9, "mean of all"),
        ("complete", 1.5e-6, 2e-10, "mean of all"),
        ("complete", 0.1, 0.1, "ANOTHER RESULT"),
        ("failed", 0.1, 0.1, "refused"),
        ("running", 0.1, 0.1, "NO END"),
    ],
)
def test_a_result_is_the_mean_of_some_or_nobodys(
    state: str, off_survivors: float, off_all: float, verdict: str
) -> None:
    assert killed_sums.Outcome("share", state, 1.0, (), off_survivors, off_all, 0.0).verdict == verdict


def test_a_tensor_that_did_not_come_is_infinitely_far() -> None:
    there = {"a": np.zeros(2), "b": np.ones(2)}
    assert killed_sums.distance(there, {"a": np.full(2, 0.5)}) == 0.5
    assert killed_sums.distance({}, there) == float("inf")
    assert killed_sums.distance({"a": np.zeros(2)}, there) == float("inf")


def test_scores_of_others_are_not_a_result() -> None:
    assert killed_sums.Outcome("share", "complete", 1.0, (), 1e-9, 0.1, 0.01).verdict == "OTHER SCORES"


def test_a_summed_dice_is_held_against_the_mean_of_those_behind_it() -> None:
    names = ["center-a", "center-c", "center-d"]
    mean = float(np.mean([killed_sums.share_of(name) for name in names]))
    summed = StageRow("adapt", {ALL_CENTERS: {"ct": dice_score(12, mean, None, hd95_undefined=12)}})
    assert killed_sums.dice_off(summed, names) == 0
    assert killed_sums.dice_off(summed, [*names, "center-b"]) > 1e-3
    assert killed_sums.dice_off(StageRow("adapt", {}), names) == float("inf")
