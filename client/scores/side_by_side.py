"""Two networks on the same cases of a center: the primary metric of each, and their difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from client.data.preprocessing import PreparedCase
from client.scores.scoring import Network, ScoreCache
from client.tasks.contract import CenterTask
from protocol.messages.scores import Comparison
from protocol.tasks import TASKS


@dataclass(frozen=True)
class SideBySide:
    """Primary metric of the first and of the second network, each case under its fullest setting, and first - second.

    A metric is None where its cases do not define it.
    """

    first: float | None
    second: float | None
    comparison: Comparison


def score_side_by_side(
    first: Network, second: Network, task: CenterTask, cases: Sequence[PreparedCase], rng: np.random.Generator
) -> SideBySide:
    """Score both networks on the cases that have the task's target.

    Args:
        first: what is compared.
        second: what it is compared with.
        task: what is scored.
        cases: of one center; none of them may have trained either network.
        rng: for the resamples of a cohort, where the metric is of one.
    """
    cache = ScoreCache()
    ours, theirs = (cache.fullest(network, task, cases) for network in (first, second))
    primary = TASKS[task.name].primary
    return SideBySide(
        first=task.summarise(list(ours.values())).value(primary),
        second=task.summarise(list(theirs.values())).value(primary),
        comparison=task.compare(ours, theirs, rng),
    )
