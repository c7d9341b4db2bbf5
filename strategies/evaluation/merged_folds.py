"""The runs of one seed over folds as one: each patient scored once, by the network that never saw the patient.

    R[i, j] = sum_f n_fj R_f[i, j] / sum_f n_fj      n_fj: test patients of center j in fold f with a defined score

which is the mean over all patients of the center. Only metrics that a patient has can be merged so: the answers of two
networks are not ranked against each other.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from strategies.evaluation.matrix import Floats
from strategies.evaluation.run_scores import RunScores, mean_of


def merge_folds(runs: Sequence[RunScores]) -> RunScores:
    """One run whose patients are those of all folds; a single run is returned as it is.

    Raises:
        ValueError: there is none, they have other seeds, rows or centers, a patient twice, or a metric of cohorts.
    """
    if len({(run.seed, run.matrix.stages, run.matrix.centers, run.matrix.learned) for run in runs}) != 1:
        raise ValueError(f"{len(runs)} run(s) of different seeds, stages or centers are not the folds of one run")
    first = runs[0]
    if len(runs) == 1:
        return first
    if any(run.cohorts for run in runs):
        raise ValueError("a metric of cohorts ranks the answers of one network, and folds have several")
    merged = {center: _merge(runs, center) for center in first.matrix.centers}
    patients = {center: scores for center, (_, scores) in merged.items()}
    values = np.stack([mean_of(patients[center], axis=1) for center in first.matrix.centers], axis=1)
    return RunScores(
        first.seed, replace(first.matrix, values=values), {c: names for c, (names, _) in merged.items()}, patients
    )


def _merge(runs: Sequence[RunScores], center: str) -> tuple[tuple[str, ...], Floats]:
    """Test cases of a center over all folds, sorted, and their scores (rows, cases)."""
    names = [name for run in runs for name in run.cases[center]]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"center '{center}': {len(twice)} case(s) are tested in two folds, expected one")
    order = np.argsort(names)
    scores = np.concatenate([run.patients[center] for run in runs], axis=1)
    return tuple(sorted(names)), scores[:, order]
