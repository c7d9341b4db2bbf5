"""One center's warm trainer on synthetic cases: what it says, what it sends, and what it writes first."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from client.trainer import Trainer, round_generator, support_of
from client.training import Trained
from deploy.prepare import initial_state
from server.study import Study, read_study
from strategies.admission import admit
from strategies.errors import StorageError
from strategies.instruction import Instruction, Kind
from strategies.tensors import BACKBONE, TensorSpec, content_hash
from tests.small_study import write_cohort, write_study

ADAPTED = ("pet", "peft")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_study(tmp_path_factory.mktemp("study") / "study.toml"))


class Start:
    """The initial state of the study, split as the adapt stage sees it."""

    def __init__(self, study: Study) -> None:
        self.specs, initial, _ = initial_state(study)
        groups = {spec.key: spec.group for spec in self.specs}
        self.backbone = {key: array for key, array in initial.items() if groups[key] == BACKBONE}
        self.rest = {key: array for key, array in initial.items() if groups[key] != BACKBONE}
        self.hash = content_hash(self.backbone)
        self.study = study

    def exchanged(self, *groups: str) -> list[TensorSpec]:
        return [spec for spec in self.specs if spec.group in groups]

    def instruction(self, kind: Kind = "train", stage: int = 1, *, send: bool = True) -> Instruction:
        return Instruction(
            kind=kind,
            settings=self.study.settings,
            stage=self.study.stages[stage].name,
            server_round=3,
            backbone_hash=self.hash,
            training=self.study.stages[stage].training if kind == "train" else None,
            tensors=self.rest,
            backbone=self.backbone if send else {},
        )


@pytest.fixture(scope="module")
def start(study: Study) -> Start:
    return Start(study)


@pytest.fixture
def both(cohort: Path, tmp_path: Path) -> Trainer:
    """A trainer of three cases with CT and PET."""
    return Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), tmp_path / "home-a")


@pytest.fixture
def ct_only(cohort: Path, tmp_path: Path) -> Trainer:
    """A trainer of three cases with CT alone."""
    return Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path / "home-d")


def lines(trainer: Trainer) -> list[dict]:
    return [json.loads(line) for line in (trainer.home / "outgoing.jsonl").read_text().splitlines()]


def test_it_registers_with_counts_and_without_names(both: Trainer, study: Study) -> None:
    """Three patients: one each to train, validate and test."""
    reply = both.perform(Instruction(kind="register", settings=study.settings))
    counts = {"train_cases": 1, "validation_cases": 1, "test_cases": 1, "cases": 3, "refused_cases": 0}
    assert reply.facts == {**counts, "modalities": "ct+pet", "device": "cpu"}
    assert (reply.center, reply.error, reply.payload) == ("center-a", "", None)
    assert reply.seconds > 0
    assert (both.home / "manifest.json").exists()


@pytest.mark.parametrize(("center", "sent"), [("both", ADAPTED), ("ct_only", ("peft",))])
def test_what_it_sends_is_admitted_and_pet_comes_only_from_where_pet_is(
    center: str, sent: tuple[str, ...], start: Start, request: pytest.FixtureRequest
) -> None:
    trainer: Trainer = request.getfixturevalue(center)
    reply = trainer.perform(start.instruction())
    assert reply.payload is not None
    accept = partial(admit, backbone_hash=start.hash, stage="adapt", server_round=3, registered_cases=1)
    accept(reply.payload, specs=start.exchanged(*ADAPTED))
    assert set(reply.payload.tensors) == {spec.key for spec in start.exchanged(*sent)}
    assert reply.payload.support == dict.fromkeys(sent, 1)
    assert reply.loss is not None
    assert np.isfinite(reply.loss)
    assert set(reply.scores) == ({"ct", "pet", "ct+pet"} if center == "both" else {"ct"})
    assert all(score.cases == 1 for score in reply.scores.values())


def test_training_moves_the_tensors_it_sends_and_repeats_exactly(both: Trainer, start: Start) -> None:
    first, again = both.perform(start.instruction()), both.perform(start.instruction())
    assert first.payload is not None
    assert again.payload is not None
    assert content_hash(first.payload.tensors) == content_hash(again.payload.tensors)
    moved = [name for name, array in first.payload.tensors.items() if not _same(array, start.rest.get(name))]
    assert len(moved) > len(start.rest) / 2


def _same(array: NDArray[np.float32], before: NDArray[np.float32] | None) -> bool:
    return before is not None and np.array_equal(array, before)


def test_it_asks_for_the_backbone_once_and_keeps_it(both: Trainer, start: Start) -> None:
    lacking = start.instruction("evaluate", send=False)
    assert both.perform(lacking).error == "backbone-missing"
    assert both.perform(start.instruction("evaluate")).error == ""
    assert both.perform(lacking).error == ""
    assert [path.stem for path in (both.home / "backbones").iterdir()] == [start.hash]


def test_it_refuses_a_backbone_with_another_hash(both: Trainer, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    other = {key: array + 1 for key, array in start.backbone.items()}
    asked = start.instruction()
    for wrong in (replace(asked, backbone=other), replace(asked, tensors={**start.rest, **other})):
        caplog.clear()
        reply = both.perform(wrong)
        assert (reply.error, reply.payload) == ("model", None)
        assert "nothing was trained on it" in caplog.text
    assert not (both.home / "backbones").exists()


def test_a_stage_that_trains_the_backbone_keeps_none_on_disk_until_it_is_scored(ct_only: Trainer, start: Start) -> None:
    moving = replace(start.instruction(stage=0, send=False), tensors=start.backbone)
    reply = ct_only.perform(moving)
    assert reply.payload is not None
    assert set(reply.payload.tensors) == set(start.backbone)
    assert not (ct_only.home / "backbones").exists()
    ct_only.perform(replace(start.instruction("evaluate", 0, send=False), tensors=start.backbone))
    assert ct_only.perform(start.instruction("evaluate", send=False)).error == ""


def test_the_outgoing_log_says_what_left(ct_only: Trainer, start: Start) -> None:
    reply = ct_only.perform(start.instruction())
    assert reply.payload is not None
    (line,) = lines(ct_only)
    assert (line["kind"], line["stage"], line["server_round"]) == ("train", "adapt", 3)
    assert line["content_sha256"] == content_hash(reply.payload.tensors)
    assert line["bytes"] == sum(array.nbytes for array in reply.payload.tensors.values())


def test_nothing_leaves_when_the_log_cannot_be_written(both: Trainer, study: Study) -> None:
    (both.home / "outgoing.jsonl").mkdir(parents=True)
    with pytest.raises(StorageError, match="nothing leaves until it can"):
        both.perform(Instruction(kind="register", settings=study.settings))


def test_too_few_cases_stay_at_home(cohort: Path, tmp_path: Path, start: Start) -> None:
    trainer = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path, minimum_cases=2)
    reply = trainer.perform(start.instruction())
    assert (reply.error, reply.payload) == ("egress-refused", None)
    assert lines(trainer)[0]["held_back"] == ["tensors of group 'peft' stand on 1 case(s), this center sends from 2 on"]


def test_scoring_a_stage_again_replaces_its_rows(both: Trainer, start: Start) -> None:
    path = both.home / "scores.json"
    both.perform(start.instruction("evaluate", 0))
    once = json.loads(path.read_text())
    reply = both.perform(start.instruction("evaluate", 0))
    assert json.loads(path.read_text()) == once
    assert [(row["stage"], row["modalities"]) for row in once] == [("pretrain", m) for m in ("ct", "pet", "ct+pet")]
    both.perform(start.instruction("evaluate", 1))
    assert [row["stage"] for row in json.loads(path.read_text())] == ["pretrain"] * 3 + ["adapt"] * 3
    assert reply.scores["ct"].dice == once[0]["dice"]
    assert len(list((both.home / "predictions").glob("*.npz"))) == 1


def test_training_without_settings_is_refused(both: Trainer, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    assert both.perform(replace(start.instruction(), training=None)).error == "model"
    assert "center 'center-a': an instruction to train came without training settings" in caplog.text


def test_a_stage_that_leaves_a_center_nothing_to_train_says_so(
    ct_only: Trainer, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    instruction = start.instruction()
    assert instruction.training is not None
    pathway_only = instruction.training.model_copy(update={"groups": ("pet",)})
    assert ct_only.perform(replace(instruction, training=pathway_only)).error == "model"
    assert "has nothing to train in stage 'adapt'" in caplog.text


def test_a_folder_without_cases_sends_a_code_and_keeps_the_reason(
    tmp_path: Path, study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer("center-x", [tmp_path / "none"], ("ct",), tmp_path / "home")
    reply = trainer.perform(Instruction(kind="register", settings=study.settings))
    assert (reply.error, dict(reply.facts)) == ("cases", {})
    assert "center 'center-x': folder: found no such folder" in caplog.text
    assert (tmp_path / "home" / "manifest.json").exists()


def test_a_rounds_randomness_is_its_own_and_repeats(start: Start) -> None:
    asked = start.instruction()
    settings = start.study.settings
    others = [
        (asked, "center-b"),
        (replace(asked, server_round=4), "center-a"),
        (replace(asked, stage="arrive"), "center-a"),
        (replace(asked, settings=settings.model_copy(update={"seed": 6})), "center-a"),
    ]
    draws = [round_generator(*pair).integers(2**62) for pair in [(asked, "center-a"), *others]]
    assert len(set(draws)) == 5
    assert round_generator(asked, "center-a").integers(2**62) == draws[0]


def test_support_counts_pet_cases_for_the_pet_pathway_and_leaves_out_zero() -> None:
    """Two cases gave CT, one of them and a third gave PET: three cases behind the adapter, two behind the pathway."""
    used = {"ct": frozenset({"a", "b"}), "pet": frozenset({"b", "c"})}
    assert support_of(Trained(0.0, used), ["pet", "peft"]) == {"pet": 2, "peft": 3}
    assert support_of(Trained(0.0, {"ct": frozenset("a"), "pet": frozenset()}), ["pet", "peft"]) == {"peft": 1}
