"""Scores of a run as a test writes them down: Dice by center, row and patient."""

from collections.abc import Mapping, Sequence

import numpy as np

from strategies.evaluation.cohort_metrics import Cohort, Row, auc_of
from strategies.evaluation.matrix import EvaluationMatrix
from strategies.evaluation.run_scores import RunScores, mean_of


def run_scores(
    seed: int, dice: Mapping[str, Sequence[Sequence[float]]], *, learned: tuple[int | None, ...] = (1, 1)
) -> RunScores:
    """Scores with Dice as given: center -> rows of the matrix -> patients."""
    patients = {center: np.array(rows, dtype=np.float64) for center, rows in dice.items()}
    values = np.stack([mean_of(rows, axis=1) for rows in patients.values()], axis=1)
    stages = ("initial", *(f"stage-{row}" for row in range(1, len(values))))
    cases = {center: tuple(f"{center}-{case}" for case in range(rows.shape[1])) for center, rows in patients.items()}
    return RunScores(seed, EvaluationMatrix(stages, tuple(dice), values, learned), cases, patients)


def final_scores(seed: int, a: Sequence[float], b: Sequence[float]) -> RunScores:
    """A run with these final Dice at center-a and center-b, and 0 before."""
    return run_scores(seed, {"center-a": [[0.0] * len(a), a], "center-b": [[0.0] * len(b), b]})


def cohort_scores(seed: int, rows: Mapping[str, Sequence[Row]]) -> RunScores:
    """A run whose AUC at each center is that of these cases after its last row, and undefined before."""
    cohorts = {center: Cohort(auc_of, ((None,) * len(found), tuple(found))) for center, found in rows.items()}
    finals = [cohorts[center].in_draws(-1, np.ones((1, len(found))))[0] for center, found in rows.items()]
    values = np.array([[np.nan] * len(rows), finals])
    cases = {center: tuple(f"{center}-{case}" for case in range(len(found))) for center, found in rows.items()}
    patients = {center: np.full((2, len(found)), np.nan) for center, found in rows.items()}
    matrix = EvaluationMatrix(("initial", "stage-1"), tuple(rows), values, (1,) * len(rows))
    return RunScores(seed, matrix, cases, patients, cohorts)


def classified(truth: int, probability: float) -> Row:
    """What a center keeps of a case with one of two classes."""
    return {"class": float(truth), "probability/0": 1 - probability, "probability/1": probability}
