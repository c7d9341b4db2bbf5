"""A benchmark small enough for tests: two arms, two seeds, two synthetic centers, and the tiniest network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from client.data.synthetic import CENTERS, write_synthetic_cohort
from deploy.comparison.outcomes import Outcome, Scores, mean_of
from deploy.comparison.planner import Run
from strategies.evaluation.matrix import EvaluationMatrix

STAGE = """
[[schedules.{schedule}]]
name = "{name}"
kind = "adapt"
centers = {centers}
rounds = {rounds}
local_steps = 2
learning_rate = 1e-3
batch_size = 1
validate_every = 0
"""
HEAD = """
name = "small"
title = "A small benchmark"
formed_by = "synthetic cohort; centers are settings of simulated scanners"
seeds = [1, 2]

[references]
default = "together"

[study]
synthetic = true
seed = 5
[study.model]
name = "pemma-unetr-tiny"
[study.adapter]
rank = 2
alpha = 4
[study.preprocessing]
spacing_zyx_mm = [10.0, 10.0, 10.0]
pet_window_suv = [0.0, 15.0]
crop_zyx = [16, 16, 16]
[study.split]
seed = 3
[study.centers.center-a]
[study.centers.center-b]

[orders]
forward = ["center-a", "center-b"]

[[backbone]]
name = "pretrain"
kind = "pretrain"
centers = ["center-a"]
rounds = 1
local_steps = 2
learning_rate = 1e-3
batch_size = 1
"""
ARMS = """
[[arms]]
name = "together"
label = "both at once"
schedule = "both"
orders = ["forward"]
[arms.strategy.aggregation]
scheme = "alt-exact"

[[arms]]
name = "in-turn"
label = "one after the other"
schedule = "sequence"
orders = ["forward"]
[arms.strategy.aggregation]
scheme = "fedit"
"""
SCHEDULES = (
    STAGE.format(schedule="both", name="both", centers="[1, 2]", rounds=2)
    + STAGE.format(schedule="sequence", name="first", centers="[1]", rounds=2)
    + STAGE.format(schedule="sequence", name="second", centers="[2]", rounds=2)
)
BENCHMARK = HEAD + SCHEDULES + ARMS


def write_benchmark(path: Path, text: str = BENCHMARK) -> Path:
    """A benchmark file."""
    path.write_text(text)
    return path


def write_cohort(root: Path) -> Path:
    """Three synthetic patients with CT and PET at each of the two centers."""
    centers = [replace(center, patients=3) for center in CENTERS if center.name in {"center-a", "center-b"}]
    write_synthetic_cohort(root, centers=centers, seed=1)
    return root


def outcome(
    run: Run, dice: Mapping[str, Sequence[Sequence[float]]], *, learned: tuple[int | None, ...] = (1, 1)
) -> Outcome:
    """A completed run with Dice as given: center -> rows of the matrix -> patients."""
    patients = {center: np.array(rows, dtype=np.float64) for center, rows in dice.items()}
    values = np.stack([mean_of(rows, axis=1) for rows in patients.values()], axis=1)
    stages = ("initial", *(f"stage-{row}" for row in range(1, len(values))))
    cases = {center: tuple(f"{center}-{case}" for case in range(rows.shape[1])) for center, rows in patients.items()}
    scores = Scores(EvaluationMatrix(stages, tuple(dice), values, learned), cases, patients)
    steps = tuple(8 * row for row in range(len(values)))
    return Outcome(run, {"ct+pet": scores}, steps, 2_000_000, 1_000_000, 60.0, "b" * 64, 1, "cpu")
