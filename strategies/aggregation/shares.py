"""What one center may weigh: the weights of a mean, from agreed case counts, with no share above a cap.

    w_c = min(n_c, N_c)^a        n_c cases behind what center c sent, N_c the most that count, a the weight exponent
    s_c = w_c / sum_j w_j        its share
    cap_c = max(s, N_c^a / sum_j N_j^a)     s the maximum share; the second where the study file names N of every center
    s_c > cap_c:  w_c <- cap_c / (1 - cap_c) sum_(j != c) w_j, so that its share is cap_c

A count is a claim: a center that says 1,000,000,000 cases would have every mean to itself. N_c is what the study file
says, else what the center first registered with in the study, so that a later claim counts for nothing; the cap bounds
what the first one can. Where no share exceeds its cap the weights are those of n^a, to the bit.

With `s` of at least 1/2 two centers cannot both exceed it and one cut is enough; below, cutting goes on with the others
until none exceeds it, or all weigh the same.
"""

from collections.abc import Mapping

from protocol.errors import StudyError

ROUNDING = 1e-12


def capped_weights(
    cases: Mapping[str, float],
    *,
    exponent: float,
    maximum_share: float,
    limits: Mapping[str, int] | None = None,
    agreed: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """The weight of every center that has cases; of one alone its n^a, whose share is 1.

    Args:
        cases: center -> cases behind what it sent; those without any are left out.
        exponent: a.
        maximum_share: s, above 0; 1 caps nothing.
        limits: center -> most cases that count, of the centers that have such a limit.
        agreed: center -> cases that the study file names; they raise the cap where every center of `cases` has them.

    Raises:
        StudyError: `maximum_share` is not in (0, 1].
    """
    if not 0 < maximum_share <= 1:
        raise StudyError(f"maximum_share is {maximum_share}, expected a number above 0 and at most 1")
    most = limits or {}
    counted = {name: min(found, most.get(name, found)) for name, found in sorted(cases.items())}
    weights = {name: float(found) ** exponent for name, found in counted.items() if found > 0}
    return _cut(weights, _caps(weights, exponent, maximum_share, agreed or {}))


def _caps(
    weights: Mapping[str, float], exponent: float, maximum_share: float, agreed: Mapping[str, int]
) -> dict[str, float]:
    """The largest share of each center: the study's, or what the file's own numbers give it."""
    if not weights.keys() <= agreed.keys():
        return dict.fromkeys(weights, maximum_share)
    named = {name: float(agreed[name]) ** exponent for name in weights}
    total = sum(named.values())
    return {name: max(maximum_share, weight / total) for name, weight in named.items()}


def _cut(weights: Mapping[str, float], caps: Mapping[str, float]) -> dict[str, float]:
    """The weights with shares above their cap cut to it; equal ones where the caps leave too little for all."""
    if len(weights) < 2:
        return dict(weights)
    if sum(caps.values()) < 1 - ROUNDING:
        return dict.fromkeys(weights, 1.0)
    fixed: set[str] = set()
    while True:
        free = {name: weight for name, weight in weights.items() if name not in fixed}
        left = 1 - sum(caps[name] for name in fixed)
        total = sum(free.values())
        over = {name for name, weight in free.items() if weight * left > caps[name] * total * (1 + ROUNDING)}
        if not over or len(free) == 1:
            return {name: weights[name] if name in free else caps[name] / left * total for name in weights}
        fixed |= over
