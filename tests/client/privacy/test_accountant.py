"""One accountant over releases of every kind, beside a closed form and a second accountant."""

import math

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from client.privacy.accountant import epsilon_of, history_of, noise_multiplier_for
from client.privacy.release import Release, ReleaseKind
from protocol.errors import PrivacySpentError


def gaussian(noise: float, steps: int = 1, kind: ReleaseKind = "gram") -> Release:
    return Release(kind, "gaussian", noise, 1.0, steps, "s", "adapt", 1)


def exact_epsilon(mu: float, delta: float) -> float:
    """Of a Gaussian mechanism: Balle and Wang, ICML 2018 (1805.06530), theorem 8."""

    def excess(epsilon: float) -> float:
        return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)) - delta

    return float(brentq(excess, 0, 50))


def test_gaussian_releases_compose_to_one_of_their_summed_precisions() -> None:
    """Noises 2 and 2 / sqrt(3) together are one of 1: 1/4 + 3/4 = 1."""
    exact = exact_epsilon(1.0, 1e-5)
    found = epsilon_of([gaussian(2.0), gaussian(2 / math.sqrt(3))], 1e-5)
    assert exact <= found <= exact + 0.02


def test_nothing_costs_nothing_and_scores_cost_nothing() -> None:
    assert epsilon_of([], 1e-5) == 0
    assert epsilon_of([Release("score", "none", 0.0, 1.0, 1, "s", "adapt", 1)], 1e-5) == 0


def test_training_without_a_mechanism_ends_every_guarantee() -> None:
    assert epsilon_of([gaussian(5.0), Release("training", "none", 0.0, 1.0, 1, "s", "a", 1)], 1e-5) == math.inf


def test_the_same_mechanism_is_one_row_and_the_order_does_not_count() -> None:
    releases = [gaussian(2.0, 3), gaussian(1.0), gaussian(2.0, 4, "fisher")]
    assert history_of(releases) == history_of(releases[::-1]) == ((1.0, 1.0, 1), (2.0, 1.0, 7))


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, math.nan])
def test_a_delta_that_is_no_probability_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match="less than one over the number of patients"):
        epsilon_of([], delta)


def test_what_no_mesh_can_hold_still_has_a_bound() -> None:
    """A thousand steps of noise 0.2 over everybody: mu = 158, and epsilon above mu^2 / 2 = 12,500."""
    assert 12_500 < epsilon_of([gaussian(0.2, 1000)], 1e-5) < 14_000


def test_the_noise_found_is_the_smallest_that_fits_beside_what_was_spent() -> None:
    spent = [gaussian(3.0)]
    noise = noise_multiplier_for(2.0, 1e-4, 1.0, 4, spent)
    assert epsilon_of([*spent, gaussian(noise, 4)], 1e-4) <= 2.0 < epsilon_of([*spent, gaussian(noise - 0.01, 4)], 1e-4)


def test_where_too_much_is_spent_no_noise_helps() -> None:
    with pytest.raises(PrivacySpentError, match=r"1 release\(s\) have cost epsilon .* stay within 1"):
        noise_multiplier_for(1.0, 1e-5, 0.1, 10, [gaussian(0.5)])
