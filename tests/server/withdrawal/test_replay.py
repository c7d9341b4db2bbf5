"""The directory of a replay: whole or not there, and never over something else."""

from pathlib import Path
from unittest.mock import patch

import pytest

from protocol.errors import WithdrawalError
from protocol.storage.atomic_files import write_bytes
from server.audit.verification import verify
from server.study.checkpoint import load
from server.study.directory import StudyDirectory, read_prepared
from server.study.stage_states import read_stage_state
from server.withdrawal import replay
from server.withdrawal.backbones import prepared_backbone
from server.withdrawal.replay import write_replay
from strategies.bank.backbone_files import hashes_in
from strategies.bank.bank import AdapterBank
from tests.support.withdrawn_study import NEVER_THERE, light_late_comer, study_of


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    return light_late_comer(tmp_path_factory.mktemp("late")).directory


def test_it_holds_the_study_without_the_center_up_to_its_first_stage(directory: StudyDirectory, tmp_path: Path) -> None:
    made = write_replay(directory, "c", read_stage_state(directory, 1), tmp_path / "new")
    new = StudyDirectory(tmp_path / "new")
    assert (made.first_stage, made.stages) == (1, ("stage-2", "stage-3"))
    assert read_prepared(new.root).study == study_of(NEVER_THERE)
    assert [entry.reference for entry in AdapterBank(new.bank).entries()] == ["a/0001", "b/0001", "shared/0001"]
    state = load(new.checkpoint)
    assert state is not None
    assert (state.stage_index, state.server_round) == (1, 2)
    assert verify(new).findings == ()
    assert write_replay(directory, "c", read_stage_state(directory, 1), tmp_path / "new") == made


@pytest.mark.parametrize("stages_before", [None, 1])
def test_of_backbones_to_be_sent_it_has_those_that_it_begins_with_alone(
    stages_before: int | None, directory: StudyDirectory, tmp_path: Path
) -> None:
    """One that a later stage trained is not among them."""
    (begun,) = hashes_in(directory.bank / "backbones")
    assert begun == prepared_backbone(read_prepared(directory.root))
    for sha256 in (begun, "0" * 64):
        write_bytes(directory.backbones / f"{sha256}.safetensors", b"")
    state = None if stages_before is None else read_stage_state(directory, stages_before)
    write_replay(directory, "c", state, tmp_path / "new")
    assert hashes_in(StudyDirectory(tmp_path / "new").backbones) == (begun,)


def test_a_folder_with_something_else_is_refused(directory: StudyDirectory, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "thesis.tex").write_text("")
    with pytest.raises(WithdrawalError, match="is not empty"):
        write_replay(directory, "c", None, tmp_path / "new")


def test_a_kill_leaves_no_half_of_it(directory: StudyDirectory, tmp_path: Path) -> None:
    with patch.object(replay, "_put_in_place", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        write_replay(directory, "c", None, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert write_replay(directory, "c", None, tmp_path / "new").stages == ("stage-1", "stage-2", "stage-3")
