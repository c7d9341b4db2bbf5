"""One center among four that says what it likes decides neither how features scatter nor where scans go."""

import numpy as np
import pytest

from strategies.continual.prototype_bounds import pool, prior_counts
from strategies.continual.prototypes import Prototype
from strategies.continual.router import fit
from tests.support.drawn_centers import gaussian_centers, prototype

SIZE, CASES = 12, 30


def one(name: str, count: int, mean: float, variance: float) -> Prototype:
    return Prototype(name, count, np.array([mean]), np.array([[variance * (count - 1)]]))


def test_no_center_counts_more_than_the_others_together_in_the_covariance() -> None:
    """10 + 10 + 20 cases; the variance of the third stays 1, of 19 freedoms instead of 99,999."""
    pooled = pool([one("a", 10, 0, 1), one("b", 10, 0, 1), one("liar", 100_000, 0, 1)])
    assert pooled.counts.tolist() == [10, 10, 20]
    assert pooled.scatter.item() == pytest.approx(9 + 9 + 19)


def test_a_variance_is_at_most_nine_times_the_others() -> None:
    """1, 1 and 1,000: 9 freedoms each of 1, 1 and 9."""
    pooled = pool([one("a", 10, 0, 1), one("b", 10, 0, 1), one("liar", 10, 0, 1000)])
    assert pooled.scatter.item() == pytest.approx(9 + 9 + 81)


def test_a_center_whose_cases_hardly_differ_counts_as_one_case_in_the_covariances() -> None:
    """Variances 1, 1 and 0.1: 9 freedoms each of the first two."""
    pooled = pool([one("a", 10, 0, 1), one("b", 10, 0, 1), one("liar", 10**6, 0, 0.1)])
    assert pooled.counts.tolist() == [10, 10, 1]
    assert pooled.scatter.item() == pytest.approx(18)
    assert pool([one("a", 10, 0, 1), one("b", 10, 0, 1), one("c", 10, 0, 0.12)]).counts.tolist() == [10, 10, 10]


def test_a_mean_ends_at_thirty_deviations_in_the_total_covariance() -> None:
    pooled = pool([one("a", 10, 0, 1), one("b", 10, 1, 1), one("liar", 10, 1e9, 1)])
    assert pooled.means.ravel().tolist() == pytest.approx([0, 1, 31])


def test_a_feature_without_any_scatter_gives_a_liar_no_axis() -> None:
    """All others have 5 there."""
    rows = [Prototype(c, 10, np.array([m, 5.0]), np.diag([9.0, 0.0])) for c, m in (("a", 0), ("b", 1), ("c", 2))]
    liar = Prototype("liar", 10, np.array([1.0, 1e6]), np.diag([9.0, 0.0]))
    assert pool([*rows, liar]).means[:, 1].tolist() == [5, 5, 5, 5]


def test_what_is_within_the_bounds_keeps_its_bits() -> None:
    _, observed = gaussian_centers(SIZE, CASES)
    rows = [prototype(name, cases) for name, cases in zip("abc", observed, strict=True)]
    pooled = pool(rows)
    assert pooled.scatter.tobytes() == np.sum([row.scatter for row in rows], axis=0).tobytes()
    assert pooled.means.tobytes() == np.stack([row.mean for row in rows]).tobytes()


def test_of_two_centers_nobody_can_tell_which_is_wrong() -> None:
    pooled = pool([one("a", 10, 0, 1), one("b", 1000, 0, 100)])
    assert (pooled.counts.tolist(), pooled.scatter.item()) == ([10, 1000], 9 + 99_900)


def test_the_weight_of_many_cases_ends_at_nine_times_the_others() -> None:
    assert prior_counts([one("a", 10, 0, 1), one("b", 30, 0, 1), one("liar", 10**9, 0, 1)]).tolist() == [10, 30, 360]


LIES = {
    "huge scatter in the middle": lambda mean: Prototype("liar", CASES, mean, 1e12 * np.eye(SIZE)),
    "huge scatter and a billion cases": lambda mean: Prototype("liar", 10**9, mean, 1e15 * np.eye(SIZE)),
    "no scatter and a billion cases": lambda mean: Prototype("liar", 10**9, mean, np.zeros((SIZE, SIZE))),
    "far away": lambda mean: Prototype("liar", CASES, mean + 1e6, CASES * np.eye(SIZE)),
    "far away in one feature": lambda mean: Prototype(
        "liar", CASES, mean + 1e6 * np.eye(SIZE)[0], CASES * np.eye(SIZE)
    ),
    "one direction": lambda mean: Prototype("liar", CASES, mean, 1e9 * np.ones((SIZE, SIZE))),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_scans_of_honest_centers_find_them_beside_a_lying_prototype(lie: object) -> None:
    """Of 20 new scans of each of three centers at least 15 are known, and all of those their own center's."""
    means, observed = gaussian_centers(SIZE, CASES)
    honest = [prototype(name, rows) for name, rows in zip("abc", observed, strict=True)]
    router = fit([*honest, lie(means.mean(axis=0))], shrinkage=0.2)  # type: ignore[operator]
    fresh = np.random.default_rng(1)
    for name, mean in zip("abc", means, strict=True):
        routes = [router.route(mean + fresh.normal(size=SIZE)) for _ in range(20)]
        assert {next(iter(route.weights)) for route in routes if route.known} == {name}
        assert sum(route.known for route in routes) >= 15
