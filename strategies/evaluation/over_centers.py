"""One figure over all centers, from what each of them computed on its own cases.

    mean over centers           sum_c w_c m_c / sum_c w_c        w_c = 1, or the count that the metric's row names
    a count                     sum_c m_c

Concordance is weighed by its comparable pairs: what all pairs within centers say. Pairs of patients of two centers are
never formed, since no center sees the other's; the figure is therefore not that of a pooled cohort.

Pairs are a claim. From three centers on, none has more than PAIRS_FACTOR times the others' median of them (four times
the cases have 16 times the pairs), and none more than half of the weight (`strategies.shares`). Of two nobody can tell
which claims too many, and both count as they say.
"""

import math
from collections.abc import Iterable, Sequence

from protocol.messages.scores import Score
from protocol.tasks import metric_named
from strategies.peers import FEWEST_PEERS
from strategies.shares import FACTOR, MOST, capped_weights

PAIRS_FACTOR = FACTOR**2


def over_centers(scores: Iterable[Score], name: str) -> float | None:
    """A metric over the centers that define it; None where none does, or where no center's count weighs anything.

    Args:
        scores: one a center.
        name: of the metric, for one endpoint where it has one.
    """
    metric, endpoint = metric_named(name), name.partition("/")[2]
    weigher = "/".join(part for part in (metric.weight, endpoint) if part) if metric.weight else ""
    found = [
        (value, (score.value(weigher) or 0.0) if weigher else 1.0)
        for score in scores
        if (value := score.value(name)) is not None
    ]
    if metric.of == "count":
        return math.fsum(value for value, _ in found) if found else None
    weighed = _believed(found) if weigher else found
    weights = math.fsum(weight for _, weight in weighed)
    return math.fsum(value * weight for value, weight in weighed) / weights if weights else None


def _believed(found: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Each value with the weight that its center may have; those without any are left out."""
    counted = {f"{place:06d}": weight for place, (_, weight) in enumerate(found) if weight > 0}
    if len(counted) > FEWEST_PEERS:
        counted = capped_weights(counted, exponent=1, maximum_share=MOST, factor=PAIRS_FACTOR)
    return [(found[int(place)][0], weight) for place, weight in counted.items()]
