"""A study small enough for tests: two synthetic centers, one of them without PET, and the tiniest network."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from client.data.synthetic import CENTERS, write_synthetic_cohort
from deploy.simulation.local import simulate
from server.study.directory import StudyDirectory

STUDY = """
name = "small"
title = "A small synthetic study"
formed_by = "synthetic cohort; centers are settings of simulated scanners"
synthetic = true
seed = 5

[model]
name = "pemma-unetr-tiny"

[adapter]
method = "dora"
rank = 2
alpha = 4

[preprocessing]
spacing_zyx_mm = [10.0, 10.0, 10.0]
pet_window_suv = [0.0, 15.0]
crop_zyx = [16, 16, 16]

[centers.center-a]
[centers.center-d]
modalities = ["ct"]

[[stages]]
name = "pretrain"
kind = "pretrain"
centers = ["center-a", "center-d"]
rounds = 2
local_steps = 2
learning_rate = 1e-3

[[stages]]
name = "adapt"
kind = "adapt"
centers = ["center-a", "center-d"]
rounds = 2
local_steps = 4
learning_rate = 1e-3

[[stages]]
name = "arrive"
kind = "arrive"
centers = ["center-d"]
rounds = 1
local_steps = 2
learning_rate = 1e-3
"""


def write_cohort(root: Path) -> Path:
    """Three synthetic patients at each of the two centers."""
    centers = [replace(center, patients=3) for center in CENTERS if center.name in {"center-a", "center-d"}]
    write_synthetic_cohort(root, centers=centers, seed=1)
    return root


def write_study(path: Path, text: str = STUDY) -> Path:
    """A study file."""
    path.write_text(text)
    return path


def run(study: Path, data: Path, out: Path, *, resume: bool = False) -> StudyDirectory:
    """Simulate quietly, in process, on the CPU."""
    return simulate(study, data, out, engine="in-process", device="cpu", resume=resume, console=Console(quiet=True))
