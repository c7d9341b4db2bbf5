"""What one center does on synthetic cases: what it says, and what it sends."""

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.cancellation import never_cancelled
from client.learning.training import Trained, train_locally
from client.scores.calibration_rows import read_calibration
from client.scores.score_rows import read_rows
from client.scores.scoring import Network, Scored
from client.service.trainer import Trainer
from client.service.work import CenterWork
from client.tasks.contract import CenterTask
from client.tasks.precision import available_precision
from fusion_models.adapters.keys import parameters_by_key
from protocol.messages.instruction import Instruction
from protocol.messages.payload import frozen_hash, phase_of
from protocol.messages.recipe import Recipe
from protocol.messages.settings import ROLES, Role, Split
from protocol.messages.tensors import content_hash, role_of
from protocol.validation import Expected, validate
from server.study.file import Study
from tests.support.segmentation_task import row
from tests.support.start_state import Start
from tests.support.two_cases import write_two_cases

ADAPTED = ("pet", "fusion", "peft")


def test_it_registers_with_counts_and_without_names(both: Trainer, study: Study) -> None:
    """Three patients: one each to train, validate and test."""
    reply = both.perform(Instruction(kind="register", settings=study.settings))
    counts = {"train_cases": 1, "validation_cases": 1, "test_cases": 1, "cases": 3, "refused_cases": 0}
    precision = available_precision("cpu")
    assert reply.facts == {**counts, "modalities": "ct+pet", "device": "cpu", "precision": precision}
    assert (reply.center, reply.error, reply.payload) == ("center-a", "", None)
    assert reply.seconds > 0
    assert (both.home / "manifest.json").exists()


def test_how_many_cases_are_gone_leaves_with_an_answer(
    ct_only: Trainer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ct_only._work.cases, "count_missing", lambda _settings: 2)
    assert ct_only.perform(start.instruction()).facts == {"missing_cases": 2}


LIVE = {"lora_b", "magnitude"}


def sent_keys(start: Start, *groups: str, roles: Collection[str] = LIVE) -> set[str]:
    """Keys of the groups that train; of the shared adapter those of the live roles."""
    specs = start.exchanged(*groups)
    return {spec.key for spec in specs if spec.group != "peft" or role_of(spec.key) in roles}


@pytest.mark.parametrize(("center", "sent"), [("both", ADAPTED), ("ct_only", ("peft",))])
def test_what_it_sends_is_accepted_and_pet_comes_only_from_where_pet_is(
    center: str, sent: tuple[str, ...], start: Start, request: pytest.FixtureRequest
) -> None:
    trainer: Trainer = request.getfixturevalue(center)
    reply = trainer.perform(start.instruction())
    assert reply.payload is not None
    expected = Expected(
        specs=[spec for spec in start.exchanged(*ADAPTED) if spec.key in sent_keys(start, *ADAPTED)],
        backbone_hash=start.hash,
        stage="adapt",
        server_round=3,
        phase="lora_b+magnitude",
        frozen_hash=frozen_hash(start.rest, start.rest, reply.payload.tensors),
        registered_cases=1,
    )
    validate(reply.payload, expected)
    assert set(reply.payload.tensors) == sent_keys(start, *sent)
    assert reply.payload.support == dict.fromkeys(sent, 1)
    assert reply.loss is not None
    assert np.isfinite(reply.loss)
    assert set(reply.scores) == ({"ct", "pet", "ct+pet"} if center == "both" else {"ct"})
    assert all(score.cases == 1 for score in reply.scores.values())


@pytest.mark.parametrize("roles", [("lora_a",), ("lora_b",), ROLES])
def test_it_trains_and_sends_the_live_roles_and_names_the_phase(
    ct_only: Trainer, start: Start, roles: tuple[Role, ...]
) -> None:
    """A that trains against a B of zero stays where it is, yet what is sent is A alone."""
    reply = ct_only.perform(start.training(groups=("peft",), roles=roles))
    assert reply.payload is not None
    assert {role_of(key) for key in reply.payload.tensors} == set(roles)
    assert reply.payload.phase == phase_of(roles)
    assert reply.payload.frozen_hash == frozen_hash(start.rest, start.rest, reply.payload.tensors)


def test_personal_groups_are_sent_with_all_cases_behind_them_and_no_phase(ct_only: Trainer, start: Start) -> None:
    asked = start.training(groups=("center", "norm"), roles=())
    reply = ct_only.perform(replace(asked, settings=start.personal))
    assert reply.payload is not None, reply
    assert {role_of(key) for key in reply.payload.tensors} == {"center_a", "center_b", "norm_weight", "norm_bias"}
    assert (reply.payload.phase, reply.payload.support) == ("", {"center": 1, "norm": 1})
    assert reply.payload.frozen_hash == content_hash(start.rest)
    assert reply.payload.backbone_hash == start.hash
    moved = {role_of(key) for key, array in reply.payload.tensors.items() if role_of(key) == "center_b" and array.any()}
    assert moved == {"center_b"}


def test_a_frozen_factor_that_moved_shows_in_the_hash(
    ct_only: Trainer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(model: nn.Module, *args: Any, **kwargs: Any) -> Trained:
        trained = train_locally(model, *args, **kwargs)
        with torch.no_grad():
            next(p for key, p in parameters_by_key(model).items() if role_of(key) == "lora_a").add_(1e-3)
        return trained

    monkeypatch.setattr("client.service.work.train_locally", careless)
    reply = ct_only.perform(start.training(groups=("peft",), roles=("lora_b",)))
    assert reply.payload is not None
    assert reply.payload.frozen_hash != frozen_hash(start.rest, start.rest, reply.payload.tensors)


def test_what_local_terms_remember_is_sent_for_the_groups_with_cases(both: Trainer, start: Start) -> None:
    """CT alone trains: nothing of the PET pathway goes back, neither its tensors nor their control variates."""
    asked = start.training(terms={"scaffold": True}, modality_shares={"ct": 1.0})
    reply = both.perform(replace(asked, tensors={**start.rest, **start.controls}))
    assert reply.payload is not None, reply
    keys = sent_keys(start, "peft")
    assert set(reply.payload.tensors) == keys | {f"{key}@control" for key in keys}
    assert reply.payload.support == {"peft": 1}
    assert reply.payload.frozen_hash == frozen_hash(start.rest, start.rest, reply.payload.tensors)


def test_a_group_for_which_too_few_were_drawn_goes_back_to_what_was_received(
    cohort: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three are able to reach each group; the draws are said to have been one with PET, and the moments stay too."""

    def few_pet(*args: Any, **kwargs: Any) -> Trained:
        trained = train_locally(*args, **kwargs)
        names = sorted(case.name for case in args[2])
        return replace(trained, used={"ct": frozenset(names[:2]), "ct+pet": frozenset(names[:1])})

    monkeypatch.setattr("client.service.work.train_locally", few_pet)
    trainer = Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), tmp_path, minimum_cases=2)
    asked = start.training(recipe=Recipe(optimiser="kept"), validate_first=False)
    all_train = asked.settings.model_copy(update={"split": Split(validation=0, test=0)})
    reply = trainer.perform(replace(asked, settings=all_train))
    assert reply.payload is not None, reply
    assert (reply.payload.support, reply.suppressed.groups) == ({"peft": 2}, ("fusion", "pet"))
    assert set(reply.tensors) == sent_keys(start, "peft")
    assert reply.payload.frozen_hash == frozen_hash(start.rest, start.rest, reply.tensors)
    (kept,) = tmp_path.glob("moments/*")
    assert {key.partition("@")[0] for key in load_file(kept)} == sent_keys(start, "peft")


def test_a_group_that_too_few_can_reach_does_not_train(
    cohort: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three cases have no PET."""
    trained: list[set[str]] = []

    def note(_model: nn.Module, parameters: Mapping[str, nn.Parameter], *args: Any, **kwargs: Any) -> Trained:
        trained.append(set(parameters))
        return train_locally(_model, parameters, *args, **kwargs)

    monkeypatch.setattr("client.service.work.train_locally", note)
    shutil.copytree(cohort / "center-a", tmp_path / "cases")
    for pet in sorted(tmp_path.glob("cases/*/pet.nii.gz"))[1:]:
        pet.unlink()
    trainer = Trainer("center-a", [tmp_path / "cases"], ("ct", "pet"), tmp_path / "home", minimum_cases=2)
    asked = start.training(validate_first=False, modality_shares={"ct": 0.8, "ct+pet": 0.2})
    all_train = asked.settings.model_copy(update={"split": Split(validation=0, test=0)})
    reply = trainer.perform(replace(asked, settings=all_train))
    assert (reply.error, reply.suppressed.groups) == ("", ("fusion", "pet"))
    assert trained == [sent_keys(start, "peft")]


def test_validation_is_skipped_when_it_is_not_asked_for(ct_only: Trainer, start: Start) -> None:
    scored, unscored = (ct_only.perform(start.training(validate_first=first)) for first in (True, False))
    assert (set(scored.scores), set(unscored.scores)) == ({"ct"}, set())
    assert scored.payload is not None
    assert unscored.payload is not None
    assert content_hash(scored.payload.tensors) == content_hash(unscored.payload.tensors)


def test_a_comparison_pairs_the_fullest_setting_case_by_case(
    both: Trainer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candidate scores 0.5 and the reference 0.2 on the one validation case: the difference is 0.3."""
    asked = []

    def scored(network: Network, _task: CenterTask, case: PreparedCase, setting: str) -> Scored:
        asked.append(setting)
        better = "vit.norm#norm_bias" in network.tensors
        return Scored(row(case.name, setting, dice=0.5 if better else 0.2), (), np.dtype(np.uint8), b"")

    monkeypatch.setattr("client.scores.scoring.score_now", scored)
    candidate = {**start.rest, "vit.norm#norm_bias": np.ones(24, np.float32)}
    compare = replace(start.instruction("compare"), tensors=candidate, reference=start.rest)
    comparison = both.perform(compare).comparison
    assert comparison is not None
    assert comparison.cases == 1
    assert comparison.difference == pytest.approx(0.3)
    assert comparison.standard_error == 0.001, "one case has none, and what leaves is never 0 beside a difference"
    assert asked == ["ct+pet", "ct+pet"]


def test_a_state_compared_with_itself_differs_by_nothing(both: Trainer, start: Start) -> None:
    reply = both.perform(replace(start.instruction("compare"), reference=start.rest))
    assert reply.comparison is not None
    assert (reply.comparison.difference, reply.comparison.standard_error) == (0, 0)
    assert (reply.error, reply.payload, dict(reply.scores)) == ("", None, {})


def test_a_center_that_cannot_audit_a_candidate_does_not_compare_it(cohort: Path, tmp_path: Path, start: Start) -> None:
    """One patient trains and one validates: nobody can tell what the candidate gives away."""
    asking = Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), tmp_path / "home", highest_auc=0.9)
    reply = asking.perform(replace(start.instruction("compare"), reference=start.rest))
    assert (reply.error, reply.comparison) == ("too-few", None)


def test_an_observation_sends_statistics_and_what_stands_behind_them(both: Trainer, start: Start) -> None:
    asked = replace(start.instruction("observe"), statistics=("gram", "prototype"))
    reply = both.perform(asked)
    assert reply.payload is not None, reply
    modules = {key.partition("#")[0] for key in start.rest if "#" in key}
    features = {f"features.{name}@{kind}" for name in ("ct", "pet") for kind in ("mean", "scatter")}
    assert set(reply.payload.tensors) == {f"{module}@gram" for module in modules} | features
    assert reply.payload.support == {"gram": 1, "features.ct": 1, "features.pet": 1}
    assert (reply.payload.stage, reply.payload.server_round, reply.payload.phase) == ("adapt", 3, "")
    assert reply.payload.backbone_hash == start.hash


def test_training_moves_the_tensors_it_sends_and_repeats_exactly(both: Trainer, start: Start) -> None:
    acknowledged = replace(start.instruction(), acknowledged=3)  # what is acknowledged has left the outbox
    first, again = both.perform(start.instruction()), both.perform(acknowledged)
    assert first.payload is not None
    assert again.payload is not None
    assert content_hash(first.payload.tensors) == content_hash(again.payload.tensors)
    moved = [name for name, array in first.payload.tensors.items() if not _same(array, start.rest.get(name))]
    assert len(moved) > len(start.rest) / 2


def _same(array: NDArray[np.float32], before: NDArray[np.float32] | None) -> bool:
    return before is not None and np.array_equal(array, before)


def test_how_sure_test_cases_are_is_kept_beside_their_scores_and_not_sent(both: Trainer, start: Start) -> None:
    """One validation case is too few for a temperature; the network is named as an adapter bank names it."""
    reply = both.perform(start.instruction("evaluate", 0))
    (row,) = read_calibration(both.home / "calibration.json")
    (scored,) = [found for found in read_rows(both.home / "scores.json") if found["modalities"] == "ct+pet"]
    assert [(case.case, case.dice) for case in row.cases] == [(scored["case"], scored["dice"])]
    assert (row.stage, row.modalities, row.validation_cases) == ("pretrain", "ct+pet", 1)
    assert (row.temperature, row.threshold) == (None, None)
    assert (row.adapter_sha256, row.backbone_sha256) == (content_hash(start.rest), start.hash)
    assert {name for score in reply.scores.values() for name in score.values} == {"dice", "hd95_mm"}


def test_scoring_a_stage_again_replaces_its_rows(both: Trainer, start: Start) -> None:
    path = both.home / "scores.json"
    both.perform(start.instruction("evaluate", 0))
    once = read_rows(path)
    reply = both.perform(start.instruction("evaluate", 0))
    assert read_rows(path) == once
    assert [(row["stage"], row["modalities"]) for row in once] == [("pretrain", m) for m in ("ct", "pet", "ct+pet")]
    both.perform(start.instruction("evaluate", 1))
    assert [row["stage"] for row in read_rows(path)] == ["pretrain"] * 3 + ["adapt"] * 3
    assert reply.scores["ct"].value("dice") == round(once[0]["dice"], 4)
    assert len(list((both.home / "predictions" / "segmentation").glob("*.npz"))) == 1


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


def test_a_center_owns_the_groups_whose_modalities_it_has(tmp_path: Path) -> None:
    owned = {
        offered: CenterWork("center-a", [tmp_path], offered, tmp_path, "cpu").own_groups(
            ("backbone", "pet", "fusion", "peft")
        )
        for offered in (("ct",), ("pet",), ("ct", "pet"))
    }
    assert owned == {
        ("ct",): ("backbone", "peft", "peft.ct"),
        ("pet",): ("backbone", "pet", "peft", "peft.pet"),
        ("ct", "pet"): ("backbone", "pet", "fusion", "peft", "peft.ct", "peft.pet", "peft.fusion"),
    }


def test_scores_are_forgotten_when_the_folders_changed_before_a_stage(tmp_path: Path, study: Study) -> None:
    """A score belongs to a contour, which a correction replaces."""
    folder = write_two_cases(tmp_path / "a")
    work = CenterWork("a", [folder], ("ct", "pet"), tmp_path / "home", "cpu")
    kept = []
    for changed in ("", "", "gtv.nii.gz"):
        if changed:
            os.utime(folder / "one" / changed, ns=(1, 1))
        work.do(Instruction(kind="register", settings=study.settings), never_cancelled)
        kept.append(work._scores)
    assert kept[0] is kept[1]
    assert kept[1] is not kept[2]
