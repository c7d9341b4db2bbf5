"""FlexLoRA: the best approximation at the shared rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.aggregation import flexlora, product_exact
from strategies.aggregation.linear_form import flat, linear_form
from tests.support.adapted_module import MAGNITUDE, B, M, crossed, product, weight_of, world


def test_flexlora_keeps_the_strongest_direction_and_logs_the_rest() -> None:
    """M = diag(3, 1): rank 1 keeps diag(3, 0) and loses 1 of 9 + 1 = a tenth of the energy."""
    result = flexlora.aggregate(*crossed(), {})
    assert product(result.shared) == pytest.approx(np.diag([3.0, 0]), abs=1e-6)
    assert result.log[f"tail_dropped/{M}"] == pytest.approx(0.1)


@given(st.integers(0, 10**6), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.booleans())
def test_flexloras_error_is_the_tail_it_logged(seed, ranks, dora) -> None:
    """|Wbar - W|^2 / |M|^2, with M what the mean weight has beyond diag(d) W0 + C."""
    case = world(seed, (7, 9), 2, tuple(ranks), dora=dora)
    result = flexlora.aggregate(case.shared, case.payloads, case.base, {})
    exact = product_exact.aggregate(case.shared, case.payloads, case.base, {})
    lost = np.sum((weight_of(result.shared, case.base) - case.mean_weight()) ** 2)
    silent = {**result.shared, B: np.zeros_like(result.shared[B])}
    if dora:
        gain = _gain(exact.shared, case.base)
        rows = np.linalg.norm(flat(case.base.frozen[f"{M}.weight"]), axis=1)
        silent[MAGNITUDE] = (gain * rows).astype(np.float32)
    energy = np.sum((case.mean_weight() - weight_of(silent, case.base)) ** 2)
    assert result.log[f"tail_dropped/{M}"] == pytest.approx(lost / energy, rel=1e-3, abs=1e-9)


def _gain(tensors, base):
    return linear_form(M, tensors, base).gain
