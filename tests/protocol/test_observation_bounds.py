"""What no network can have given, from payloads written by hand."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages.payload import Payload
from protocol.observation_bounds import feature_findings, observation_findings

Arrays = dict[str, np.ndarray]


def found(tensors: Arrays, **support: int) -> list[str]:
    return list(observation_findings(Payload("a", "", "adapt", 1, tensors, support=support)))


def features(mean: "list[float]", scatter: "list[list[float]]") -> Arrays:
    values = {"features.ct@mean": mean, "features.ct@scatter": scatter}
    return {key: np.array(value, np.float32) for key, value in values.items()}


def ct_findings(tensors: Arrays, cases: float) -> str:
    return "; ".join(feature_findings(tensors, "features.ct", cases))


@pytest.mark.parametrize("size", [3e38, 1e20, 2e3])
def test_inputs_of_a_root_mean_square_above_a_thousand_are_refused(size: float) -> None:
    (finding,) = found({"qkv@gram": np.full((1, 4), size, np.float32)}, gram=5)
    assert finding.startswith("'qkv@gram' has mean squared input ")
    assert finding.endswith("expected at most 1e+06, more than a network gives")


def test_inputs_of_a_normalised_layer_pass() -> None:
    """Four inputs of mean square 1: trace 4."""
    assert found({"qkv@gram": np.eye(4, dtype=np.float32), "b@fisher": np.ones(3, np.float32)}, gram=5) == []


def test_squared_gradients_above_a_million_are_refused() -> None:
    assert found({"b@fisher": np.array([0, 3e38], np.float32)}, fisher=5) == [
        "'b@fisher' has mean squared gradient 3e+38, expected at most 1e+06, more than a network gives"
    ]


@pytest.mark.parametrize(
    ("mean", "scatter", "cases", "message"),
    [
        ([0, 3e38], [[1, 0], [0, 1]], 5, "'features.ct@mean' has entry 3e\\+38, expected at most 1e\\+06"),
        ([0, np.nan], [[1, 0], [0, 1]], 5, "has values that are not finite"),
        ([0, 0], [[1, 0], [0, np.inf]], 5, "has values that are not finite"),
        ([0, 0], [[1e30, 0], [0, 1]], 5, "'features.ct@scatter' has entry 1e\\+30, expected at most 5e\\+12"),
        ([0, 0], [[1, 0.5], [0, 1]], 5, "is not symmetric"),
        ([0, 0], [[1, 2], [2, 1]], 5, "has eigenvalue -1, expected none below 0"),
        ([0, 0], [[-1, 0], [0, 1]], 5, "has eigenvalue -1"),
        ([0, 0], [[1, 0], [0, 1]], 2, r"varies in more than 1 directions, which the scatter of 2 case\(s\) cannot"),
        ([0, 0], [[1, 0], [0, 0]], 1, "varies in more than 0 directions"),
        ([0, 0], [[0, 0], [0, 0]], 0, "stands on 0 cases"),
        ([0, 0, 0], [[1, 0], [0, 1]], 5, r"mean \(3,\) and scatter \(2, 2\), expected \(p,\) and \(p, p\)"),
        ([], [[]], 5, "expected"),
    ],
)
def test_what_cases_cannot_scatter_like_is_found(
    mean: "list[float]", scatter: "list[list[float]]", cases: float, message: str
) -> None:
    assert re.search(message, ct_findings(features(mean, scatter), cases))


def test_a_mean_without_its_scatter_is_found() -> None:
    assert "scatter None" in ct_findings({"features.ct@mean": np.zeros(2, np.float32)}, 5)


def test_pet_has_five_numbers() -> None:
    tensors = {"features.pet@mean": np.zeros(4, np.float32), "features.pet@scatter": np.zeros((4, 4), np.float32)}
    assert found(tensors, **{"features.pet": 3}) == ["'features.pet' has 4 features, expected 5"]


@given(st.integers(1, 12), st.integers(1, 40), st.floats(-3, 4), st.integers(0, 10_000))
def test_honest_features_pass(cases: int, size: int, exponent: float, seed: int) -> None:
    """Of any number of cases and features, in any unit, with means far from 0, rounded to float32."""
    rng = np.random.default_rng(seed)
    rows = 10.0**exponent * (5 + rng.normal(size=(cases, size)) * rng.uniform(0, 2, size))
    away = rows - rows.mean(axis=0)
    scatter = (away.T @ away).astype(np.float32)
    tensors = {"features.ct@mean": rows.mean(axis=0).astype(np.float32), "features.ct@scatter": scatter}
    assert ct_findings(tensors, cases) == ""
