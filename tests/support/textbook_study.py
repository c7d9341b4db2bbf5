"""A study of three centers whose matrix of scores is one from a textbook, and what its stages scored."""

from collections.abc import Iterable, Sequence
from typing import Any

from server.study.file import Study
from server.study.history import StageRow
from tests.support.segmentation_scores import dice_score

STAGE = {"rounds": 2, "local_steps": 5, "learning_rate": 0.1}
CENTERS = ("a", "b", "c")
R = ((0.1, 0.2, 0.1), (0.8, 0.3, 0.2), (0.7, 0.9, 0.4), (0.6, 0.8, 0.85))
"""ACC .75, BWT -.15, FWT .20, forgetting .15."""


def study_of(stages: Iterable[tuple[str, str, Sequence[str]]], **changes: Any) -> Study:
    """A study of stages given as name, kind and centers; c has CT only, `union` is in no matrix."""
    return Study.model_validate(
        {
            "name": "toy",
            "title": "A toy",
            "formed_by": "hand",
            "model": {"name": "tiny", "options": {"width": 4}},
            "adapter": {"targets": ["qkv"]},
            "centers": {"a": {}, "b": {}, "c": {"modalities": ["ct"]}, "union": {"evaluated": False}},
            "stages": [{**STAGE, "name": name, "kind": kind, "centers": who} for name, kind, who in stages],
            **changes,
        }
    )


STUDY = study_of(
    [
        ("ct1", "pretrain", ["a"]),
        ("ct2", "pretrain", ["b"]),
        ("first", "adapt", ["a"]),
        ("second", "arrive", ["b"]),
        ("third", "arrive", ["c"]),
    ],
    strategy={"personal": ["center"], "gate": {}},
)


def row(stage: str, dice: Sequence[float]) -> StageRow:
    """Five test cases at each center, one of which has no distance."""
    return StageRow(
        stage, {center: {"ct": dice_score(5, value, 4.0, 0, 1)} for center, value in zip(CENTERS, dice, strict=True)}
    )


ROWS = (row("ct1", (0.0, 0.0, 0.0)), row("ct2", R[0]), row("first", R[1]), row("second", R[2]), row("third", R[3]))
