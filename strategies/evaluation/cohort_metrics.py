"""Primary metrics that belong to a whole cohort, in any resample of it, from what a center keeps of each of its cases.

A center keeps a row a case, with values by name:

    auc            class, probability/0, probability/1, ...
    concordance    risk/<endpoint>, days/<endpoint>, event/<endpoint>; over endpoints, each by its comparable pairs
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from strategies.evaluation.classification_metrics import auc
from strategies.evaluation.matrix import Floats
from strategies.evaluation.survival_metrics import ratio, sums_over_pairs

Row = Mapping[str, float | None]
CohortMetric = Callable[[Sequence[Row], Floats], Floats]
"""A metric of n cases in many draws of them: weights (draws, n), how often each draw has each case -> (draws,).

NaN where a draw does not define it."""


def auc_of(rows: Sequence[Row], weights: Floats) -> Floats:
    """Area under the ROC curve in each draw, from the class and the probabilities of each case."""
    names = [f"probability/{k}" for k in range(sum(name.startswith("probability/") for name in rows[0]))]
    truth = np.array([row["class"] for row in rows], dtype=np.int64)
    return auc(truth, np.array([[row[name] for name in names] for row in rows], dtype=np.float64), weights)


def concordance_of(rows: Sequence[Row], weights: Floats) -> Floats:
    """Concordant share of the comparable pairs of all endpoints in each draw; a case may lack an endpoint."""
    above, below = np.zeros(len(weights)), np.zeros(len(weights))
    for endpoint in sorted({name.partition("/")[2] for row in rows for name in row if name.startswith("risk/")}):
        found = np.array(
            [[row.get(f"{what}/{endpoint}") for what in ("days", "event", "risk")] for row in rows], dtype=np.float64
        )
        known = ~np.isnan(found).any(axis=1)
        days, event, risk = found[known].T
        concordant, comparable = sums_over_pairs(days, event.astype(bool), risk, weights[:, known])
        above, below = above + concordant, below + comparable
    return ratio(above, below)


COHORT_METRICS: Mapping[str, CohortMetric] = {"auc": auc_of, "concordance": concordance_of}


@dataclass(frozen=True, eq=False)
class Cohort:
    """The cases of one center in every row of the evaluation matrix.

    metric: of the cohort. rows: for each row of the matrix one entry a case, None where it was not scored.
    """

    metric: CohortMetric
    rows: tuple[tuple[Row | None, ...], ...]

    def in_draws(self, row: int, weights: Floats) -> Floats:
        """The metric after a row in every draw, (draws,); NaN where it is undefined.

        Args:
            row: of the matrix; -1 is the last.
            weights: how often each draw has each case, (draws, cases).
        """
        scored = [place for place, entry in enumerate(self.rows[row]) if entry is not None]
        if not scored:
            return np.full(len(weights), np.nan)
        return self.metric(list(self._present(row)), weights[:, scored])

    def _present(self, row: int) -> Iterator[Row]:
        return (entry for entry in self.rows[row] if entry is not None)
