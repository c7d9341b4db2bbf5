"""Scores of a run as a test writes them down: Dice by center, row and patient."""

from collections.abc import Mapping, Sequence

import numpy as np

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
