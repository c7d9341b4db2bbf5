"""The router on Gaussian centers, and on one-dimensional ones that can be checked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from strategies.continual.prototypes import Prototype
from strategies.continual.router import chi_square_quantile, fit
from tests.support.drawn_centers import gaussian_centers, line, prototype


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
    expected = fit(rows.values(), shrinkage=0.2)
    assert shuffled.centers == expected.centers
    for found, wanted in ((shuffled.projection, expected.projection), (shuffled.positions, expected.positions)):
        assert found.tobytes() == wanted.tobytes()


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
