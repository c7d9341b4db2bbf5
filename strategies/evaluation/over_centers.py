"""One figure over all centers, from what each of them computed on its own cases.

    mean over centers           sum_c w_c m_c / sum_c w_c        w_c = 1, or the count that the metric's row names
    a count                     sum_c m_c

Concordance is weighed by its comparable pairs: what all pairs within centers say. Pairs of patients of two centers are
never formed, since no center sees the other's; the figure is therefore not that of a pooled cohort.
"""

import math
from collections.abc import Iterable

from protocol.messages.scores import Score
from protocol.tasks import metric_named


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
    total = math.fsum(value * weight for value, weight in found)
    if metric.of == "count":
        return total if found else None
    weights = math.fsum(weight for _, weight in found)
    return total / weights if weights else None
