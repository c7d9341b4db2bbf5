"""LoRA-FAIR: mean A with the B that fits it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.aggregation import lora_fair
from strategies.aggregation.lora_fair import correct
from strategies.aggregation.low_rank_sum import Factors
from tests.support.adapted_module import A, B, M, crossed


def test_fair_two_centers_by_hand() -> None:
    """Abar = (3/4, 1/4), Bbar = (3, 1)', M = diag(3, 1), lambda = 3/8, so Abar Abar' + lambda = 10/16 + 6/16 = 1.

    M Abar' = (9/4, 1/4)'; B = (9/4 + 9/8, 1/4 + 3/8)' = (27/8, 5/8)'.
    B Abar = [[81, 27], [15, 5]] / 32 against M = [[96, 0], [0, 32]] / 32: error (225 + 729 + 225 + 729) / 10240.
    """
    result = lora_fair.aggregate(*crossed(ridge=0.375), {})
    assert result.shared[A] == pytest.approx(np.array([[0.75, 0.25]]))
    assert result.shared[B] == pytest.approx(np.array([[27 / 8], [5 / 8]]))
    assert result.log[f"product_error/{M}"] == pytest.approx(1908 / 10240)


@given(st.integers(0, 10**6), st.floats(1e-3, 10), st.integers(1, 4))
def test_fairs_factor_has_gradient_zero(seed, ridge, rank) -> None:
    """(B Abar - M) Abar' + lambda (B - Bbar) = 0."""
    rng = np.random.default_rng(seed)
    means = Factors(rng.normal(size=(6, rank)), rng.normal(size=(rank, 7)))
    total = rng.normal(size=(6, 7))
    b = correct(total @ means.a.T, means, ridge)
    gradient = (b @ means.a - total) @ means.a.T + ridge * (b - means.b)
    assert np.max(np.abs(gradient)) < 1e-9


def test_fair_with_a_strong_pull_is_the_mean_of_factors() -> None:
    """lambda -> infinity: Bbar = (3, 1)'. Near zero it is least squares: M Abar' / |Abar|^2 = (18/5, 2/5)'."""
    strong, weak = (lora_fair.aggregate(*crossed(ridge=ridge), {}).shared[B] for ridge in (1e9, 1e-9))
    assert strong == pytest.approx(np.array([[3], [1]]), abs=1e-6)
    assert weak == pytest.approx(np.array([[3.6], [0.4]]), abs=1e-6)
