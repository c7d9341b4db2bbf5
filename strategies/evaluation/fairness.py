"""Whom a study serves badly: centers against training alone, and the patients at the lower end.

    gain          Delta_j = R[T, j] - Local_j                            of center j over a model of its own cases only
    no-harm rate  share of centers with Delta_j >= -margin
    CVaR          mean score of the worst `share` of patients            share x n of them, the last one in part
    below         share of patients whose score is below a threshold

Higher scores are better: negate a distance first. None means not defined and is left out; a figure that is left
with nothing is None. CVaR: Rockafellar and Uryasev 2002 (doi:10.1016/S0378-4266(02)00271-6), proposition 8, for equally
likely patients.
"""

import math
from collections.abc import Iterable, Mapping

ROUNDING = 1e-9


def gains(final: Mapping[str, float | None], local: Mapping[str, float | None]) -> dict[str, float | None]:
    """Delta_j of every center of `final`; None where either score is missing.

    Args:
        final: R[T, j] by center.
        local: score of the model that center trained alone, on the same test cases.
    """
    pairs = {center: (score, local.get(center)) for center, score in final.items()}
    return {center: None if a is None or b is None else a - b for center, (a, b) in pairs.items()}


def mean(scores: Iterable[float | None]) -> float | None:
    """Mean of what is defined."""
    values = _drop_undefined(scores)
    return math.fsum(values) / len(values) if values else None


def no_harm_rate(gained: Mapping[str, float | None], *, margin: float = 0.01) -> float | None:
    """Share of the centers with a defined gain that is not below -margin; a rounding of 1e-9 is forgiven.

    Args:
        gained: Delta_j by center.
        margin: loss that counts as no harm, at least 0.
    """
    values = _drop_undefined(gained.values())
    return sum(value >= -margin - ROUNDING for value in values) / len(values) if values else None


def conditional_value_at_risk(scores: Iterable[float | None], *, share: float = 0.2) -> float | None:
    """Mean of the lowest `share` of the patients' scores.

    With share x n not a whole number the next patient counts with the remaining part: of 7 patients and 0.2, the
    lowest wholly and the second lowest with weight 0.4.

    Args:
        scores: one a patient, NaN not among them.
        share: in (0, 1].

    Raises:
        ValueError: `share` is outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share of patients is {share}, expected a number in (0, 1]")
    values = sorted(_drop_undefined(scores))
    if not values:
        return None
    amount = share * len(values)
    weights = [min(1.0, max(0.0, amount - position)) for position in range(len(values))]
    return math.fsum(weight * value for weight, value in zip(weights, values, strict=True)) / amount


def share_below(scores: Iterable[float | None], *, threshold: float = 0.5) -> float | None:
    """Share of patients with a defined score that is below the threshold; equal to it is not below."""
    values = _drop_undefined(scores)
    return sum(value < threshold for value in values) / len(values) if values else None


def _drop_undefined(scores: Iterable[float | None]) -> list[float]:
    return [score for score in scores if score is not None and not math.isnan(score)]
