"""A plan of a sum is refused where it hides nobody. How a trainer meets such plans is in `test_masked_sums.py`."""

from dataclasses import replace

import pytest

from client.masking.plan_checks import check_state, check_weights, fewest_of
from protocol.errors import SecureSumError
from tests.support.summing import SETTINGS, Summing


def test_k_is_that_of_the_study() -> None:
    asked = Summing().instruction("train")
    assert fewest_of(asked) == 3
    with pytest.raises(SecureSumError, match="has no"):
        fewest_of(replace(asked, settings=SETTINGS.model_copy(update={"secure_aggregation": None})))


def test_half_is_the_most_that_one_weighs() -> None:
    plan = Summing().plan()
    check_weights(replace(plan, weights={"comparison": {"a": 2.0, "b": 1.0, "c": 1.0}}), "a", 3)
    with pytest.raises(SecureSumError, match=r"0\.512 of the weight of group 'comparison'"):
        check_weights(replace(plan, weights={"comparison": {"a": 2.1, "b": 1.0, "c": 1.0}}), "a", 3)


def test_another_state_is_refused() -> None:
    summing = Summing()
    plan, asked = summing.plan(), summing.instruction("train")
    check_state(asked, plan, "a")
    with pytest.raises(SecureSumError, match="stands alone in their sum"):
        check_state(replace(asked, backbone_hash="0"), plan, "a")
