"""One temperature for a center's network, and how far its probabilities are what they say.

    T = argmin 1/n sum_c 1/N_c sum_x -log p_T(y(x) | x),   p_T(lesion | x) = 1 / (1 + exp(-m(x) / T))

over the voxels that `client.tasks.margins` counts of n validation cases, N_c of case c (temperature scaling, arXiv
1706.04599, section 4.2). Every patient weighs alike, however large the lesion. A class never changes with T: m / T has
the sign of m, so that contour and Dice stay as they are. The sum is convex in 1 / T, so there is one minimum.

    ECE = sum_b n_b / N |observed_b - predicted_b|     b: tenths of p, n_b voxels of all cases together

where `predicted_b` is the mean p in b and `observed_b` the share of its voxels inside the contour: the same article,
equation 3, for the probability of the lesion rather than of the likelier class.

What too few cases would say is None with a reason: fewer than FEWEST, no voxel of either kind, or a minimum at an end
of the range, which is what a network that is never wrong on these few cases gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from client.tasks.margins import MIDDLES, Floats, Margins

FEWEST = 3
PLAIN = 1.0
"""The temperature of a network as it is."""
LOWEST, HIGHEST = 0.1, 10.0
ENDS = 1.01
TENTHS = 10


@dataclass(frozen=True)
class Estimate:
    """A figure of few cases; None where undefined, and why."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Tenth:
    """Voxels whose probability lies in one tenth; predicted and observed are None where there is none."""

    voxels: int
    predicted: float | None
    observed: float | None


def fit_temperature(cases: Sequence[Margins]) -> Estimate:
    """T of validation cases; those without a voxel near prediction or contour say nothing and are not counted."""
    told = [case for case in cases if case.inside.any() or case.outside.any()]
    if len(told) < FEWEST:
        return Estimate(None, f"{len(told)} validation case(s) with a lesion; a temperature needs {FEWEST}")
    if not any(case.inside.any() for case in told) or not any(case.outside.any() for case in told):
        return Estimate(None, "the voxels looked at are all inside of contours, or all outside")
    return _minimise(told)


def leave_one_out(cases: Sequence[Margins]) -> tuple[float, float] | None:
    """Lowest and highest T when each case in turn is left out; None where one of them is undefined."""
    found = [fit_temperature([*cases[:left], *cases[left + 1 :]]).value for left in range(len(cases))]
    known = [value for value in found if value is not None]
    return (min(known), max(known)) if known and len(known) == len(found) else None


def reliability(cases: Sequence[Margins], temperature: float) -> list[Tenth]:
    """The ten bins of the reliability diagram over all cases, lowest probability first."""
    inside: Floats = np.sum([case.inside for case in cases], axis=0, dtype=np.float64)
    outside: Floats = np.sum([case.outside for case in cases], axis=0, dtype=np.float64)
    probability = np.asarray(expit(MIDDLES / temperature), dtype=np.float64)
    tenth = np.minimum((probability * TENTHS).astype(np.intp), TENTHS - 1)
    voxels, seen = (np.bincount(tenth, counts, minlength=TENTHS) for counts in (inside + outside, inside))
    predicted = np.bincount(tenth, (inside + outside) * probability, minlength=TENTHS)
    return [
        Tenth(int(n), float(p / n) if n else None, float(hit / n) if n else None)
        for n, p, hit in zip(voxels, predicted, seen, strict=True)
    ]


def calibration_error(tenths: Sequence[Tenth]) -> float | None:
    """ECE; None without a voxel."""
    total = sum(tenth.voxels for tenth in tenths)
    gaps = [
        tenth.voxels * abs(tenth.observed - tenth.predicted)
        for tenth in tenths
        if tenth.observed is not None and tenth.predicted is not None
    ]
    return sum(gaps) / total if total else None


def _minimise(cases: Sequence[Margins]) -> Estimate:
    voxels = np.array([case.inside.sum() + case.outside.sum() for case in cases])
    inside: Floats = (1 / voxels) @ np.array([case.inside for case in cases])
    outside: Floats = (1 / voxels) @ np.array([case.outside for case in cases])

    def loss(log_temperature: float) -> float:
        margin: Floats = MIDDLES / np.exp(log_temperature)
        return float(inside @ np.logaddexp(0, -margin) + outside @ np.logaddexp(0, margin))

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-5})
    value = float(np.exp(found.x))
    if not LOWEST * ENDS < value < HIGHEST / ENDS:
        return Estimate(None, f"no temperature from {LOWEST:g} to {HIGHEST:g} is better than the last of them")
    return Estimate(value)
