"""Tasks whose metrics are of cases: a mean over cases, and two networks compared case by case."""

from collections.abc import Mapping, Sequence

import numpy as np

from client.tasks.contract import CaseScore
from protocol.messages.scores import Comparison, Score
from protocol.tasks import Task


def mean_score(rows: Sequence[CaseScore], task: Task) -> Score:
    """The mean of every metric over cases, undefined values left out and counted."""
    defined = {
        metric.name: [value for row in rows if (value := row.values[metric.name]) is not None]
        for metric in task.metrics
    }
    return Score(
        cases=len(rows),
        values={name: float(np.mean(values)) if values else None for name, values in defined.items()},
        undefined={name: len(rows) - len(values) for name, values in defined.items()},
    )


def compare_pairs(new: Mapping[str, CaseScore], old: Mapping[str, CaseScore], metric: str) -> Comparison:
    """The mean of the differences new - old over the cases where both are defined, and its standard error.

    That is s / sqrt(n) with s^2 = sum (d_i - mean)^2 / n: what the bootstrap of the mean comes to. One case has none.
    """
    pairs = [(new[case].values[metric], old[case].values[metric]) for case in sorted(new.keys() & old.keys())]
    differences = np.array([after - before for after, before in pairs if after is not None and before is not None])
    if not differences.size:
        return Comparison(cases=0, difference=None)
    error = float(differences.std() / np.sqrt(differences.size))
    return Comparison(differences.size, float(differences.mean()), error)
