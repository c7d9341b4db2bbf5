"""How far one center may move beside the others of its round: what is longer is cut, not refused.

    limit_c = max(CLIP median_(j != c) norm_j, floor_c)        norm_j of the others that sent the group, floor_c the
    update_c <- update_c min(1, limit_c / norm_c)              length that is always let through

A cut keeps the direction, so that an honest center that moves more than the others still counts. The floor keeps
centers that agree to send next to nothing from cutting an honest one down to nothing. Where a group came from fewer
than `fewest` centers there is no telling who moved too far, and nothing is cut.

Clipping to the median of norms: Sun et al. 2019 (arXiv 1911.07963), section 4, with a median in place of a constant.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

CLIP = 2.0


def shares_left(
    norms: Mapping[str, float], *, fewest: int, floors: Mapping[str, float] | None = None, clip: float = CLIP
) -> dict[str, float]:
    """What is left of the length of each update that is cut: center -> a number in [0, 1).

    Args:
        norms: center -> length of its update, finite.
        fewest: how many centers there must be.
        floors: center -> length that is never cut; 0 where it has none.
        clip: how many times the median of the others one may be.
    """
    if len(norms) < fewest:
        return {}
    left: dict[str, float] = {}
    ordered = sorted(map(float, norms.values()))  # once: of thousands of centers each has thousands of others
    for center, norm in sorted(norms.items()):
        others = _median_without(ordered, bisect_left(ordered, norm))
        limit = max(clip * others, (floors or {}).get(center, 0.0))
        if norm > limit:
            left[center] = limit / norm
    return left


def _median_without(ordered: Sequence[float], place: int) -> float:
    """The median of numbers in order without the one at a place."""
    low, high = (
        (count if count < place else count + 1) for count in ((len(ordered) - 2) // 2, (len(ordered) - 1) // 2)
    )
    return (ordered[low] + ordered[high]) / 2
