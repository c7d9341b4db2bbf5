"""TIES: trim, elect a sign, merge."""

import numpy as np
import pytest

from strategies.aggregation import ties
from tests.support.adapted_module import A, B, M, base_of, crossed, product, sent_by, tensor


def test_ties_elects_and_averages_by_hand() -> None:
    """Density .75 keeps 3 of 4 entries; weights 1 and 1; shared rank 2 loses nothing.

    a: [[4, -2], [ 1, 3]] -> [[4, -2], [0, 3]]        b: [[-6, -4], [1, 5]] -> [[-6, -4], [0, 5]]
    (0, 0): -6 outweighs 4 -> -6.  (0, 1): both negative -> -3.  (1, 0): trim -> 0.  (1, 1): both positive -> 4.
    """
    base = base_of(np.zeros((2, 2)), 2, 2.0, density=0.75)
    eye = tensor([1, 0], [0, 1])
    payloads = [
        sent_by("a", {A: eye, B: tensor([4, -2], [1, 3])}),
        sent_by("b", {A: eye, B: tensor([-6, -4], [1, 5])}),
    ]
    result = ties.aggregate({A: eye, B: np.zeros_like(eye)}, payloads, base, {})
    assert product(result.shared) == pytest.approx(np.array([[-6.0, -3], [0, 4]]), abs=1e-5)
    assert result.log[f"tail_dropped/{M}"] == 0


def test_ties_counts_mass_by_cases() -> None:
    """With 3 cases at a, 3 * 4 outweighs 6: (0, 0) is 4. (0, 1) = -(3 * 2 + 4) / 4 and (1, 1) = (9 + 5) / 4."""
    base = base_of(np.zeros((2, 2)), 2, 2.0, density=0.75)
    eye = tensor([1, 0], [0, 1])
    payloads = [
        sent_by("a", {A: eye, B: tensor([4, -2], [1, 3])}, cases=3),
        sent_by("b", {A: eye, B: tensor([-6, -4], [1, 5])}),
    ]
    result = ties.aggregate({A: eye, B: np.zeros_like(eye)}, payloads, base, {})
    assert product(result.shared) == pytest.approx(np.array([[4, -2.5], [0, 3.5]]), abs=1e-5)


def test_ties_leaves_an_entry_that_no_sign_wins() -> None:
    """+2 against -2 with equal weight is 0, and no majority of none."""
    base = base_of(np.zeros((1, 1)), 1, 1.0, density=1.0)
    payloads = [sent_by(c, {A: tensor([1]), B: tensor([v])}) for c, v in (("a", 2), ("b", -2))]
    assert ties.aggregate({A: tensor([1]), B: tensor([0])}, payloads, base, {}).shared[B].tolist() == [[0]]


def test_ties_cuts_to_the_shared_rank_and_logs_it() -> None:
    """diag(4, 0) and diag(0, 4) do not meet: merged diag(4, 4) whatever the weights; rank 1 loses half the energy."""
    result = ties.aggregate(*crossed(density=0.25), {})
    assert result.log[f"tail_dropped/{M}"] == pytest.approx(0.5)
    assert np.linalg.norm(product(result.shared)) == pytest.approx(4)
