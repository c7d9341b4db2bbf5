"""The scores of one run with the patients behind them, as intervals and paired tests need them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from strategies.evaluation.matrix import EvaluationMatrix, Floats


@dataclass(frozen=True, eq=False)
class RunScores:
    """Dice of one run under one modality setting.

    seed: of the run. matrix: R, as the coordinator has it.
    cases: center -> names of its test cases, sorted; patients: center -> Dice (rows of R, cases), NaN undefined.
    """

    seed: int
    matrix: EvaluationMatrix
    cases: Mapping[str, tuple[str, ...]]
    patients: Mapping[str, Floats]


def mean_of(values: Floats, axis: int) -> Floats:
    """Mean over an axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
