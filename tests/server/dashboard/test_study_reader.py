"""What is read of a study's directory, and what happens where it cannot be."""

from pathlib import Path

import pytest

from protocol.errors import StorageError, StudyError
from server.dashboard.study_reader import StudyReader
from server.study import checkpoint as module
from server.study.checkpoint import Checkpoint, save
from server.study.directory import StudyDirectory
from tests.support.coordinator_root import init_root
from tests.support.shown_study import checkpoint, make_shown_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    return make_shown_study(tmp_path_factory.mktemp("shown") / "root")


def test_the_history_is_the_result_s(study: StudyDirectory):
    """Five rounds of three centers in 1500 s: 300 s a round, and three are left."""
    past = StudyReader(study).past()
    assert (len(past.result["rounds"]), past.server_round) == (15, 5)
    assert past.result["bytes"]["down"] == 15 * 2_000_000
    assert past.estimate is not None
    assert past.estimate.round_s == 300.0


def test_a_file_that_has_not_changed_is_read_once(study: StudyDirectory):
    reader = StudyReader(study)
    first = reader.past()
    assert reader.past() is first
    assert reader.bank() is reader.bank()
    save(study.checkpoint, Checkpoint(0, 0, "", {}))
    try:
        assert reader.past().server_round == 0
    finally:
        save(study.checkpoint, checkpoint())


def test_the_bank_is_told_with_its_lineage(study: StudyDirectory):
    (row,) = StudyReader(study).bank()
    assert (row.entry.reference, row.entry.parent, row.in_use, row.withdrawn) == ("shared/0001", None, True, "")


def test_before_the_first_round_there_is_nothing(tmp_path: Path):
    reader = StudyReader(init_root(tmp_path / "root"))
    assert (reader.past().server_round, reader.past().estimate, reader.bank()) == (0, None, ())


def test_a_folder_that_is_no_study_s_is_refused(tmp_path: Path):
    with pytest.raises(StudyError):
        StudyReader(StudyDirectory(tmp_path))


def test_a_checkpoint_of_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    directory = init_root(tmp_path / "root")
    monkeypatch.setattr(module, "SCHEMA", 3)
    save(directory.checkpoint, Checkpoint(0, 0, "", {}))
    monkeypatch.undo()
    with pytest.raises(StorageError, match="has schema 3, this version of concilium reads 5"):
        StudyReader(directory).past()
