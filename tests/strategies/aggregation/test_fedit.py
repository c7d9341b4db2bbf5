"""FedIT: factors averaged each for itself, and the error that this makes."""

import numpy as np
import pytest

from protocol.messages.settings import ROLES, Aggregation
from strategies.aggregation import fedit
from strategies.aggregation.contract import Base
from tests.support.drawn_adapters import MODULE, A, B, Drawn, M, drawn, sent_by


def tensor(*values: object) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def base(frozen: np.ndarray | None = None) -> Base:
    weights = {} if frozen is None else {f"{MODULE}.weight": frozen}
    return Base(groups={}, frozen=weights, alpha=1, rank=1, settings=Aggregation(weight_exponent=1), roles=ROLES)


def lists(tensors: dict[str, np.ndarray]) -> dict[str, list]:
    return {key: array.tolist() for key, array in tensors.items()}


def test_fedit_averages_factors_and_logs_how_wrong_that_is() -> None:
    """Weights 3/4, 1/4; (A, B) = (2, 4) and (6, 8): A = 3, B = 5, product 15 for a mean product of 6 + 12 = 18.

    The error is -3 of an update of 18: 1/6.
    """
    payloads = [
        sent_by("a", {A: tensor([2]), B: tensor([4])}, peft=3),
        sent_by("b", {A: tensor([6]), B: tensor([8])}, peft=1),
    ]
    result = fedit.aggregate({A: tensor([1]), B: tensor([0])}, payloads, base(), {})
    assert lists(result.shared) == {A: [[3.0]], B: [[5.0]]}
    assert result.log["factor_error"] == pytest.approx(1 / 6)


def test_fedit_averages_magnitudes_too_and_logs_their_error() -> None:
    """W0 = 4, s = 1, A = 1 at both; B = 0, m = 4 (d = 1, weight 4) and B = 4, m = 16 (d = 2, weight 16): mean 10.

    B = 2, m = 10 gives row 6, d = 10/6 and the weight 10: no error with one column, where m is the weight.
    """
    payloads = [
        sent_by("a", {A: tensor([1]), B: tensor([0]), M: tensor(4)}, peft=1),
        sent_by("b", {A: tensor([1]), B: tensor([4]), M: tensor(16)}, peft=1),
    ]
    result = fedit.aggregate({A: tensor([1]), B: tensor([0])}, payloads, base(frozen=tensor([4])), {})
    assert lists(result.shared) == {A: [[1.0]], B: [[2.0]], M: [10.0]}
    assert result.log["factor_error"] == pytest.approx(0, abs=1e-12)


def test_the_error_of_fedit_is_relative_to_the_change_of_the_frozen_weight() -> None:
    """W0 = 4, s = A = 1; B = 0 with m = 4 weighs 4, B = -10 with m = 12 weighs -12: mean -4, a change of -8.

    B = -5, m = 8 weighs -8, which is off by 4: 4 / 8.
    """
    payloads = [
        sent_by("a", {A: tensor([1]), B: tensor([0]), M: tensor(4)}, peft=1),
        sent_by("b", {A: tensor([1]), B: tensor([-10]), M: tensor(12)}, peft=1),
    ]
    result = fedit.aggregate({A: tensor([1]), B: tensor([0])}, payloads, base(frozen=tensor([4])), {})
    assert result.log["factor_error"] == pytest.approx(0.5)


def test_the_logged_error_of_fedit_estimates_the_dense_one() -> None:
    """One wide module, LoRA and DoRA: within a third of |effective weight of the result - mean| / |mean - W0|."""
    for dora in (False, True):
        tensors = drawn(np.random.default_rng(5), (64, 48), 4, dora=dora)
        adapter = Drawn(tensors.pop("weight"), tensors, [4, 9, 25], 6)
        payloads = adapter.payloads(*ROLES) if dora else adapter.payloads("lora_a", "lora_b")
        result = fedit.aggregate(adapter.shared, payloads, adapter.base(*ROLES), {})
        mean = adapter.mean_weight(payloads)
        error = np.linalg.norm(adapter.weight_of(result.shared) - mean) / np.linalg.norm(mean - adapter.frozen)
        assert result.log["factor_error"] == pytest.approx(error, rel=1 / 3)
