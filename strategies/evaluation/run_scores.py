"""The scores of one run with the patients behind them, as intervals and paired tests need them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from strategies.evaluation.cohort_metrics import Cohort
from strategies.evaluation.matrix import EvaluationMatrix, Floats


@dataclass(frozen=True, eq=False)
class RunScores:
    """The primary metric of one run under one modality setting.

    seed: of the run. matrix: R, from these patients with all digits; the coordinator's own is rounded.
    cases: center -> names of its test cases, sorted.
    patients: center -> a metric of cases (rows of R, cases), NaN undefined; all NaN for a metric of cohorts, which no
        patient has.
    cohorts: center -> what a metric of cohorts is computed from; empty for a metric of cases.
    """

    seed: int
    matrix: EvaluationMatrix
    cases: Mapping[str, tuple[str, ...]]
    patients: Mapping[str, Floats]
    cohorts: Mapping[str, Cohort] = field(default_factory=dict)


def mean_of(values: Floats, axis: int) -> Floats:
    """Mean over an axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
