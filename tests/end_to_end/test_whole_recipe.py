"""Every key of a recipe at once, end to end: a study that is interrupted repeats the uninterrupted one to the bit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from client.outgoing.outbox import Outbox
from client.outgoing.sealed_reply import SealedReply
from client.scores.calibration_rows import CALIBRATION
from client.tasks import precision
from client.tasks.precision import choose_precision
from deploy.simulation.local import center_home
from protocol.messages.instruction import Instruction
from protocol.messages.recipe import Prediction, Recipe
from server.study.directory import StudyDirectory
from server.study.file import read_study
from strategies.bank.bank import AdapterBank
from tests.support.small_study import NAMES, run, write_study
from tests.support.study_text import centers_text, head_text, stage_text

STUDY = (
    head_text("whole", "Every key of a recipe", "seed = 5")
    + """
[model]
name = "pemma-unetr-tiny"
[model.options]
pathway = "identity"
gate = 0.1
supervised_scales = 2
[adapter]
rank = 2
alpha = 4
routing = "modality"
[preprocessing]
spacing_zyx_mm = [10.0, 10.0, 10.0]
crop_zyx = [16, 16, 16]
pet_window_suv = [0.0, 15.0]
[training]
loss = "batch-dice-ce"
ema = 0.9
clip_norm = 0.5
gate_rate = 3.0
optimiser = "kept"
precision = "bfloat16"
[training.augmentation]
lesion_crops = 0.5
affine = 0.5
rotation_degrees = 30.0
scale = [0.7, 1.4]
elastic = 0.5
brightness = 0.5
gamma = 0.5
noise = 0.5
low_resolution = 0.5
misalignment = 0.5
misalignment_mm = 8.0
[prediction]
flips = true
overlap = 0.5
precision = "bfloat16"
"""
    + centers_text(NAMES, {"center-d": 'modalities = ["ct"]'})
    + stage_text("pretrain", NAMES, kind="pretrain")
    + stage_text("adapt", NAMES, rounds=3)
)
LAST_ROUND = 4


@pytest.fixture(autouse=True)
def _bfloat16_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where a processor has no instructions for it torch computes with it all the same, only more slowly."""
    monkeypatch.setattr(precision, "available_precision", lambda _: "bfloat16")
    choose_precision.cache_clear()
    yield
    choose_precision.cache_clear()


def values(table: BaseModel) -> dict[str, Any]:
    """What a table holds under its keys and those of the tables in it."""
    found: dict[str, Any] = {}
    for name, value in table:
        found |= values(value) if isinstance(value, BaseModel) else {name: value}
    return found


def outcome(directory: StudyDirectory) -> dict[str, Any]:
    """All that must repeat: adapters, scores, losses, and what stays at the centers."""
    result = json.loads(directory.result.read_text())
    homes = {name: center_home(directory.root, name) for name in NAMES}
    return {
        "bank": {entry.reference: entry.sha256 + entry.backbone for entry in AdapterBank(directory.bank).entries()},
        "matrices": result["matrices"],
        "losses": [(record["center"], record["server_round"], record["loss"]) for record in result["rounds"]],
        "calibration": {name: (home / CALIBRATION).read_text() for name, home in homes.items()},
        "moments": {name: sorted(path.name for path in (home / "moments").iterdir()) for name, home in homes.items()},
    }


def test_the_study_leaves_no_key_as_it_is_by_default(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path / "study.toml", STUDY))
    for found, plain in ((study.training, Recipe()), (study.prediction, Prediction())):
        defaults = values(plain)
        assert [name for name, value in values(found).items() if value == defaults[name]] == []


def test_a_study_killed_between_moments_and_reply_ends_with_the_same_bits(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last round, where center-a has answered and center-d has kept its moments, and not yet its reply."""
    study = write_study(tmp_path / "study.toml", STUDY)
    keep = Outbox.keep

    def die(self: Outbox, instruction: Instruction, leaving: SealedReply) -> None:
        if (instruction.server_round, leaving.reply.center, leaving.reply.kind) == (LAST_ROUND, "center-d", "train"):
            raise KeyboardInterrupt
        keep(self, instruction, leaving)

    whole = outcome(run(study, cohort, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "keep", die)
        with pytest.raises(KeyboardInterrupt):
            run(study, cohort, tmp_path / "killed")
    assert outcome(run(study, cohort, tmp_path / "killed", resume=True)) == whole
    rounds = {name: [int(path.partition("-")[0]) for path in paths] for name, paths in whole["moments"].items()}
    assert rounds == {name: [LAST_ROUND - 1, LAST_ROUND] for name in NAMES}
