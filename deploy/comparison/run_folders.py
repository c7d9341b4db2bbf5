"""Where runs and backbones of a benchmark lie, and whether what lies there is what the file asks for."""

from collections.abc import Mapping
from pathlib import Path

from deploy.comparison.planner import BACKBONE_RUN, Run, fold_folders
from protocol.errors import StudyError
from server.results.result import read_result
from server.study.directory import StudyDirectory

RUNS = "runs"


def folder_of(out: Path, run: Run) -> Path:
    """Where a run leaves everything."""
    return out / RUNS / run.name


def backbone_folder(out: Path, fold: int) -> Path:
    """Where the study that trains the backbone of a fold leaves everything."""
    return out.joinpath(BACKBONE_RUN, *fold_folders(fold))


def is_complete(folder: Path, text: str) -> bool:
    """Whether the study of this text was carried out in `folder`."""
    directory = StudyDirectory(folder)
    if not directory.result.exists() or not directory.study_file.exists():
        return False
    same = directory.study_file.read_text() == text
    found = read_result(directory.result)
    return same and found is not None and found["status"] == "complete"


def refuse_other_studies(texts: Mapping[Path, str]) -> None:
    """Results are not overwritten: a folder that holds a run of another study has to be moved by its owner.

    Raises:
        StudyError: lists those folders.
    """
    files = {folder: StudyDirectory(folder).study_file for folder in texts}
    other = [str(folder) for folder, file in files.items() if file.exists() and file.read_text() != texts[folder]]
    if other:
        listed = "\n".join(f"  {folder}" for folder in other)
        raise StudyError(
            f"{len(other)} folder(s) hold runs of another version of the benchmark file or of another backbone; remove "
            f"them or give another --out:\n{listed}"
        )
