"""A study is extended: its past is kept, the log tells it, what does not fit is refused, and a kill is put right."""

import tomllib
from pathlib import Path

import pytest

from deploy.study.study_extension import extend_study, plan_extension
from protocol.errors import StorageError, StudyError, WithdrawalError
from server.audit.verification import verify
from server.centers.registry import read_registry, write_registry
from server.study import directory as directories
from server.study.audit_log import read_events
from server.study.directory import StudyDirectory, read_prepared
from server.study.file import Study
from server.study.lock import hold_study
from server.study.recorder import Recorder
from tests.server.study.test_withdrawn import certify
from tests.support.coordinator_root import CENTERS, enroll, init_root
from tests.support.extended_study import addition
from tests.support.study_text import centers_text, stage_text

NEW = centers_text(["center-d"]) + stage_text("come", ["center-a", "center-d"], kind="arrive")


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    """Prepared and signed by its authority, whose key is at hand."""
    directory = init_root(tmp_path / "root")
    Recorder(directory).prepare()
    return directory


def test_the_new_stage_stands_in_the_study_its_past_in_versions_and_the_log_tells_it(
    directory: StudyDirectory, tmp_path: Path
) -> None:
    before = directory.study_file.read_text()
    done = extend_study(directory, addition(tmp_path, NEW))
    assert (done.under_way, done.signed, done.extension.centers) == (False, True, ("center-d",))
    assert done.extension.asked_anew == {"center-a": ("come",)}
    assert [stage.name for stage in read_prepared(directory.root).study.stages] == ["adapt", "come"]
    assert (done.kept / "study.toml").read_text() == before
    told = [found for found in read_events(directory.audit) if found.event == "extended"]
    assert [(found.facts["stages"], found.facts["centers"]) for found in told] == [(["come"], ["center-d"])]
    assert list(told[0].facts["asked_anew"]) == ["center-a"]
    assert verify(directory).findings == ()


def test_a_plan_changes_nothing(directory: StudyDirectory, tmp_path: Path) -> None:
    before = directory.study_file.read_text()
    assert plan_extension(directory, addition(tmp_path, NEW)).centers == ("center-d",)
    assert directory.study_file.read_text() == before
    assert not directory.versions.exists()


def test_a_folder_without_a_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere/study\.toml does not exist"):
        extend_study(StudyDirectory(tmp_path / "nowhere"), addition(tmp_path, NEW))
    assert not (tmp_path / "nowhere").exists()


def test_a_run_that_holds_the_study_is_told_of(directory: StudyDirectory, tmp_path: Path) -> None:
    with hold_study(directory.lock):
        assert extend_study(directory, addition(tmp_path, NEW)).under_way


def test_without_the_authoritys_key_the_log_is_not_signed(directory: StudyDirectory, tmp_path: Path) -> None:
    directory.authority_key.rename(tmp_path / "away.key")
    assert not extend_study(directory, addition(tmp_path, NEW)).signed


def test_a_center_that_is_revoked_is_refused(directory: StudyDirectory, tmp_path: Path) -> None:
    enroll(directory, CENTERS)
    registry = read_registry(directory.enrolment, "roots")
    revoked = registry.member("center-a").model_copy(update={"state": "revoked"})
    write_registry(directory.enrolment, registry.having("center-a", revoked))
    with pytest.raises(StudyError, match=r"center 'center-a' is revoked; invite it again first"):
        extend_study(directory, addition(tmp_path, NEW))


@pytest.mark.parametrize(("first_stage", "error"), [("", StudyError), ("adapt", WithdrawalError)])
def test_a_center_that_withdrew_is_refused(
    directory: StudyDirectory, tmp_path: Path, first_stage: str, error: type[Exception]
) -> None:
    certify(directory.root, first_stage)
    text = centers_text(["c"]) + stage_text("come", ["c"], kind="arrive")
    with pytest.raises(error, match="withdrew"):
        extend_study(directory, addition(tmp_path, text))


def test_adapters_that_the_study_was_not_prepared_with_are_refused(directory: StudyDirectory, tmp_path: Path) -> None:
    """The root's only tensor is of the adapter; a stage of `pet` alone has nothing to train."""
    text = stage_text("come", ["center-a"]) + 'groups = ["pet"]\n'
    with pytest.raises(StudyError, match=r"stage 'come' \(adapt\) has nothing to train"):
        extend_study(directory, addition(tmp_path, text))


def test_a_study_file_that_was_changed_by_hand_is_refused(directory: StudyDirectory, tmp_path: Path) -> None:
    directory.study_file.write_text(directory.study_file.read_text() + "\n")
    with pytest.raises(StudyError, match=r"is not as it was prepared: study\.toml"):
        extend_study(directory, addition(tmp_path, NEW))


@pytest.mark.parametrize("step", ["write_checksums", "write_text"])
def test_what_a_kill_left_is_put_right_by_the_command_given_again(
    directory: StudyDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before the checksums, and between them and the study file."""

    def killed(*_: object) -> None:
        raise StorageError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(directories, step, killed)
        with pytest.raises(StorageError):
            extend_study(directory, addition(tmp_path, NEW))
    assert [found.weight for found in verify(directory).findings] == ["unfinished"]
    extend_study(directory, addition(tmp_path, NEW))
    assert verify(directory).findings == ()
    assert [path.name for path in directory.versions.iterdir()] == ["0001"]
    assert len(Study.model_validate(tomllib.loads(directory.study_file.read_text())).stages) == 2


def test_more_stages_of_others_than_an_agreement_has_room_for_are_refused(
    directory: StudyDirectory, tmp_path: Path
) -> None:
    text = "".join(stage_text(f"more-{place}", ["center-a"]) for place in range(33))
    with pytest.raises(StudyError, match=r"center 'center-b' would be scored after 33 stages of others"):
        extend_study(directory, addition(tmp_path, text))
