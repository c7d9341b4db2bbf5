"""The coordinator as attacker: what it asks beyond the agreement, and what it subtracts from what it was given."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client.data.split import split_of
from client.data.synthetic import CENTERS, write_synthetic_cohort
from client.service.trainer import Trainer
from deploy.simulation.local import agreement_of
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.reply import Reply
from server.study.file import Study, read_study
from tests.support.small_study import STUDY, write_study
from tests.support.start_state import Start

MINIMUM = 5
PATIENTS = 7
NOBODY_IS_HELD_OUT = "\n[split]\nvalidation = 0.0\ntest = 0.0\n[strategy]\ngate = false\n\n[[stages]]"
ALL_BUT_ONE_TEST = "\n[split]\nvalidation = 0.0\ntest = 0.86\n[strategy]\ngate = false\n\n[[stages]]"
CENTER = replace(next(center for center in CENTERS if center.name == "center-a"), patients=PATIENTS)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven patients, all with CT, PET and contour."""
    root = tmp_path_factory.mktemp("cohort")
    write_synthetic_cohort(root, centers=[CENTER], seed=1)
    return root / "center-a"


def study(folder: Path, split: str) -> Study:
    return read_study(write_study(folder / "study.toml", STUDY.replace("\n[[stages]]", split, 1)))


def bring(cohort: Path, data: Path, names: Iterable[str]) -> None:
    for name in names:
        shutil.copytree(cohort / name, data / name)


def asked(start: Start, kind: Kind, server_round: int = 3, **changes: Any) -> Instruction:
    return replace(start.instruction(kind), server_round=server_round, **changes)


def observe(trainer: Trainer, start: Start, server_round: int) -> tuple[NDArray[np.float64], int]:
    """Sum of the feature vectors of the training cases, and how many they are."""
    trainer.perform(Instruction("register", start.study.settings))
    reply = trainer.perform(asked(start, "observe", server_round, statistics=("prototype",)))
    assert reply.payload is not None
    cases = reply.payload.support["features.ct"]
    return reply.payload.tensors["features.ct@mean"].astype(np.float64) * cases, cases


def features_of(cohort: Path, folder: Path, start: Start, name: str) -> NDArray[np.float64]:
    """What the center alone may know: one patient's feature vector."""
    bring(cohort, folder / "one", [name])
    mean, _ = observe(Trainer("center-a", [folder / "one"], ("ct", "pet"), folder / "alone"), start, 3)
    return mean


def test_observing_before_and_after_a_patient_came_does_not_give_its_features(cohort: Path, tmp_path: Path) -> None:
    """Where one case may leave the difference is the patient's vector; with blocks there is no difference."""
    start = Start(study(tmp_path, NOBODY_IS_HELD_OUT))
    secret = features_of(cohort, tmp_path, start, CENTER.cases[5])
    stolen = {}
    for minimum in (1, MINIMUM):
        data = tmp_path / f"data-{minimum}"
        bring(cohort, data, CENTER.cases[:5])
        trainer = Trainer("center-a", [data], ("ct", "pet"), tmp_path / f"home-{minimum}", minimum_cases=minimum)
        before, _ = observe(trainer, start, 3)
        bring(cohort, data, CENTER.cases[5:6])
        after, cases = observe(trainer, start, 4)
        stolen[minimum] = (after - before, cases)
    assert (stolen[1][1], stolen[MINIMUM][1]) == (6, 5)
    assert np.abs(stolen[1][0] - secret).max() < 1e-5 * np.abs(secret).max()
    assert np.abs(stolen[MINIMUM][0]).max() == 0


def test_ct_over_six_minus_ct_and_pet_over_five_is_nobodys_dice(cohort: Path, tmp_path: Path) -> None:
    """The patient without PET enters neither figure; at a center that sends from one case on it enters one of them."""
    start = Start(study(tmp_path, ALL_BUT_ONE_TEST))
    parts = split_of(CENTER.cases, seed=5, validation=0.0, test=0.86)
    bring(cohort, tmp_path / "data", CENTER.cases)
    without_pet = next(name for name in CENTER.cases if parts[name] == "test")
    (tmp_path / "data" / without_pet / "pet.nii.gz").unlink()
    found = {
        minimum: Trainer(
            "center-a", [tmp_path / "data"], ("ct", "pet"), tmp_path / f"home-{minimum}", minimum_cases=minimum
        ).perform(asked(start, "evaluate"))
        for minimum in (1, MINIMUM)
    }
    counts = {
        minimum: {setting: score.cases for setting, score in reply.scores.items()} for minimum, reply in found.items()
    }
    assert counts == {1: {"ct": 6, "pet": 5, "ct+pet": 5}, MINIMUM: {"ct": 5, "pet": 5, "ct+pet": 5}}


def test_a_second_seed_draws_no_second_cohort(cohort: Path, tmp_path: Path) -> None:
    """Without an agreement a coordinator may choose the seed of the split, and with it who is tested together."""
    bring(cohort, tmp_path / "data", CENTER.cases)
    trainer = Trainer("center-a", [tmp_path / "data"], ("ct", "pet"), tmp_path / "home", minimum_cases=MINIMUM)
    cases = []
    for seed in (5, 6):
        start = Start(study(tmp_path, ALL_BUT_ONE_TEST.replace("test = 0.86", f"test = 0.86\nseed = {seed}")))
        reply = trainer.perform(asked(start, "evaluate"))
        cases.append(reply.scores["ct"].cases if reply.scores else 0)
    assert cases == [6, 0]


@pytest.fixture(scope="module")
def agreed(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Start]:
    """A center that agreed to a study that trains adapters and observes nothing."""
    folder = tmp_path_factory.mktemp("agreed")
    found = study(folder, NOBODY_IS_HELD_OUT)
    agreement = agreement_of(found, "center-a")
    made = Trainer("center-a", [cohort], ("ct", "pet"), folder / "home", agreement=agreement)
    return made, Start(found)


def refused(trainer: Trainer, instruction: Instruction) -> None:
    before = {path.name for path in trainer.home.iterdir()}
    assert trainer.perform(instruction) == Reply("center-a", instruction.kind, error="other-study")
    new = {path.name for path in trainer.home.iterdir()} - before
    assert all(name.startswith("outgoing.") for name in new)


def test_a_coordinator_gets_no_backbone_that_the_study_does_not_train(agreed: tuple[Trainer, Start]) -> None:
    trainer, start = agreed
    training = start.instruction().training
    assert training is not None
    whole = training.model_copy(update={"groups": ("backbone",)})
    refused(trainer, replace(start.instruction(), training=whole, tensors={**start.rest, **start.backbone}))
    refused(trainer, replace(start.instruction(), training=training.model_copy(update={"batch_size": 3000})))


@pytest.mark.parametrize("statistic", ["gram", "fisher", "prototype"])
def test_a_coordinator_gets_no_statistic_that_the_study_does_not_observe(
    agreed: tuple[Trainer, Start], statistic: Any
) -> None:
    trainer, start = agreed
    refused(trainer, asked(start, "observe", statistics=(statistic,)))


def test_a_center_agrees_to_its_own_rank(agreed: tuple[Trainer, Start]) -> None:
    trainer, start = agreed
    settings = start.study.settings
    wide = settings.model_copy(update={"adapter": settings.adapter.model_copy(update={"rank": 16})})
    refused(trainer, replace(start.instruction(), settings=wide))


def test_what_is_planned_is_done(agreed: tuple[Trainer, Start]) -> None:
    trainer, start = agreed
    assert trainer.perform(start.instruction()).error == ""


def test_the_last_question_that_is_allowed_is_the_last_with_a_figure(cohort: Path, tmp_path: Path) -> None:
    """The same question again costs nothing, also of another program; a new one is not answered, and training is."""
    start = Start(study(tmp_path, ALL_BUT_ONE_TEST))
    limits: dict[str, Any] = {"minimum_cases": MINIMUM, "maximum_queries": 1}
    first = Trainer("center-a", [cohort], ("ct", "pet"), tmp_path / "home", **limits).perform(asked(start, "evaluate"))
    trainer = Trainer("center-a", [cohort], ("ct", "pet"), tmp_path / "home", **limits)
    again = trainer.perform(asked(start, "evaluate", 9, stage="later"))
    assert again.scores == first.scores
    assert first.scores["ct"].cases == 6
    observed = trainer.perform(asked(start, "observe", statistics=("gram",)))
    assert (observed.error, observed.payload) == ("queries-spent", None)
    other = {key: array + np.float32(1e-6) for key, array in start.rest.items()}
    spent = trainer.perform(asked(start, "evaluate", tensors=other))
    assert (spent.error, dict(spent.scores)) == ("", {})
    assert "it allows 1; --maximum-queries allows more" in (tmp_path / "home" / "outgoing.jsonl").read_text()
