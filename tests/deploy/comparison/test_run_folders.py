"""Where runs lie, and what is refused rather than overwritten."""

import json
from pathlib import Path

import pytest

from deploy.comparison.planner import Run
from deploy.comparison.run_folders import backbone_folder, folder_of, is_complete, refuse_other_studies
from protocol.errors import StudyError


def leave(folder: Path, text: str, status: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text(text)
    (folder / "result.json").write_text(json.dumps({"status": status}))
    return folder


def test_a_fold_has_folders_of_its_own() -> None:
    out = Path("out")
    assert folder_of(out, Run("arm", "forward", 1, {})) == out / "runs" / "arm" / "forward" / "1"
    assert folder_of(out, Run("arm", "forward", 1, {}, fold=2)) == out / "runs" / "arm" / "forward" / "fold-2" / "1"
    assert (backbone_folder(out, 0), backbone_folder(out, 2)) == (out / "backbone", out / "backbone" / "fold-2")


def test_a_run_is_complete_when_its_result_is_and_its_study_is_the_one_asked_for(tmp_path: Path) -> None:
    done, stopped = leave(tmp_path / "done", "one", "complete"), leave(tmp_path / "stopped", "one", "running")
    assert is_complete(done, "one")
    assert not any((is_complete(done, "two"), is_complete(stopped, "one"), is_complete(tmp_path / "none", "one")))


def test_runs_of_another_study_are_listed_and_kept(tmp_path: Path) -> None:
    folder = leave(tmp_path / "done", "one", "complete")
    refuse_other_studies({folder: "one", tmp_path / "none": "two"})
    with pytest.raises(StudyError, match=r"1 folder\(s\) hold runs of another version"):
        refuse_other_studies({folder: "two"})
