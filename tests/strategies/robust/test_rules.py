"""What every row of the table of rules promises, and what the rules make of one liar among seven."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.aggregation.clipping import shares_left
from strategies.robust import rules
from strategies.robust.rules import RULES, Rule
from tests.support.updates_in_a_plane import combined, compared

SITES, ENTRIES, NOISE = 7, 400, 0.2


@pytest.fixture(params=sorted(RULES))
def rule(request: pytest.FixtureRequest) -> Rule:
    return RULES[request.param]


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-6, 1.0, 1e6]))
@pytest.mark.parametrize("name", sorted(RULES))
def test_weights_are_shares_and_the_unit_of_updates_is_nobodys_business(name: str, seed: int, scale: float) -> None:
    updates = np.random.default_rng(seed).normal(size=(7, 5))
    found, other = (RULES[name].weigh(compared((factor * updates).tolist(), reference=2)) for factor in (1.0, scale))
    assert found.weights.sum() == pytest.approx(1)
    assert (found.weights >= 0).all()
    np.testing.assert_allclose(found.weights, other.weights, atol=1e-6)
    np.testing.assert_allclose(found.lengths, other.lengths, rtol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("name", sorted(RULES))
def test_the_order_of_centers_is_irrelevant(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    updates, order = rng.normal(size=(7, 5)), rng.permutation(7)
    found = RULES[name].weigh(compared(updates.tolist(), reference=3)).weights
    turned = RULES[name].weigh(compared(updates[order].tolist(), reference=order.tolist().index(3))).weights
    np.testing.assert_allclose(turned, found[order], atol=1e-6)


def test_equal_updates_give_back_themselves(rule: Rule) -> None:
    np.testing.assert_allclose(combined(rule.weigh, [(3, -4)] * 7, reference=0), [3, -4])


def test_nobody_moved(rule: Rule) -> None:
    found = rule.weigh(compared([(0, 0)] * 7, reference=0))
    assert found.weights.sum() == pytest.approx(1)
    assert np.isfinite(found.lengths).all()


def test_more_liars_never_need_fewer_centers(rule: Rule) -> None:
    assert all(rule.fewest(liars) <= rule.fewest(liars + 1) for liars in range(1, 5))
    assert all(rule.fewest(liars) <= rule.advised(liars) for liars in range(1, 5))


def test_every_file_that_weighs_is_the_row_of_its_name() -> None:
    files = {path.stem for path in Path(rules.__file__).parent.glob("*.py") if "\ndef weigh(" in path.read_text()}
    assert {name.replace("-", "_") for name in RULES} == files
    assert all(row.weigh.__module__ == f"strategies.robust.{name.replace('-', '_')}" for name, row in RULES.items())


def relative_errors() -> dict[str, float]:
    """Seven sites, one of which sends its update times -10; ten draws. How far each rule is off the honest mean."""
    found: dict[str, list[float]] = {}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=ENTRIES) / ENTRIES**0.5
        updates = common + NOISE * rng.normal(size=(SITES, ENTRIES)) / ENTRIES**0.5
        honest = updates[:-1].mean(axis=0)
        updates[-1] *= -10
        results = {"mean": updates.mean(axis=0), "clip": clip_to_median(updates)}
        results |= {name: combined(RULES[name].weigh, updates.tolist()) for name in ("geometric-median", "multi-krum")}
        for name, result in results.items():
            found.setdefault(name, []).append(float(np.linalg.norm(result - honest) / np.linalg.norm(honest)))
    return {name: float(np.mean(errors)) for name, errors in found.items()}


def clip_to_median(updates: np.ndarray) -> np.ndarray:
    norms = {f"{place}": float(norm) for place, norm in enumerate(np.linalg.norm(updates, axis=1))}
    left = shares_left(norms, fewest=3, clip=1)
    return np.asarray(np.mean([left.get(f"{place}", 1) * update for place, update in enumerate(updates)], axis=0))


def test_one_of_seven_times_minus_ten() -> None:
    """Of the mean (6 - 10) / 7 is left, 11/7 off; cut to the median (6 - 1) / 7, 2/7 off; then the rules."""
    found = relative_errors()
    assert found["mean"] == pytest.approx(11 / 7, abs=0.05)
    assert found["clip"] == pytest.approx(2 / 7, abs=0.02)
    assert found["multi-krum"] == pytest.approx(0.06, abs=0.02)
    assert found["geometric-median"] == pytest.approx(0.03, abs=0.01)
