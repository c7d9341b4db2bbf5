"""What a study was before it was extended."""

from pathlib import Path

import pytest

from protocol.errors import StorageError
from server.study.directory import StudyDirectory, replace_study
from server.study.versions import earlier_studies, is_extended, keep_version
from tests.support.coordinator_root import STUDY, init_root
from tests.support.study_text import stage_text

LONGER = STUDY + stage_text("again", ["center-a"])


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root")


def test_study_file_and_outputs_are_kept_once_a_version(directory: StudyDirectory) -> None:
    directory.result.write_text("{}")
    kept = keep_version(directory)
    assert {path.name for path in kept.iterdir()} == {"study.toml", "result.json"}
    assert directory.result.exists()
    assert keep_version(directory) == kept == directory.versions / "0001"
    replace_study(directory.root, LONGER)
    assert keep_version(directory).name == "0002"
    assert [len(study.stages) for study in earlier_studies(directory)] == [2, 1]


def test_a_disk_that_refuses_leaves_no_version(directory: StudyDirectory) -> None:
    directory.versions.write_text("in the way")
    with pytest.raises(StorageError):
        keep_version(directory)


def test_only_a_study_that_stands_as_it_was_written_counts_as_extended(directory: StudyDirectory) -> None:
    text = directory.study_file.read_bytes()
    assert not is_extended(directory, text)
    directory.study_file.write_text(LONGER)
    assert not is_extended(directory, text)
    replace_study(directory.root, LONGER)
    assert is_extended(directory, text)
