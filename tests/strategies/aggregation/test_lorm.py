"""LoRM: RegMean's closed form per phase, by hand and against its own objective."""

from collections.abc import Mapping

import numpy as np
import pytest

from protocol.errors import PayloadError
from protocol.messages.settings import ROLES, Aggregation, Role
from strategies.aggregation import lorm
from strategies.aggregation.contract import Base
from tests.support.drawn_adapters import MODULE, A, B, Drawn, drawn, sent_by

GRAM = f"{MODULE}@gram"


def tensor(*values: object) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def base(*roles: Role, **settings: object) -> Base:
    chosen = Aggregation.model_validate({"weight_exponent": 1, **settings})
    return Base(groups={}, frozen={}, alpha=1, rank=1, settings=chosen, roles=roles or ROLES)


def test_lorm_weighs_a_by_the_inputs_each_center_saw() -> None:
    """Inputs (1, 1) and (3, 1) of Gram diagonal: G = diag(1, 1) and diag(9, 1), no off-diagonal entries, rho -> 0.

    A = (2, 2) and (12, 4): first column (1 x 2 + 9 x 12) / 10 = 11, second (2 + 4) / 2 = 3.
    """
    payloads = [
        sent_by("a", {A: tensor([2, 2]), GRAM: tensor([1, 0], [0, 1])}, peft=1),
        sent_by("b", {A: tensor([12, 4]), GRAM: tensor([3, 0], [0, 1])}, peft=1),
    ]
    shared = {A: tensor([0, 0]), B: tensor([1])}
    result = lorm.aggregate(shared, payloads, base("lora_a", ridge=1e-12), {}).shared
    assert result[A] == pytest.approx(np.array([[11.0, 3.0]]))
    assert sorted(result) == [A, B]


def test_lorm_in_phase_b_scales_off_diagonal_entries_by_nine_tenths() -> None:
    """A = (1, 1), root (1, 1): G all ones, A Gamma A' = 2 + 2 x 0.9 = 3.8. Root (0, 1): A Gamma A' = 1.

    B = 1 and B = 5.8: (3.8 x 1 + 1 x 5.8) / 4.8 = 2.
    """
    payloads = [
        sent_by("a", {B: tensor([1]), GRAM: tensor([1, 1])}, peft=1),
        sent_by("b", {B: tensor([5.8]), GRAM: tensor([0, 1])}, peft=1),
    ]
    shared = {A: tensor([1, 1]), B: tensor([0])}
    assert lorm.aggregate(shared, payloads, base("lora_b", ridge=1e-12), {}).shared[B] == pytest.approx(2.0)


def test_the_ridge_of_lorm_pulls_the_product_to_its_plain_mean() -> None:
    """A = (2, 0), A A' = 4; roots (1, 0), (3, 0): A Gamma A' = 4 and 36. B = 1 and 5, rho = 1.

    B = (mean(4 x 1, 36 x 5) + 4 x 3) / (mean(4, 36) + 4) = (92 + 12) / 24 = 13/3.
    """
    payloads = [
        sent_by("a", {B: tensor([1]), GRAM: tensor([1, 0])}, peft=1),
        sent_by("b", {B: tensor([5]), GRAM: tensor([3, 0])}, peft=1),
    ]
    shared = {A: tensor([2, 0]), B: tensor([0])}
    assert lorm.aggregate(shared, payloads, base("lora_b", ridge=1), {}).shared[B] == pytest.approx(13 / 3)


def test_lorm_averages_directions_that_no_center_has_seen() -> None:
    """Second input is zero everywhere: its column is the plain mean (2 + 4) / 2 = 3, by any ridge."""
    payloads = [
        sent_by("a", {A: tensor([2, 2]), GRAM: tensor([1, 0])}, peft=1),
        sent_by("b", {A: tensor([12, 4]), GRAM: tensor([3, 0])}, peft=1),
    ]
    result = lorm.aggregate({A: tensor([0, 0]), B: tensor([1])}, payloads, base("lora_a", ridge=1e-6), {}).shared
    assert result[A] == pytest.approx(np.array([[11.0, 3.0]]), rel=1e-5)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("roles", [("lora_a",), ("lora_b", "magnitude")])
def test_lorm_is_stationary_for_regmeans_objective(roles: tuple[Role, ...], dora: bool) -> None:
    """No step of the live factor lowers sum_c w_c tr((D - D_c) Gamma_c (D - D_c)'), D = B' A, written out densely."""
    rng = np.random.default_rng(4)
    tensors = drawn(rng, (7, 5), 2, dora=dora)
    adapter = Drawn(tensors.pop("weight"), tensors, [4, 9, 25], 6)
    roots = [rng.normal(size=(9, 5)) for _ in adapter.cases]
    payloads = [
        sent_by(p.center, {**p.tensors, GRAM: root}, **p.support)
        for p, root in zip(adapter.payloads(*roles), roots, strict=True)
    ]
    result = lorm.aggregate(adapter.shared, payloads, adapter.base(*roles, ridge=1e-12), {}).shared

    def update(state: Mapping[str, np.ndarray]) -> np.ndarray:
        """D = B' A with B' = diag(d) B, d the norms of the effective rows over those of W0 + s B A; s = 3/2."""
        whole = {**adapter.shared, **state}
        product = whole[B] @ whole[A]
        rows = np.linalg.norm(adapter.weight_of(state), axis=1) / np.linalg.norm(adapter.frozen + 1.5 * product, axis=1)
        return rows[:, None] * product

    slopes = []
    for payload, root in zip(payloads, roots, strict=True):
        gram = root.T @ root
        gamma = 0.9 * gram + 0.1 * np.diag(np.diag(gram))
        sent = {key: array for key, array in payload.tensors.items() if key != GRAM}
        slopes.append(payload.support["peft"] ** 0.5 * (update(result) - update(sent)) @ gamma)
    directions = np.eye(5) if roles == ("lora_a",) else adapter.shared[A].T
    assert np.abs(sum(slopes) @ directions).max() < 1e-5 * np.abs(slopes).max()


def test_lorm_without_grams_says_what_to_configure() -> None:
    with pytest.raises(PayloadError, match=r"center 'hgj' .* without 'attn.qkv@gram'.*statistics \[\"gram\"\]"):
        lorm.aggregate({A: tensor([1]), B: tensor([1])}, [sent_by("hgj", {A: tensor([2])}, peft=1)], base("lora_a"), {})
