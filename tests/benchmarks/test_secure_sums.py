"""How far two results are apart, and that the study it asks for is one."""

import tomllib

import numpy as np
import pytest

from server.study.audit_log import AuditEvent
from server.study.file import Study
from tests.support.benchmark_scripts import load_script

secure_sums = load_script("secure_sums.py")


def test_the_largest_difference_counts() -> None:
    first, second = {"a": np.zeros(2), "b": np.ones(2)}, {"a": np.array([0.0, 0.5]), "b": np.ones(2)}
    assert secure_sums.distance(first, second) == 0.5
    assert secure_sums.distance(first, {}) == float("inf")


def test_a_group_that_was_not_summed_is_told_from_those_that_were() -> None:
    first, second = {"a": np.zeros(2), "b": np.ones(2)}, {"a": np.array([0.0, 0.5]), "b": np.ones(2)}
    assert secure_sums.apart_by_group(first, second, {"a": "fusion", "b": "peft"}) == {"fusion": 0.5, "peft": 0.0}


@pytest.mark.parametrize("scheme", ["alt-exact", "fedit", "ffa-lora"])
def test_each_arm_is_a_study(scheme: str) -> None:
    text = secure_sums.STUDY.format(
        method="lora", scheme=scheme, tables=secure_sums.SUMMED, rounds=1, steps=1, test=0.3
    )
    found = Study.model_validate(tomllib.loads(text))
    assert found.secure_aggregation is not None
    assert found.strategy.aggregation.scheme == scheme


def test_a_round_takes_beyond_training_what_lies_between_two_ends() -> None:
    ends = {1: "2026-01-01T00:00:50+00:00", 2: "2026-01-01T00:01:20+00:00", 3: "2026-01-01T00:01:50+00:00"}
    events = [AuditEvent(number, "", time, "", "round", {"server_round": number}) for number, time in ends.items()]
    trained = {1: 45.0, 2: 28.0, 3: 26.0}
    assert secure_sums.overhead_of(events, trained) == 3.0
    assert secure_sums.overhead_of(events[:1], trained) is None


def test_a_dice_that_one_of_two_does_not_know_is_no_equal_one() -> None:
    assert secure_sums.dice_apart({"a/ct": 0.5, "d/pet": None}, {"a/ct": 0.25, "d/pet": None}) == 0.25
    assert secure_sums.dice_apart({"a/ct": 0.5}, {"a/ct": None}) == float("inf")
