"""What of a study file concerns a center's data."""

from pathlib import Path

import pytest

from client.cli.study_part import read_study_part
from protocol.errors import StudyError
from server.study.file import read_study
from tests.support.clinical_table import SCHEMA, STUDY
from tests.support.small_study import write_study


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_the_settings_have_the_schema_and_every_task_once(tmp_path: Path) -> None:
    part = read_study_part(write(tmp_path, STUDY))
    assert part.settings.tasks == ("survival", "classification")
    assert part.settings.labels.model_dump() == SCHEMA.model_dump()
    assert (part.center("x").modalities, part.center("x").rows) == (("ehr",), {"center": "x"})


def test_a_whole_study_file_says_the_same_as_to_the_coordinator(tmp_path: Path) -> None:
    path = write_study(tmp_path / "study.toml")
    part, whole = read_study_part(path), read_study(path)
    for name in ("study", "seed", "tasks", "labels", "adapter", "preprocessing", "split"):
        assert getattr(part.settings, name) == getattr(whole.settings, name)
    assert {name: center.modalities for name, center in part.centers.items()} == {
        name: center.modalities for name, center in whole.centers.items()
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (STUDY.replace(', unit = "months"', ""), "labels.endpoints.distant.unit: Field required"),
        (STUDY.replace('"months"', '"moons"'), "labels.endpoints.distant.unit"),
        (STUDY.replace("edges_days", "edges"), "labels.survival.edges"),
        (STUDY.replace("edges_days = [365.0, 730.0]", ""), "needs labels.survival.edges_days"),
        ("name = ", "is not valid TOML"),
    ],
)
def test_what_concerns_the_data_must_be_right(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(StudyError, match=told):
        read_study_part(write(tmp_path, text))


def test_a_key_of_another_kind_is_told_with_where_keys_are_described(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"2 problem\(s\):\n(.*\n)+correct these keys as docs/study.md says"):
        read_study_part(write(tmp_path, "[model]\nname = 3\n"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none\.toml cannot be read"):
        read_study_part(tmp_path / "none.toml")


@pytest.mark.parametrize("center", ["center-a", "center-d"])
def test_the_rounds_of_a_center_are_those_that_the_coordinator_asks_for(tmp_path: Path, center: str) -> None:
    """Its roles, rates and local terms differ from round to round, and cost nothing."""
    path = write_study(tmp_path / "study.toml")
    whole = read_study(path)
    stages = {stage.name: stage for stage in whole.stages if center in stage.centers}
    found = read_study_part(path).training_at(center)
    assert [name for name, _, _ in found] == list(stages)
    for name, task, training in found:
        asked = whole.training_in(stages[name], 0)
        assert task == stages[name].task
        for field in ("groups", "local_steps", "batch_size", "modality_shares", "validate_first"):
            assert getattr(training, field) == getattr(asked, field)


def test_the_steps_of_a_center_are_those_of_all_its_stages(tmp_path: Path) -> None:
    """Two rounds of pretraining of two steps, two of adaptation of four; the last stage is another's."""
    part = read_study_part(write_study(tmp_path / "study.toml"))
    assert {name: part.steps_at(name) for name in ("center-a", "nobody")} == {"center-a": 12, "nobody": 0}
