"""A benchmark small enough for tests: two arms, two seeds, two synthetic centers, and the tiniest network."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from client.data.synthetic import CENTERS, write_synthetic_cohort
from deploy.comparison.outcomes import Outcome
from deploy.comparison.planner import Plan, Run, read_plan
from tests.support.patient_scores import final_scores

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


def small_plan(folder: Path) -> Plan:
    """The plan of the benchmark, with the arm `in-turn` as its lower bound."""
    text = BENCHMARK.replace('default = "together"', 'default = "together"\nlower = "in-turn"')
    return read_plan(write_benchmark(folder / "benchmark.toml", text))


def outcome(run: Run, a: Sequence[float], b: Sequence[float]) -> Outcome:
    """A completed run with these final Dice at center-a and center-b, and 0 before."""
    scores = final_scores(run.seed, a, b)
    return Outcome(run, {"ct+pet": scores}, (0, 8), 2_000_000, 1_000_000, 60.0, "b" * 64, 1, "cpu")
