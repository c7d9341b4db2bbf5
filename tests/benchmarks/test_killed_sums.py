"""Whose mean a result is."""

import numpy as np
import pytest

from tests.support.benchmark_scripts import load_script

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
    assert killed_sums.Outcome("share", state, 1.0, (), off_survivors, off_all).verdict == verdict


def test_a_tensor_that_did_not_come_is_infinitely_far() -> None:
    there = {"a": np.zeros(2), "b": np.ones(2)}
    assert killed_sums.distance(there, {"a": np.full(2, 0.5)}) == 0.5
    assert killed_sums.distance({}, there) == float("inf")
    assert killed_sums.distance({"a": np.zeros(2)}, there) == float("inf")
