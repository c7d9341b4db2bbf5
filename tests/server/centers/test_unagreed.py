"""Who has not agreed to which stages of a study that was extended."""

from pathlib import Path

import pytest

from server.centers.registry import read_registry, write_registry
from server.centers.study_plan import digest_of
from server.centers.unagreed import agreement_notices, stages_not_agreed
from server.study.directory import StudyDirectory, replace_study
from server.study.file import read_study
from server.study.versions import keep_version
from tests.support.coordinator_root import STUDY, enroll, init_root
from tests.support.study_text import stage_text


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    """Centers a and b agreed to the study; then a stage of center a was added."""
    directory = init_root(tmp_path / "root")
    enroll(directory, ["center-a", "center-b"])
    change(directory, "center-a", agreed_sha256=digest_of(read_study(directory.study_file), "center-a"))
    change(directory, "center-b", agreed_sha256=digest_of(read_study(directory.study_file), "center-b"))
    keep_version(directory)
    replace_study(directory.root, STUDY + stage_text("again", ["center-a"]))
    return directory


def change(directory: StudyDirectory, center: str, **changes: str) -> None:
    registry = read_registry(directory.enrolment, "roots")
    write_registry(directory.enrolment, registry.having(center, registry.member(center).model_copy(update=changes)))


def behind(directory: StudyDirectory) -> dict[str, tuple[str, ...]]:
    study = read_study(directory.study_file)
    return stages_not_agreed(directory, study, read_registry(directory.enrolment, "roots").members)


def test_only_who_trains_in_the_new_stage_has_not_agreed_to_it(directory: StudyDirectory) -> None:
    assert behind(directory) == {"center-a": ("again",)}


def test_who_has_agreed_since_takes_part(directory: StudyDirectory) -> None:
    change(directory, "center-a", agreed_sha256=digest_of(read_study(directory.study_file), "center-a"))
    assert behind(directory) == {}


def test_an_agreement_with_no_version_of_the_study_is_not_one_that_was_outgrown(directory: StudyDirectory) -> None:
    change(directory, "center-a", agreed_sha256="0" * 64)
    assert behind(directory) == {}


def test_the_notice_says_what_lets_the_center_take_part(directory: StudyDirectory) -> None:
    (notice,) = agreement_notices(directory)
    assert notice.startswith("center 'center-a' has not agreed to stage(s) again and sits out there; send it a new kit")
    change(directory, "center-a", offered_sha256="0" * 64)
    (notice,) = agreement_notices(directory)
    assert "its new kit is out" in notice
