"""A center's own cases: scanned, split and prepared."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from client.service.cases import Cases
from client.service.trainer import Trainer
from protocol.messages.instruction import Instruction
from protocol.messages.settings import Model, Split, StudySettings
from server.study.file import Study
from tests.support.clinical_table import SCHEMA, write_table
from tests.support.two_cases import sound_gtv, write_file, write_two_cases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sound cases, "one" and "two"."""
    return write_two_cases(tmp_path / "images")


def test_the_split_has_a_seed_of_its_own_when_the_study_gives_one(both: Trainer, study: Study) -> None:
    for seed in (None, 77):
        split = study.settings.split.model_copy(update={"seed": seed})
        both.perform(Instruction(kind="register", settings=study.settings.model_copy(update={"split": split})))
    assert {path.name.split("-")[1] for path in both.home.glob("split-*.json")} == {"5", "77"}


def test_a_folder_without_cases_sends_a_code_and_keeps_the_reason(
    tmp_path: Path, study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer("center-x", [tmp_path / "none"], ("ct",), tmp_path / "home")
    reply = trainer.perform(Instruction(kind="register", settings=study.settings))
    assert (reply.error, dict(reply.facts)) == ("cases", {})
    assert "center 'center-x': folder: found no such folder" in caplog.text
    assert (tmp_path / "home" / "manifest.json").exists()


SETTINGS = StudySettings(
    study="s", seed=0, model=Model(name="any"), tasks=("survival", "classification"), labels=SCHEMA
)


def hospital(folder: Path, **cells: dict[str, str]) -> Trainer:
    """A trainer of ten patients with both classes and events, and of those that are given, in a table alone."""
    sound = {f"p{n}": {"metastasis": str(n % 2), "death_event": str(n % 2)} for n in range(10)}
    write_table(folder / "clinical.csv", {**sound, **cells}, key="patient")
    return Trainer("center-x", [folder], ("ehr",), folder.parent / "home")


def register(trainer: Trainer, settings: StudySettings = SETTINGS) -> tuple[str, dict[str, int | float | str]]:
    """Code and facts of the answer."""
    reply = trainer.perform(Instruction(kind="register", settings=settings))
    return reply.error, dict(reply.facts)


def test_a_center_with_a_table_and_no_image_takes_part(tmp_path: Path) -> None:
    error, facts = register(hospital(tmp_path / "hn"))
    parts = {"train_cases": 6, "validation_cases": 2, "test_cases": 2}
    assert error == ""
    machine = {"device": facts["device"], "precision": facts["precision"]}
    assert facts == {**parts, "cases": 10, "refused_cases": 0, "modalities": "ehr", **machine}


def test_a_part_has_targets_and_covariates_and_no_image(tmp_path: Path) -> None:
    (tmp_path / "hn").mkdir()
    write_table(tmp_path / "hn" / "labels.csv", {"p1": {}, "p2": {"death_days": "", "metastasis": "0"}})
    cases = Cases("x", [tmp_path / "hn"], ("ehr",), tmp_path / "home")
    settings = SETTINGS.model_copy(update={"split": Split(validation=0, test=0)})
    one, two = cases.part(settings, "train", lambda: None)
    assert (one.name, one.ct, one.modalities) == ("p1", None, ("ehr",))
    np.testing.assert_allclose(one.targets["survival"], np.array([[700, 0], [60.875, 1]]))
    np.testing.assert_array_equal(one.ehr, np.array([1.5, 0, 0, 1, 0], np.float32))
    np.testing.assert_allclose(two.targets["survival"], np.array([[np.nan, np.nan], [60.875, 1]]))
    assert (int(one.targets["classification"]), int(two.targets["classification"])) == (1, 0)


@pytest.mark.parametrize(
    "cells",
    [{"death_days": "-1"}, {"death_event": "2"}, {"age_years": "7"}, {"hpv": "?"}, {"death_days": "soon"}],
    ids=["negative", "event", "range", "category", "text"],
)
def test_a_table_that_cannot_be_answers_labels_and_names_the_case_here_alone(
    tmp_path: Path, cells: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert register(hospital(tmp_path / "hn", planted=cells)) == ("labels", {})
    assert "case 'planted': clinical.csv: found" in caplog.text


def test_a_table_that_was_mended_is_read_again_and_the_split_drawn_of_it(tmp_path: Path) -> None:
    trainer = hospital(tmp_path / "hn", planted={"death_days": "-1"})
    assert register(trainer)[0] == "labels"
    assert list(trainer.home.glob("split-*.json")) == []
    hospital(tmp_path / "hn", planted={"death_days": "1"})
    assert register(trainer)[0] == ""
    (path,) = trainer.home.glob("split-*.json")
    assert (path.name, "planted" in path.read_text()) == ("split-0-0.16-0.2-survival-classification.json", True)


def test_training_cases_of_one_class_answer_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = hospital(tmp_path / "hn", **{f"p{n}": {} for n in range(10)})
    assert register(trainer)[0] == "labels"
    assert "found 6 of '1', expected also 0" in caplog.text


def test_times_that_are_all_censored_answer_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    censored = {"death_event": "0", "distant_event": "0"}
    trainer = hospital(tmp_path / "hn", **{f"p{n}": {**censored, "metastasis": str(n % 2)} for n in range(10)})
    assert register(trainer)[0] == "labels"
    assert "found 6 time(s) to 'death', all censored" in caplog.text


def test_the_trainer_starts_without_reading_a_table_that_no_study_has_named_yet(tmp_path: Path) -> None:
    hospital(tmp_path / "hn").check_images()
    assert not (tmp_path / "home" / "manifest.json").exists()


def test_labels_do_not_enter_the_cache_of_images(folder: Path, tmp_path: Path) -> None:
    plain = StudySettings(study="s", seed=0, model=Model(name="any"))
    labelled = plain.model_copy(update={"tasks": ("segmentation", "classification"), "labels": SCHEMA})
    write_table(folder / "labels.csv", {"one": {}, "two": {"metastasis": "0"}})
    for settings in (plain, labelled.model_copy(update={"split": Split(validation=0, test=0)})):
        Cases("a", [folder], ("ct",), tmp_path / "home").part(settings, "train", lambda: None)
    assert len(list((tmp_path / "home" / "cache").iterdir())) == 2


SEGMENTED = StudySettings(study="s", seed=0, model=Model(name="any"), split=Split(validation=0, test=0.4))


def test_a_stage_begins_with_the_cases_that_came_since_and_nobody_moves(tmp_path: Path, folder: Path) -> None:
    """A third case trains from the next stage on; a contour that changed is prepared anew."""
    cases = Cases("a", (folder,), ("ct",), tmp_path / "home")
    before = dict(cases.split(SEGMENTED))
    (prepared,) = cases.part(SEGMENTED, "train", lambda: None)
    shutil.copytree(folder / "one", folder / "three")
    mask = sound_gtv()
    mask[:, 0, :] = 1
    write_file(folder / prepared.name / "gtv.nii.gz", mask, 2.0, "mask")
    assert cases.split(SEGMENTED) == before, "within a stage nothing changes"
    assert cases.refresh()
    assert cases.split(SEGMENTED) == {**before, "three": "train"}
    again = {case.name: case for case in cases.part(SEGMENTED, "train", lambda: None)}
    assert again[prepared.name].targets["segmentation"].sum() > prepared.targets["segmentation"].sum()
    assert not cases.refresh(), "nothing changed since"


def test_within_a_stage_what_came_waits_what_went_is_out_and_what_changed_is_what_it_is(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether or not the trainer starts anew in between."""
    running = Cases("a", (folder,), ("ct",), tmp_path / "home")
    assert running.fix(SEGMENTED)["cases"] == 2
    (trains,) = running.part(SEGMENTED, "train", lambda: None)
    (tests,) = {"one", "two"} - {trains.name}
    shutil.copytree(folder / "one", folder / "three")
    assert not running.refresh_known(), "what came alone needs no second look"
    mask = sound_gtv()
    mask[:, 0, :] = 1
    write_file(folder / trains.name / "gtv.nii.gz", mask, 2.0, "mask")
    shutil.rmtree(folder / tests)
    assert running.refresh_known()
    for cases in (running, Cases("a", (folder,), ("ct",), tmp_path / "home")):
        (now,) = cases.part(SEGMENTED, "train", lambda: None)
        assert (now.name, cases.part(SEGMENTED, "test", lambda: None)) == (trains.name, [])
        assert now.targets["segmentation"].sum() > trains.targets["segmentation"].sum()
        assert cases.count_missing(SEGMENTED) == 1
    assert f"case '{tests}' takes part in nothing" in caplog.text
    assert running.fix(SEGMENTED)["cases"] == 2, "three has come, and the other is gone"
    assert running.count_missing(SEGMENTED) == 0


def test_folders_that_nobody_asked_about_need_no_second_look(tmp_path: Path, folder: Path) -> None:
    assert not Cases("a", (folder,), ("ct",), tmp_path / "home").refresh()
