"""A center does what it agreed to and nothing else: one study's plan, and no more work than it allows."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.home.agreement import AgreementError, agreed_by, write_agreement
from client.home.center_home import CenterHome
from client.service.trainer import Trainer
from deploy.simulation.local import agreement_of
from protocol.messages.reply import Reply
from server.study.file import Study, read_study
from tests.support.coordinator_stand_in import agreement, kit
from tests.support.joined_home import ENDPOINT, joined_home
from tests.support.one_center import asked
from tests.support.small_study import STUDY, write_study

AGREED = json.dumps({"image": "x", **agreement().model_dump(mode="json")})
DIGEST = agreement().agreed_sha256


@pytest.fixture(scope="module")
def study(study_file: Path) -> Study:
    return read_study(study_file)


def center(cohort: Path, home: Path, **limits: Any) -> Trainer:
    return Trainer("center-d", [cohort / "center-d"], ("ct",), home, **limits)


def test_other_settings_than_agreed_do_nothing_at_all(
    cohort: Path, tmp_path: Path, study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    """No manifest, no backbone, no outbox touched: a line in the log of what left, and that is all."""
    caplog.set_level(logging.INFO)
    other = agreement_of(study.model_copy(update={"seed": 6}), "center-d")
    reply = center(cohort, tmp_path, agreement=other).perform(asked(study))
    assert reply == Reply("center-d", "train", error="other-study")
    assert {path.name for path in tmp_path.iterdir()} == {"outgoing.jsonl", "outgoing.head", "outgoing.lock"}
    assert "settings seed are others than those of study 'small'" in caplog.text


def test_a_round_of_more_steps_than_the_center_allows_is_refused(cohort: Path, tmp_path: Path, study: Study) -> None:
    """The adapt stage asks for four."""
    assert center(cohort, tmp_path / "three", maximum_steps=3).perform(asked(study)).error == "excessive"
    assert center(cohort, tmp_path / "four", maximum_steps=4).perform(asked(study)).error == ""


def test_the_agreed_study_is_served_and_whoever_registers_needs_no_rank(
    cohort: Path, tmp_path: Path, study: Study
) -> None:
    """The one message that goes to all centers alike comes with the study's rank."""
    ranked = read_study(write_study(tmp_path / "study.toml", STUDY.replace("rank = 2", "rank = 3"))).settings
    trainer = center(cohort, tmp_path / "home", agreement=agreement_of(study, "center-d"))
    assert trainer.perform(replace(asked(study, "register"), settings=ranked)).error == ""
    assert trainer.perform(replace(asked(study), settings=ranked)).error == "other-study"
    assert trainer.perform(asked(study)).error == ""


def test_the_agreement_is_read_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "agreement.json").write_text(AGREED)
    found = agreed_by(tmp_path / "agreement.json", "center-d")
    assert found is not None
    assert found.agreed_sha256 == DIGEST
    assert f"this center agreed to study 'small' (A small study), settings and plan {DIGEST[:12]}" in caplog.text


def test_a_trainer_without_agreement_takes_any_study_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert agreed_by(None, "center-d") is None
    assert "takes instructions of any study" in caplog.text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (AGREED.replace(DIGEST, DIGEST[1:]), "agreed_sha256"),
        (AGREED.replace(DIGEST, "a" * 64), "the text"),
        (AGREED.replace('"study": "small", "title"', '"study": 3, "title"'), "study"),
        (AGREED.replace('"title": "A small study", ', ""), "title"),
        (AGREED.replace('"plan"', '"plans"'), "plan"),
        ("{", "the text"),
    ],
)
def test_an_agreement_that_does_not_bind_is_refused_by_field(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "agreement.json").write_text(text)
    with pytest.raises(AgreementError, match=f"writes it: {named}; join again with the kit"):
        agreed_by(tmp_path / "agreement.json", "center-d")


def test_an_absent_agreement_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(AgreementError, match=r"No such file or directory.*`concilium-center join` writes it"):
        agreed_by(tmp_path / "agreement.json", "center-d")


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return joined_home(tmp_path / "home")


def test_the_trainers_agreement_says_whose_it_is(home: CenterHome) -> None:
    found = agreed_by(home.trainer_agreement, "center-a")
    assert found is not None
    assert found.agreed_sha256 == kit(ENDPOINT).agreement.agreed_sha256
    with pytest.raises(AgreementError, match="that of center 'center-a', this trainer is center 'center-b'"):
        agreed_by(home.trainer_agreement, "center-b")


def test_the_rows_that_are_a_centers_own_are_agreed_to(tmp_path: Path) -> None:
    write_agreement(tmp_path / "agreement.json", "center-d", agreement(rows={"center": ("HGJ", "CHUS"), "used": "1"}))
    found = agreed_by(tmp_path / "agreement.json", "center-d")
    assert found is not None
    assert found.rows == {"center": ("HGJ", "CHUS"), "used": "1"}


def test_a_changed_letter_in_the_rows_of_a_center_is_noticed(tmp_path: Path) -> None:
    """It would take another center's patients for its own."""
    path = tmp_path / "agreement.json"
    write_agreement(path, "center-d", agreement(rows={"center": ("HGJ", "CHUS"), "used": "1"}))
    path.write_text(path.read_text().replace("HGJ", "HMR"))
    with pytest.raises(AgreementError, match=r"writes it: the text; join again with the kit \(it was changed"):
        agreed_by(path, "center-d")
