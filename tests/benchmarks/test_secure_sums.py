"""How far two results are apart, and that the study it asks for is one."""

import tomllib

import numpy as np
import pytest

from server.study.file import Study
from tests.support.benchmark_scripts import load_script

secure_sums = load_script("secure_sums.py")


def test_the_largest_difference_counts() -> None:
    first, second = {"a": np.zeros(2), "b": np.ones(2)}, {"a": np.array([0.0, 0.5]), "b": np.ones(2)}
    assert secure_sums.distance(first, second) == 0.5
    assert secure_sums.distance(first, {}) == float("inf")


@pytest.mark.parametrize("scheme", ["alt-exact", "fedit", "ffa-lora"])
def test_each_arm_is_a_study(scheme: str) -> None:
    text = secure_sums.STUDY.format(method="lora", scheme=scheme, tables=secure_sums.SUMMED, rounds=1, steps=1)
    found = Study.model_validate(tomllib.loads(text))
    assert found.secure_aggregation is not None
    assert found.strategy.aggregation.scheme == scheme
