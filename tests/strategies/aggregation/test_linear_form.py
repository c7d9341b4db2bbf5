"""Linear coordinates of an adapter: there and back, row norms without the dense product, gains that stay positive."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.errors import PayloadError
from strategies.aggregation.contract import Base
from strategies.aggregation.linear_form import (
    LinearForm,
    flat,
    linear_form,
    modules_of,
    row_norms,
    scale_of,
    wire_factors,
    wire_magnitude,
)
from tests.support.drawn_adapters import MODULE, A, B, Drawn, M, adapters
from tests.support.effective_weight import effective

FIVE_TWELVE = {A: np.array([[1.0, 0.0]]), B: np.array([[3.0], [0.0]]), M: np.array([10.0, 6.0])}


def base_on(weight: np.ndarray, alpha: float = 1.0) -> Base:
    return Base(groups={}, frozen={f"{MODULE}.weight": weight}, alpha=alpha, rank=1)


def test_a_hand_checked_form() -> None:
    """W0 = [[0, 4], [0, 3]], B A = [[3, 0], [0, 0]], s = 1: rho = (5, 3), d = (10, 6) / rho = (2, 2), B' = (6, 0)."""
    form = linear_form(MODULE, FIVE_TWELVE, base_on(np.array([[0.0, 4.0], [0.0, 3.0]])))
    assert form.gain.tolist() == [2.0, 2.0]
    assert form.b.tolist() == [[6.0], [0.0]]
    assert effective(np.array([[0.0, 4.0], [0.0, 3.0]]), form, 1.0).tolist() == [[6.0, 8.0], [0.0, 6.0]]


def test_the_residual_and_a_centers_own_adapter_add_at_scale_one() -> None:
    """s B' A = 2 x 1 x 3 = 6; the residual adds 4 x 5 = 20 and the center's own 1 x 2 = 2; W0 = 1."""
    form = LinearForm(np.array([[3.0]]), np.array([[1.0]]), np.ones(1))
    residual, own = (np.array([[4.0]]), np.array([[5.0]])), (np.array([[1.0]]), np.array([[2.0]]))
    assert effective(np.ones((1, 1)), form, 2.0, residual, own).tolist() == [[29.0]]


@given(adapters(dora=st.just(True)))
def test_wire_to_linear_and_back_gives_the_same_tensors(adapter: Drawn) -> None:
    form = linear_form(MODULE, adapter.shared, adapter.base())
    back = {**wire_factors(MODULE, form, adapter.shared), **wire_magnitude(MODULE, form, adapter.base())}
    assert {key: array.shape for key, array in back.items()} == {k: array.shape for k, array in adapter.shared.items()}
    assert all(np.allclose(back[key], array, rtol=1e-12) for key, array in adapter.shared.items())


@given(adapters(dora=st.just(False)))
def test_plain_lora_has_gain_one_and_needs_no_frozen_weight(adapter: Drawn) -> None:
    form = linear_form(MODULE, adapter.shared, Base(groups={}, frozen={}, alpha=3.0, rank=adapter.rank))
    assert (form.gain == 1).all()
    assert (form.b == flat(adapter.shared[B])).all()


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_row_norms_hold_to_1e_10_even_where_the_adapter_cancels_the_weight(
    out: int, into: int, rank: int, seed: int, share: float
) -> None:
    """W0 = R - share s B A: at share 1 the norms are those of R alone, 1e-5 of the terms that cancel."""
    rng = np.random.default_rng(seed)
    b, a, rest = rng.normal(size=(out, rank)), rng.normal(size=(rank, into)), 1e-5 * rng.normal(size=(out, into))
    weight = rest - share * 0.5 * b @ a
    expected = np.linalg.norm(weight + 0.5 * b @ a, axis=1)
    terms = np.linalg.norm(weight, axis=1) + 0.5 * np.linalg.norm(b @ a, axis=1)
    assume((expected > 1e-6 * terms).all())
    assert row_norms(weight, b, a, 0.5) == pytest.approx(expected, rel=1e-10, abs=0)


def test_rows_that_the_adapter_cancels_keep_their_digits() -> None:
    """W0 + s B A = 1e-7 (3, 4) beside terms of size 1: the norm is 5e-7, whose square the three terms cannot hold."""
    weight = np.array([[1.0 + 3e-7, 4e-7], [3.0, 4.0]])
    found = row_norms(weight, np.array([[-1.0], [0.0]]), np.array([[1.0, 0.0]]), 1.0)
    assert found == pytest.approx(np.array([np.hypot(weight[0, 0] - 1.0, 4e-7), 5.0]), rel=1e-12)


def test_a_float32_weight_has_its_norms_in_float64() -> None:
    """Row (1, 1e-5): squares 1 and 1e-10, of which float32 would keep only the first."""
    weight = np.array([[1.0, 1e-5]], dtype=np.float32)
    assert row_norms(weight, np.zeros((1, 1)), np.ones((1, 2)), 1.0)[0] == np.hypot(1.0, float(np.float32(1e-5)))


@pytest.mark.parametrize("magnitude", [5e-4, 0.0, -1.0, np.nan, np.inf])
def test_a_gain_that_is_not_positive_is_refused_by_center_module_and_rows(magnitude: float) -> None:
    tensors = {A: np.zeros((1, 2)), B: np.zeros((3, 1)), M: np.array([1.0, magnitude, 1.0])}
    weight = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(PayloadError, match=r"center 'hgj': module 'attn.qkv' has 1 of 3 row gains"):
        linear_form(MODULE, tensors, base_on(weight), "hgj")


def test_magnitudes_without_the_frozen_weight_are_refused() -> None:
    with pytest.raises(PayloadError, match=r"backbone holds no 'attn.qkv.weight'"):
        linear_form(MODULE, FIVE_TWELVE, Base(groups={}, frozen={}, alpha=1.0, rank=1))


def test_the_scale_is_alpha_over_the_adapters_own_rank() -> None:
    assert scale_of(np.zeros((4, 9)), 16) == 4.0


def test_modules_are_those_of_the_shared_adapter() -> None:
    keys = ["z#lora_b", "a#lora_a", "a#lora_b", "head.weight", "c#center_a", "n#norm_bias", "k#residual_a"]
    assert modules_of(keys) == ("a", "z")
