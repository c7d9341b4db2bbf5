"""A center's private rounds, from the instruction to what leaves and what the ledger keeps of it."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data.block_file import RecordsError
from client.home.own_privacy import OwnPrivacy
from client.learning.private_training import train_privately
from client.privacy.ledger_file import LEDGER
from client.privacy.privacy_ledger import PrivacyLedger
from client.privacy.private_rounds import PrivateSteps
from client.privacy.release import Release
from client.service.private_round import group_by_patient
from client.service.trainer import Trainer
from deploy.simulation.local import agreement_of
from protocol.errors import PrivacyError
from protocol.messages.labels import Classes, Labels
from protocol.messages.payload import frozen_hash
from protocol.messages.settings import Model
from server.study.file import Study, read_study
from tests.support.small_study import STUDY, write_study
from tests.support.small_training import BOTH, CT
from tests.support.start_state import Start

PRIVACY = "\n[privacy]\nepsilon = 8\ndelta = 0.01\nclip_norm = 0.5\ncrops = 2\nmaximum_noise = 50\n"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Start:
    folder = tmp_path_factory.mktemp("private")
    return Start(read_study(write_study(folder / "study.toml", STUDY + PRIVACY)))


def trainer(
    study: Study,
    cohort: Path,
    home: Path,
    privacy: OwnPrivacy | None = None,
    auc: float = 0.0,
    *,
    folder: str = "center-a",
    minimum_cases: int = 1,
) -> Trainer:
    return Trainer(
        "center-a",
        [cohort / folder],
        ("ct", "pet"),
        home,
        agreement=agreement_of(study, "center-a"),
        minimum_cases=minimum_cases,
        privacy=privacy,
        highest_auc=auc,
    )


def test_a_private_round_sends_tensors_that_nobody_can_repeat_and_no_loss(
    private: Start, cohort: Path, tmp_path: Path
) -> None:
    first, second = (
        trainer(private.study, cohort, tmp_path / home).perform(private.instruction()) for home in ("one", "two")
    )
    assert (first.error, first.loss, first.suppressed.parts) == ("", None, ("loss",))
    assert first.payload is not None
    assert first.payload.support == {"pet": 1, "fusion": 1, "peft": 1}
    differing = [key for key in first.tensors if not np.array_equal(first.tensors[key], second.tensors[key])]
    assert sorted(differing) == sorted(second.tensors)


def test_noise_does_not_move_what_no_case_reaches(private: Start, cohort: Path, tmp_path: Path) -> None:
    """A center that offers PET, whose cases have none: noise on the pathways would be no answer to the round."""
    one = trainer(private.study, cohort, tmp_path, folder="center-d")
    payload = one.perform(private.instruction()).payload
    assert payload is not None
    assert payload.support == {"peft": 1}
    assert payload.frozen_hash == frozen_hash(private.rest, private.rest, payload.tensors)


def test_a_round_of_which_nothing_could_leave_spends_nothing(private: Start, cohort: Path, tmp_path: Path) -> None:
    reply = trainer(private.study, cohort, tmp_path, minimum_cases=2).perform(private.instruction())
    assert (reply.error, reply.payload) == ("too-few", None)
    assert PrivacyLedger(tmp_path).releases() == ()


def test_a_round_is_in_the_ledger_once_however_often_it_is_asked_for(
    private: Start, cohort: Path, tmp_path: Path
) -> None:
    one = trainer(private.study, cohort, tmp_path)
    replies = [one.perform(private.instruction()) for _ in range(2)]
    found = [release for release in PrivacyLedger(tmp_path).releases() if release.kind == "training"]
    assert [(release.stage, release.server_round, release.steps) for release in found] == [("adapt", 3, 4)]
    assert all(np.array_equal(replies[0].tensors[key], array) for key, array in replies[1].tensors.items())


def test_what_the_ledger_says_of_a_round_is_what_its_steps_were_made_with(
    private: Start, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[PrivateSteps]()

    def train(*given: Any, **named: Any) -> Any:
        made.append(named["steps"])
        return train_privately(*given, **named)

    monkeypatch.setattr("client.service.private_round.train_privately", train)
    asked = private.instruction()
    trainer(private.study, cohort, tmp_path).perform(asked)
    ((steps,), (spent,)) = made, [r for r in PrivacyLedger(tmp_path).releases() if r.is_guaranteed]
    assert (spent.noise_multiplier, spent.sample_rate) == (steps.noise_multiplier, steps.sample_rate)
    assert asked.training is not None
    assert (spent.mechanism, spent.steps) == ("subsampled-gaussian", asked.training.local_steps)


def test_a_round_that_would_send_noise_sits_out_with_a_code_of_its_own(
    private: Start, cohort: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One patient at epsilon 8: noise of more than the patient's whole gradient in each value."""
    asked = private.study.privacy
    assert asked is not None
    study = private.study.model_copy(update={"privacy": asked.model_copy(update={"maximum_noise": 1.0})})
    reply = trainer(study, cohort, tmp_path).perform(Start(study).instruction())
    assert (reply.error, reply.payload) == ("privacy-noise", None)
    assert "the update would be noise" in caplog.text
    assert PrivacyLedger(tmp_path).releases() == ()


def test_a_round_that_would_exceed_sits_out_with_a_code_of_its_own(
    private: Start,
    cohort: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No network is built and no case prepared for it."""
    one = trainer(private.study, cohort, tmp_path)
    manifest = one._work.cases.manifest(private.study.settings)
    gone = Release("training", "subsampled-gaussian", 0.5, 1.0, 40, "earlier", "adapt", 1)
    PrivacyLedger(tmp_path).record(gone, [case.patient for case in manifest.usable])
    monkeypatch.setattr(one._work, "do", pytest.fail)
    reply = one.perform(private.instruction())
    assert (reply.error, reply.payload) == ("privacy-spent", None)
    assert "have cost epsilon" in caplog.text


def test_a_center_that_holds_to_more_refuses_before_a_case_is_read(private: Start, tmp_path: Path) -> None:
    """There is no folder of cases at all."""
    with pytest.raises(PrivacyError, match="study 'small' asks for less privacy than center 'center-a' holds to"):
        trainer(private.study, tmp_path / "absent", tmp_path, OwnPrivacy(epsilon=3, delta=1e-3))


def test_a_center_that_holds_to_something_refuses_a_study_that_promises_nothing(study: Study, tmp_path: Path) -> None:
    with pytest.raises(PrivacyError, match=r"has no \[privacy\]"):
        trainer(study, tmp_path / "absent", tmp_path, OwnPrivacy(epsilon=3, delta=1e-3))


def test_what_is_guaranteed_is_said_before_the_first_round(
    private: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        own = OwnPrivacy(epsilon=3, delta=1e-3, weaker="tighten")
        trainer(private.study, tmp_path / "absent", tmp_path, own)
    assert "guarantees each patient who trains epsilon 3 at delta 0.001, gradients clipped to 0.5" in caplog.text


def test_a_damaged_ledger_is_found_before_a_case_is_read(private: Start, tmp_path: Path) -> None:
    PrivacyLedger(tmp_path).record(Release("gram", "gaussian", 4.0, 1.0, 1, "s", "a", 1), ["p"])
    (tmp_path / LEDGER).unlink()
    with pytest.raises(RecordsError, match=r"privacy\.jsonl"):
        trainer(private.study, tmp_path / "absent", tmp_path)


def test_a_ledger_of_a_time_to_come_is_found_before_a_case_is_read(private: Start, tmp_path: Path) -> None:
    """Written while the clock was a century ahead, or read while it is behind: which of the two nobody can tell."""
    ahead = PrivacyLedger(tmp_path, lambda: datetime.now(UTC) + timedelta(days=36500))
    ahead.record(Release("gram", "gaussian", 4.0, 1.0, 1, "s", "a", 1), ["p"])
    with pytest.raises(RecordsError, match=r"privacy\.jsonl.* an entry of 21\d\d-"):
        trainer(private.study, tmp_path / "absent", tmp_path)


def test_a_network_that_normalises_over_a_batch_is_refused_before_a_case_is_read(
    private: Start, tmp_path: Path
) -> None:
    agreed = agreement_of(private.study, "center-a")
    changes = {
        "model": Model(name="multistage-tiny", options={"norm": "batch"}),
        "tasks": ("classification",),
        "labels": Labels(classes=Classes(column="metastasis", weights=(0.5, 0.5))),
    }
    agreement = agreed.model_copy(update={"settings": agreed.settings.model_copy(update=changes)})
    with pytest.raises(PrivacyError, match=r"cannot keep its \[privacy\]: model 'multistage-tiny' .*BatchNorm3d"):
        Trainer("center-a", [tmp_path / "absent"], ("ct", "pet"), tmp_path / "home", agreement=agreement)


def test_an_attack_whose_answer_leaves_is_refused_where_training_is_private(
    private: Start, study: Study, tmp_path: Path
) -> None:
    with pytest.raises(PrivacyError, match=r"--maximum-attack-auc 0\.8, .* leave it out"):
        trainer(private.study, tmp_path / "absent", tmp_path / "private", auc=0.8)
    trainer(study, tmp_path / "absent", tmp_path / "open", auc=0.8)


def test_without_an_agreement_a_private_study_is_refused_by_code(private: Start, cohort: Path, tmp_path: Path) -> None:
    open_to_all = Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), tmp_path)
    assert open_to_all.perform(private.instruction()).error == "privacy"


def test_the_cases_of_one_patient_are_together() -> None:
    found = group_by_patient([BOTH, CT], {"both": "p", "only-ct": "p"})
    assert found == {"p": [BOTH, CT]}


def test_statistics_of_patients_who_train_are_refused_before_a_case_is_read(
    private: Start, cohort: Path, tmp_path: Path
) -> None:
    """A coordinator that asks for them though no study file may: the agreement has been made to allow it."""
    agreement = agreement_of(private.study, "center-a")
    stages = tuple(planned.model_copy(update={"observed": ("gram",)}) for planned in agreement.plan.stages)
    agreement = agreement.model_copy(update={"plan": agreement.plan.model_copy(update={"stages": stages})})
    folders = [cohort / "center-a"]
    one = Trainer("center-a", folders, ("ct", "pet"), tmp_path / "home", agreement=agreement)
    reply = one.perform(replace(private.instruction("observe"), statistics=("gram",)))
    assert (reply.error, reply.payload) == ("privacy", None)
    assert not (tmp_path / "home" / "manifest.json").exists()
