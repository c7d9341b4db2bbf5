"""Study files of light centers (`light_center.py`): any number of them, one stage, no gate."""

import json
from collections.abc import Sequence
from pathlib import Path

from fusion_models.registry import model_row

STUDY = """
name = "light"
title = "Light centers"
formed_by = "centers without data"
synthetic = true
deadline_s = 600

[model]
name = "{model}"

[adapter]
rank = 8
alpha = 16

[preprocessing]
crop_zyx = {crop}

[strategy]
gate = false
{centers}
[[stages]]
name = "adapt"
kind = "adapt"
centers = {names}
rounds = {rounds}
local_steps = {steps}
learning_rate = 1e-3
"""


def study_text(model: str, crop_zyx: Sequence[int], names: Sequence[str], rounds: int, steps: int = 1) -> str:
    """A study of these centers, with so many steps a round."""
    centers = "".join(f"\n[centers.{name}]\n" for name in names)
    listed = {"crop": list(crop_zyx), "names": json.dumps(list(names))}
    return STUDY.format(model=model, centers=centers, rounds=rounds, steps=steps, **listed)


def write_study(path: Path, model: str, centers: int, rounds: int, steps: int = 1) -> Path:
    """Write a study of so many light centers over a model, with a crop that it takes."""
    names = [f"center-{number:04d}" for number in range(1, centers + 1)]
    path.write_text(study_text(model, model_row(model).crop_zyx, names, rounds, steps))
    return path
