"""A small study and its history, as trackers are told of it: one center with CT and PET, one with CT alone."""

from dataclasses import replace
from typing import Any

from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import AggregationRecord, GateRecord, History, LateRecord, RoundRecord, StageRow
from strategies.continual.gate import Verdict
from tests.support.segmentation_scores import dice_score

STUDY = Study.model_validate(
    {
        "name": "toy",
        "title": "A toy",
        "formed_by": "hand",
        "model": {"name": "tiny", "options": {"width": 4, "depths": (1, 2)}},
        "centers": {"a": {}, "b": {"modalities": ["ct"]}},
        "stages": [
            {"name": "ct", "kind": "pretrain", "centers": ["a"], "rounds": 1, "local_steps": 1, "learning_rate": 0.1},
            {"name": "pet", "kind": "adapt", "centers": ["a"], "rounds": 2, "local_steps": 1, "learning_rate": 0.01},
        ],
    }
)
BOTH = dice_score(cases=4, dice=0.5, hd95_mm=7.5, hd95_undefined=1)
NONE = dice_score(cases=4, dice=None, hd95_mm=None, dice_undefined=4, hd95_undefined=4)


def record(server_round: int, **changes: Any) -> RoundRecord:
    """Center a in a round of stage pet."""
    values: dict[str, Any] = {"loss": 0.25, "cases": 6, "seconds": 1.5, "bytes_down": 10, "bytes_up": 20}
    return RoundRecord("pet", server_round, "a", **{**values, "validation": {"ct+pet": BOTH, "pet": NONE}, **changes})


FIRST = (
    record(1, diagnostics={"gate/0/ct/mean": 0.25}),
    record(2, seconds=9.0, diagnostics={"gate/0/ct/mean": 0.5}),
)
AGAIN = (FIRST[0], record(2, seconds=8.0), record(3, loss=None, error="cases"))
ROW = StageRow("pet", {"a": {"ct": dice_score(4, 0.5, 7.5)}, "b": {"ct": dice_score(2, 0.75, None, 0, 2)}})
GATE = GateRecord(
    "pet",
    Verdict(promoted=True, worst=None, mean=0.5, lower_bound=None, differences={"a": 0.25}, reason="no center loses"),
)
LATE = LateRecord("pet", 2, "a", 3, "set-aside", "ab" * 32)
FIGURES = AggregationRecord("pet", 2, "fedit", {"dropped": 0.5})


def state_after(rounds: tuple[RoundRecord, ...] = (), **changes: Any) -> Checkpoint:
    """What a checkpoint says of these rounds."""
    return replace(Checkpoint(0, len(rounds), "", {}, history=History(rounds=rounds)), **changes)
