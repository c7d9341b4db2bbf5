"""A center does what it agreed to and nothing else: one study's settings, and no more work than it allows."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.home.agreement import ANY_STUDY, AgreementError, agreed_by, check_agreed
from client.home.center_home import CenterHome
from client.service.trainer import Trainer
from protocol.messages.reply import Reply
from protocol.messages.settings import settings_digest
from server.study.file import Study, read_study
from tests.support.coordinator_stand_in import kit
from tests.support.joined_home import ENDPOINT, joined_home
from tests.support.one_center import asked
from tests.support.small_study import STUDY, write_study

AGREED = '{"study": "small", "title": "A study", "settings_sha256": "' + "a" * 64 + '", "image": "x"}'


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
    reply = center(cohort, tmp_path, agreed="a" * 64).perform(asked(study))
    assert reply == Reply("center-d", "train", error="other-study")
    assert {path.name for path in tmp_path.iterdir()} == {"outgoing.jsonl", "outgoing.head", "outgoing.lock"}
    assert "this center agreed to aaaaaaaaaaaa" in caplog.text


def test_a_round_of_more_steps_than_the_center_allows_is_refused(cohort: Path, tmp_path: Path, study: Study) -> None:
    """The adapt stage asks for four."""
    assert center(cohort, tmp_path / "three", maximum_steps=3).perform(asked(study)).error == "excessive"
    assert center(cohort, tmp_path / "four", maximum_steps=4).perform(asked(study)).error == ""


def test_the_settings_agreed_to_are_served_whatever_the_centers_rank(
    cohort: Path, tmp_path: Path, study: Study
) -> None:
    ranked = read_study(write_study(tmp_path / "study.toml", STUDY.replace("rank = 2", "rank = 3"))).settings
    assert ranked != study.settings
    agreed = settings_digest(study.settings)
    check_agreed(replace(asked(study), settings=ranked), "center-d", agreed, 100)
    assert center(cohort, tmp_path / "home", agreed=agreed).perform(asked(study, "register")).error == ""


def test_the_agreement_is_read_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "agreement.json").write_text(AGREED)
    assert agreed_by(tmp_path / "agreement.json", "center-d").settings_sha256 == "a" * 64
    assert "this center agreed to study 'small' (A study), settings aaaaaaaaaaaa" in caplog.text


def test_a_trainer_without_agreement_takes_any_study_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert agreed_by(None, "center-d") == ANY_STUDY
    assert ANY_STUDY.settings_sha256 == ""
    assert "takes instructions of any study" in caplog.text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (AGREED.replace("a" * 64, "a" * 63), "settings_sha256"),
        (AGREED.replace('"small"', "3"), "study"),
        (AGREED.replace('"title": "A study", ', ""), "title"),
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
    agreed = kit(ENDPOINT).agreement.settings_sha256
    assert agreed_by(home.trainer_agreement, "center-a").settings_sha256 == agreed
    with pytest.raises(AgreementError, match="that of center 'center-a', this trainer is center 'center-b'"):
        agreed_by(home.trainer_agreement, "center-b")


def test_the_rows_that_are_a_centers_own_are_agreed_to(tmp_path: Path) -> None:
    shared = AGREED.replace("}", ', "rows": {"center": ["HGJ", "CHUS"], "used": "1"}}')
    (tmp_path / "agreement.json").write_text(shared)
    assert agreed_by(tmp_path / "agreement.json", "center-d").rows == {"center": ("HGJ", "CHUS"), "used": "1"}
