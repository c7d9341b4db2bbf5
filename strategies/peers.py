"""How far one center's answer may stand out: its size against that of the same thing at other centers.

    limit_i = factor * median_{j != i} s_j          s_j the size of center j's answer; the upper one of two medians
    answer of i is scaled down to limit_i where s_i is above it, and only where at least two others are known

Scaled down and not refused: a center whose images or cases really are different keeps its voice, at the size of the
others'. The upper median, because of two peers one may be the liar, and one that sends next to nothing must not shrink
an honest third. An answer of nothing (of a module that only PET reaches, at a center without PET) is no peer. One peer
alone cannot say which of the two is wrong; what bounds an answer then is what a network can give at all
(`protocol.observation_bounds`), and each center's own look at what it gets (`client.local_terms`).
"""

from collections.abc import Iterable, Mapping

FEWEST_PEERS = 2


def upper_median(values: Iterable[float]) -> float:
    """The middle one of values in order, the larger of the middle two; there must be one."""
    found = sorted(values)
    return found[len(found) // 2]


def scales_by_peers(sizes: Mapping[str, float], earlier: Mapping[str, float], factor: float) -> dict[str, float]:
    """What each center's answer is to be multiplied with so that its size fits the others': at most 1.

    Args:
        sizes: center -> size of its answer of this stage, at least 0.
        earlier: center -> size of its last answer of an earlier stage, as far as one was accepted; one that answers
            now is not its own peer.
        factor: how many times the others' median is still usual.
    """
    known = {**earlier, **sizes}
    scales = {}
    for center, size in sizes.items():
        others = [other for name, other in known.items() if name != center and other > 0]
        limit = factor * upper_median(others) if len(others) >= FEWEST_PEERS else size
        scales[center] = limit / size if size > limit else 1.0
    return scales
