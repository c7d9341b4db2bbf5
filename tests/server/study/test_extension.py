"""What may be added to a study, and what is refused by name."""

import tomllib
from pathlib import Path

import pytest

from protocol.errors import StudyError
from server.study.extension import added_stages, extend, read_addition
from server.study.file import Study
from tests.support.coordinator_root import STUDY
from tests.support.extended_study import addition, write_addition
from tests.support.study_text import centers_text, stage_text

NEW = centers_text(["center-d"]) + stage_text("come", ["center-d"], kind="arrive")
CT_ONLY = centers_text(["center-d"], {"center-d": 'modalities = ["ct"]'})


def study_of(text: str) -> Study:
    return Study.model_validate(tomllib.loads(text))


def extended(folder: Path, text: str, before: str = STUDY) -> tuple[str, Study]:
    return extend(study_of(before), before, addition(folder, text))


def test_what_is_there_stays_word_for_word_and_what_is_added_stands_after_it(tmp_path: Path) -> None:
    text, new = extended(tmp_path, "# May\n" + NEW)
    assert text.startswith(STUDY.rstrip())
    assert "# May" in text
    assert study_of(text) == new
    assert [stage.name for stage in added_stages(study_of(STUDY), new)] == ["come"]


def test_tables_within_lines_are_written_anew(tmp_path: Path) -> None:
    """A list of stages in one line can have no [[stages]] after it."""
    line = (
        'stages = [{name="adapt", kind="adapt", centers=["center-a"], rounds=1, local_steps=1, learning_rate=1e-3}]\n'
    )
    text, new = extended(tmp_path, NEW, line + STUDY.partition("\n[[stages]]")[0])
    assert study_of(text) == new
    assert [stage.name for stage in new.stages] == ["adapt", "come"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (centers_text(["center-a"]) + stage_text("come", ["center-a"]), r"has center\(s\) \['center-a'\] already"),
        (stage_text("adapt", ["center-a"]), "stage names must differ"),
        (stage_text("come", ["center-x"]), r"center\(s\) \['center-x'\] that the study does not define"),
        (stage_text("come", ["center-a"]) + 'task = "survival"\n', "survival"),
        (CT_ONLY + stage_text("come", ["center-d"]) + "modality_shares = { pet = 1.0 }\n", r"trains on \['pet'\]"),
        (CT_ONLY + stage_text("come", ["center-d"]) + 'groups = ["pet"]\n', "none of which it can"),
    ],
)
def test_an_addition_that_does_not_fit_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        extended(tmp_path, text)


def test_a_stage_of_fewer_centers_than_a_sum_needs_is_refused(tmp_path: Path) -> None:
    secure = STUDY.replace("\n[model]", "\n[secure_aggregation]\n\n[strategy]\ngate = false\n\n[model]")
    with pytest.raises(StudyError, match=r"stage 'come' has 1 center\(s\), a sum needs 3"):
        extended(tmp_path, NEW, secure)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not valid TOML"),
        ("seed = 1\n" + NEW, r"has \['seed'\]; an addition has"),
        (centers_text(["center-d"]), r"has no \[\[stages\]\]"),
        ('stages = "all"', r"has no \[\[stages\]\]"),
    ],
)
def test_what_is_no_addition_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read_addition(write_addition(tmp_path, text))


def test_an_addition_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none\.toml does not exist"):
        read_addition(tmp_path / "none.toml")
