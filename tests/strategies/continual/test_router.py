"""The router on Gaussian centers, and on one-dimensional ones that can be checked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from protocol.errors import BankError
from protocol.storage.sealed_json import read_sealed, sealed
from strategies.continual.prototypes import Prototype, prototypes_of
from strategies.continual.router import (
    Router,
    chi_square_quantile,
    fit,
    from_json,
    to_json,
)


def prototype(center: str, cases: np.ndarray) -> Prototype:
    mean = cases.mean(axis=0)
    return Prototype(center, len(cases), mean, (cases - mean).T @ (cases - mean))


def line(**centers: "tuple[int, float]") -> Router:
    """Centers on a line: name -> (n_c, mu_c), variance 1 within each."""
    counts = [count for count, _ in centers.values()]
    return fit(
        [
            Prototype(name, count, np.array([mean]), np.array([[(sum(counts) - len(counts)) / len(counts)]]))
            for name, (count, mean) in centers.items()
        ],
        shrinkage=0.5,
    )


def gaussian_centers(size: int, cases: int, seed: int = 0) -> "tuple[np.ndarray, list[np.ndarray]]":
    rng = np.random.default_rng(seed)
    means = 6 * rng.normal(size=(3, size))
    return means, [mean + rng.normal(size=(cases, size)) for mean in means]


@pytest.mark.parametrize(("size", "cases"), [(2, 50), (20, 50), (40, 8)])
def test_new_cases_find_their_center_and_a_far_one_is_flagged(size: int, cases: int) -> None:
    """The last row has more features than cases."""
    means, observed = gaussian_centers(size, cases)
    router = fit([prototype(name, rows) for name, rows in zip("abc", observed, strict=True)], shrinkage=0.2)
    fresh = np.random.default_rng(1)
    for name, mean in zip("abc", means, strict=True):
        routes = [router.route(mean + fresh.normal(size=size)) for _ in range(20)]
        assert {next(iter(route.weights)) for route in routes if route.known} == {name}
        assert sum(route.known for route in routes) >= 18
    far = router.route(means.mean(axis=0) + 100 * fresh.normal(size=size))
    assert (far.known, far.weights) == (False, {})
    assert far.distance > router.limit


def test_a_case_at_its_centers_mean_has_no_distance() -> None:
    route = line(a=(4, 0.0), b=(4, 10.0)).route(np.array([10.0]))
    assert route.distance == pytest.approx(0, abs=1e-12)
    assert list(route.weights) == ["b", "a"]
    assert route.weights["a"] == pytest.approx(np.exp(-50), rel=1e-6)


def test_distance_is_in_standard_deviations() -> None:
    """Two of them: squared distance 4. The third center is far off and serves nobody."""
    route = line(a=(4, 0.0), b=(4, 6.0), c=(4, 60.0)).route(np.array([2.0]))
    assert route.distance == pytest.approx(4)
    assert route.weights["b"] == pytest.approx(1 / (1 + np.exp(6)))
    assert set(route.weights) == {"a", "b"}


def test_between_two_centers_the_larger_weighs_by_the_root_of_its_cases() -> None:
    """In the middle pi is 3 : 1 for 36 and 4 cases."""
    route = line(a=(36, 0.0), b=(4, 2.0)).route(np.array([1.0]))
    assert route.weights == pytest.approx({"a": 0.75, "b": 0.25})


def test_a_scan_between_equal_centers_is_unknown_though_near() -> None:
    route = line(a=(4, 0.0), b=(4, 2.0)).route(np.array([1.0]))
    assert (route.known, route.weights) == (False, {})
    assert route.posterior == pytest.approx({"a": 0.5, "b": 0.5})


@pytest.mark.parametrize(("share", "known"), [(0.599, False), (0.601, True)])
def test_six_tenths_are_sure(share: float, *, known: bool) -> None:
    """Root of cases as the only difference: pi_a = sqrt(n_a) / (sqrt(n_a) + sqrt(n_b))."""
    ratio = (share / (1 - share)) ** 2
    assert line(a=(round(10_000 * ratio), 0.0), b=(10_000, 2.0)).route(np.array([1.0])).known is known


def test_beyond_the_quantile_nobody_is_known() -> None:
    """chi2_{1, .99} = 6.63 = 2.576 squared; the approximation says 6.59."""
    router = line(a=(4, 0.0))
    assert router.route(np.array([2.55])).known is True
    assert router.route(np.array([2.6])).known is False


def test_the_share_of_a_third_center_falls_to_the_shared_adapter() -> None:
    """pi = 16/25, 8/25 and 1/25 in the middle of three: two serve, with 0.96 together."""
    router = line(a=(256, -1.0), b=(64, 1.0), c=(1, 1.0))
    assert router.route(np.array([0.0])).weights == pytest.approx({"a": 0.64, "b": 0.32})


def test_temperature_spreads_the_weights() -> None:
    rows = [Prototype(name, 4, np.array([mean]), np.array([[3.0]])) for name, mean in (("a", 0.0), ("b", 2.0))]
    cold, warm = (fit(rows, shrinkage=0.5, temperature=t).route(np.array([0.0])) for t in (1.0, 4.0))
    assert cold.posterior["b"] == pytest.approx(1 / (1 + np.exp(2)))
    assert warm.posterior["b"] == pytest.approx(1 / (1 + np.exp(0.5)))


def test_shrinkage_mixes_in_the_mean_variance() -> None:
    """Variances 4 and 1 within, half-way to their mean 2.5; in total both features vary by 80 / 22."""
    apart = (60 / 22) ** 0.5
    a, b = (Prototype(c, 11, np.array([0.0, m]), np.diag([40.0, 10.0])) for c, m in (("a", -apart), ("b", apart)))
    router = fit([a, b], shrinkage=0.5)
    whitened = router.projection.T @ router.projection
    assert np.linalg.inv(whitened) == pytest.approx(np.diag([3.25, 1.75]), rel=1e-6)


def test_features_of_any_unit_route_alike() -> None:
    _, observed = gaussian_centers(6, 30)
    units = 10.0 ** np.arange(-3, 3)
    plain, scaled = (
        fit([prototype(name, rows * unit) for name, rows in zip("abc", observed, strict=True)], shrinkage=0.3)
        for unit in (1, units)
    )
    case = observed[1][0] + 0.5
    assert scaled.route(case * units).distance == pytest.approx(plain.route(case).distance, rel=1e-6)


def test_few_cases_allow_few_components() -> None:
    """3 centers with 8 cases leave 21 degrees of freedom, 2 a component."""
    _, observed = gaussian_centers(40, 8)
    router = fit([prototype(name, rows) for name, rows in zip("abc", observed, strict=True)], shrinkage=0.2)
    assert len(router.projection) == 10


def test_components_have_a_ceiling() -> None:
    _, observed = gaussian_centers(20, 50)
    rows = [prototype(name, cases) for name, cases in zip("abc", observed, strict=True)]
    assert len(fit(rows, shrinkage=0.2, components=5).projection) == 5


def test_a_feature_that_never_changes_says_nothing() -> None:
    rng = np.random.default_rng(0)
    cases = np.column_stack([rng.normal(size=20), np.full(20, 7.0)])
    router = fit([prototype("a", cases)], shrinkage=0.1)
    assert router.projection.shape == (1, 2)
    assert router.projection[0, 1] == 0


@pytest.mark.parametrize("degrees", [1, 2, 5, 10, 64])
def test_the_quantile_is_close_to_the_exact_one(degrees: int) -> None:
    assert chi_square_quantile(0.99, degrees) == pytest.approx(chi2.ppf(0.99, degrees), rel=0.0075)


@given(st.permutations("abc"))
def test_the_order_of_prototypes_does_not_matter(order: "list[str]") -> None:
    _, observed = gaussian_centers(3, 10)
    rows = {name: prototype(name, cases) for name, cases in zip("abc", observed, strict=True)}
    shuffled = fit([rows[name] for name in order], shrinkage=0.2)
    assert to_json(shuffled) == to_json(fit(rows.values(), shrinkage=0.2))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one center"),
        ([Prototype("a", 2, np.zeros(1), np.eye(1))] * 2, r"centers \['a', 'a'\]"),
        ([Prototype("a", 2, np.zeros(2), np.eye(1))], "one size"),
        ([Prototype("a", 0, np.zeros(1), np.eye(1))], r"centers \['a'\] have no case"),
        ([Prototype("a", 2, np.array([np.nan]), np.eye(1))], r"centers \['a'\] have no case or values"),
        ([Prototype("a", 1, np.zeros(1), np.zeros((1, 1)))], "no case of centers"),
        (
            [Prototype("a", 1, np.zeros(1), np.zeros((1, 1))), Prototype("b", 1, np.ones(1), np.zeros((1, 1)))],
            "no case",
        ),
    ],
)
def test_prototypes_that_cannot_be_fitted_are_refused(rows: "list[Prototype]", message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(rows, shrinkage=0.1)


@pytest.mark.parametrize(("shrinkage", "temperature", "components"), [(0, 1, 1), (1.1, 1, 1), (0.1, 0, 1), (0.1, 1, 0)])
def test_options_that_leave_nothing_regular_are_refused(shrinkage: float, temperature: float, components: int) -> None:
    with pytest.raises(ValueError, match="router: shrinkage"):
        fit(
            [Prototype("a", 2, np.zeros(1), np.eye(1))],
            shrinkage=shrinkage,
            temperature=temperature,
            components=components,
        )


@pytest.mark.parametrize("features", [np.zeros(2), np.array([np.inf])])
def test_features_of_another_kind_are_refused(features: np.ndarray) -> None:
    with pytest.raises(ValueError, match="router expects 1 finite features"):
        line(a=(4, 0.0)).route(features)


def block(mean: float, count: int, scatter: float) -> "dict[str, np.ndarray]":
    return {
        "mean": np.array([mean], dtype=np.float32),
        "scatter": np.array([[scatter]], dtype=np.float32),
        "count": np.array([count], dtype=np.float32),
    }


def kept(**blocks: "dict[str, np.ndarray]") -> "dict[str, np.ndarray]":
    return {f"features.{name}@{part}": array for name, parts in blocks.items() for part, array in parts.items()}


def test_prototypes_come_from_what_is_kept_of_centers() -> None:
    """Joint blocks: 4 of 8 CT cases count, so that the CT scatter halves. A CT-only center has no joint prototype."""
    own = {"mda": kept(ct=block(1, 8, 6), pet=block(2, 4, 5)), "chuv": kept(ct=block(3, 9, 1)), "hgj": {}}
    (joint,) = prototypes_of(own, ("features.ct", "features.pet"))
    assert (joint.center, joint.count, joint.mean.tolist()) == ("mda", 4, [1, 2])
    assert joint.scatter.tolist() == [[3, 0], [0, 5]]
    assert [each.center for each in prototypes_of(own, ("features.ct",))] == ["chuv", "mda"]


def test_a_router_survives_its_file(tmp_path: Path) -> None:
    _, observed = gaussian_centers(5, 12)
    router = fit([prototype(name, rows) for name, rows in zip("abc", observed, strict=True)], shrinkage=0.2)
    path = tmp_path / "router.json"
    path.write_bytes(sealed(to_json(router)))
    again = from_json(read_sealed(path))
    assert json.dumps(to_json(again)) == json.dumps(to_json(router))
    assert again.route(observed[0][0]) == router.route(observed[0][0])


@pytest.mark.parametrize("damage", [{"centers": ["a", "b"]}, {"offset": [0.0, 1.0]}, {"counts": None}, {"counts": []}])
def test_a_file_that_contradicts_itself_is_refused(damage: "dict[str, object]") -> None:
    with pytest.raises(BankError, match="fit it again"):
        from_json({**to_json(line(a=(4, 0.0))), **damage})


def test_a_file_without_a_field_is_refused() -> None:
    with pytest.raises(BankError, match="router cannot be read"):
        from_json({"centers": ["a"]})
