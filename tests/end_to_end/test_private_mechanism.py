"""What a private step gives away is what the ledger says, and a mechanism that is broken gives away more.

Two data sets differ in one patient, whose gradient is as long as any may be and points where nobody else's does. Many
runs of a step on each, and what they left of that direction, prove that the mechanism has some epsilon at least. The
ledger's epsilon may not be less; where sampling, clipping or noise is not what it should be, the proof exceeds it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from client.privacy.accountant import epsilon_of
from client.privacy.gradient_clipping import ClippedGroup, ClippedSum
from client.privacy.patient_sampling import sample_patients
from client.privacy.release import Release
from tests.support.epsilon_audit import lower_bound
from tests.support.vector_patients import loss_of, weights

pytestmark = pytest.mark.usefixtures("no_report")

RUNS, DELTA, NORM, EXPECTED = 1500, 1e-2, 1.0, 2.0
ONE = (10.0, 0.0)
OTHERS: dict[str, Sequence[float]] = {"a": (0.0, 0.7), "b": (0.0, -3.0)}
Rng = np.random.Generator
Sample = Callable[[dict[str, Sequence[float]], float, Rng], list[Sequence[float]]]


def everybody(patients: dict[str, Sequence[float]], _rate: float, _rng: Rng) -> list[Sequence[float]]:
    """A batch in place of a sample: who is asked for is in."""
    return list(patients.values())


def outcomes(
    patients: dict[str, Sequence[float]],
    sigma: float,
    rate: float,
    *,
    seed: int,
    norm: float = NORM,
    sample: Sample = sample_patients,
) -> NDArray[np.float64]:
    """What many steps left in the direction of the one patient, in units of the clipping norm."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(RUNS):
        parameters = weights(2)
        total = ClippedSum([ClippedGroup(tuple(parameters), norm)])
        for vector in sample(patients, rate, rng):
            total.add(loss_of(vector, parameters))
        total.release(sigma * NORM / norm, EXPECTED, rng)
        gradient = parameters[0].grad
        assert gradient is not None
        found.append(float(gradient[0]) * EXPECTED / NORM)
    return np.asarray(found)


def proven(sigma: float, rate: float, threshold: float, **broken: object) -> float:
    present = outcomes({**OTHERS, "one": ONE}, sigma, rate, seed=1, **broken)  # type: ignore[arg-type]
    absent = outcomes(OTHERS, sigma, rate, seed=2, **broken)  # type: ignore[arg-type]
    return lower_bound(present, absent, threshold, DELTA)


def claimed(sigma: float, rate: float) -> float:
    return epsilon_of([Release("training", "subsampled-gaussian", sigma, rate, 1, "s", "a", 1)], DELTA)


@pytest.mark.parametrize(("sigma", "rate", "threshold"), [(1.0, 1.0, 2.0), (0.7, 0.3, 1.5)])
def test_nothing_that_a_step_leaves_proves_more_than_the_ledger_claims(
    sigma: float, rate: float, threshold: float
) -> None:
    """And what is proven is no small part of the claim: the audit sees something."""
    assert 0.25 * claimed(sigma, rate) < proven(sigma, rate, threshold) <= claimed(sigma, rate)


def test_half_the_noise_is_caught() -> None:
    assert proven(0.5, 1.0, 1.5) > claimed(1.0, 1.0)


def test_a_batch_in_place_of_a_sample_is_caught() -> None:
    assert proven(1.0, 0.1, 2.0, sample=everybody) > claimed(1.0, 0.1)


def test_a_gradient_that_is_not_clipped_is_caught() -> None:
    assert proven(1.0, 1.0, 3.5, norm=1e9) > claimed(1.0, 1.0)


def test_two_data_sets_that_are_the_same_prove_nothing() -> None:
    torch.manual_seed(0)
    first, second = (outcomes(OTHERS, 1.0, 1.0, seed=seed) for seed in (1, 2))
    assert lower_bound(first, second, 0.5, DELTA) < 0.3
