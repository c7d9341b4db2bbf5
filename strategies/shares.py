"""What one center may weigh: the weights of a mean, from agreed case counts, with no share above a cap.

    m_c = min(n_c, N_c)          n_c cases behind what center c sent, N_c the most that count
    b_c = min(m_c, FACTOR median_(j != c) m_j)    what is believed, of three centers or more; m_c itself where the study
                                                  file names N_c; the upper one of two medians
    w_c = b_c^a                  its weight, a the weight exponent
    s_c = w_c / sum_j w_j        its share
    cap_c = max(s, N_c^a / sum_j N_j^a)     s the maximum share; the second where the study file names N of every center
    s_c > cap_c:  w_c <- cap_c / (1 - cap_c) sum_(j != c) w_j, so that its share is cap_c

A count is a claim: a center that says 1,000,000,000 cases would have every mean to itself. N_c is what the study file
says, else what the center first registered with in the study, so that a later claim counts for nothing; the others'
median and the cap bound what the first one can. The cap alone would not: two such centers of a hundred would share the
mean between them. Where nobody stands out so far and no share exceeds its cap the weights are those of n^a, to the bit.

FACTOR is above what hospitals of one study differ by: of 65, 69, 33 and 51 cases none has more than 2.1 times the
others' median, and a hospital of 197 beside 72, 72, 56, 55, 53 and 18 has 3.5 times.

With `s` of at least 1/2 two centers cannot both exceed it and one cut is enough; below, cutting goes on with the others
until none exceeds it, or all weigh the same.
"""

from bisect import bisect_left
from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

from protocol.errors import StudyError
from strategies.peers import FEWEST_PEERS

ROUNDING = 1e-12
FACTOR = 4
MOST = 0.5

K = TypeVar("K", bound=Hashable)


def capped_shares(cases: Mapping[K, float], most: float = MOST) -> dict[K, float]:
    """Each center's share of counts as they are, none above `most` of several: {a: 8, b: 1, c: 1} is 1/2, 1/4, 1/4.

    The counts are believed already (`believed_cases`) and above 0; a name may be anything that tells centers apart.
    """
    counts = {name: float(count) for name, count in cases.items()}
    weights = _cut(counts, dict.fromkeys(counts, most))
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def believed_cases(cases: Mapping[str, float], named: Collection[str] = (), factor: float = FACTOR) -> dict[str, float]:
    """b_c of every center that has cases, from its m_c; those in `named`, of whom the study file says N_c, keep it."""
    found = {name: count for name, count in sorted(cases.items()) if count > 0}
    if len(found) <= FEWEST_PEERS:
        return found
    ordered, middle = sorted(found.values()), (len(found) - 1) // 2  # the upper median of the others, sorted once
    others = {name: ordered[middle + (bisect_left(ordered, count) <= middle)] for name, count in found.items()}
    limits = {name: factor * count for name, count in others.items()}
    return {name: count if name in named else min(count, limits[name]) for name, count in found.items()}


def capped_weights(
    cases: Mapping[str, float],
    *,
    exponent: float,
    maximum_share: float,
    limits: Mapping[str, int] | None = None,
    agreed: Mapping[str, int] | None = None,
    factor: float = FACTOR,
) -> dict[str, float]:
    """The weight of every center that has cases; of one alone its n^a, whose share is 1.

    Args:
        cases: center -> cases behind what it sent; those without any are left out.
        exponent: a.
        maximum_share: s, above 0; 1 caps nothing.
        limits: center -> most cases that count, of the centers that have such a limit.
        agreed: center -> cases that the study file names: what others have is no limit to them, and they raise the cap
            where every center of `cases` has them.
        factor: how many times the others' median is believed.

    Raises:
        StudyError: `maximum_share` is not in (0, 1].
    """
    if not 0 < maximum_share <= 1:
        raise StudyError(f"maximum_share is {maximum_share}, expected a number above 0 and at most 1")
    most = limits or {}
    counted = {name: min(found, most.get(name, found)) for name, found in cases.items()}
    weights = {name: float(found) ** exponent for name, found in believed_cases(counted, agreed or {}, factor).items()}
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


def _cut(weights: Mapping[K, float], caps: Mapping[K, float]) -> dict[K, float]:
    """The weights with shares above their cap cut to it; equal ones where the caps leave too little for all."""
    if len(weights) < 2:
        return dict(weights)
    if sum(caps.values()) < 1 - ROUNDING:
        return dict.fromkeys(weights, 1.0)
    fixed: set[K] = set()
    while True:
        free = {name: weight for name, weight in weights.items() if name not in fixed}
        left = 1 - sum(caps[name] for name in fixed)
        total = sum(free.values())
        over = {name for name, weight in free.items() if weight * left > caps[name] * total * (1 + ROUNDING)}
        if not over or len(free) == 1:
            return {name: weights[name] if name in free else caps[name] / left * total for name in weights}
        fixed |= over
