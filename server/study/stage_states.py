"""The checkpoint as it was when a stage began: what a center that withdraws can be undone from exactly.

    ROOT/stages/0002.safetensors    after the first two stages, before a round of the third
    ROOT/stages/history.jsonl       the study's history, of whose lines each of them counts the first

Each is a second name of the checkpoint's file, which is replaced and never changed: it costs no time, and its room
once the next checkpoint is written. So is the history, which grows and is never replaced.
"""

import os
from contextlib import suppress
from pathlib import Path

from protocol.errors import StorageError
from protocol.storage.atomic_files import make_private_folder
from server.study.checkpoint import Checkpoint, load
from server.study.directory import StudyDirectory
from server.study.history_file import HistoryFile


def keep_stage_state(directory: StudyDirectory, stage_index: int) -> None:
    """Keep the checkpoint as the state before the stage at this position; one that is kept already is replaced.

    Raises:
        StorageError: the disk refuses, or knows no second names.
    """
    path = state_path(directory, stage_index)
    make_private_folder(path.parent)
    history = HistoryFile(directory.checkpoint).path
    if history.exists():
        _name_again(history, path.parent / history.name)
    _name_again(directory.checkpoint, path)


def _name_again(file: Path, path: Path) -> None:
    unfinished = path.with_suffix(".part")
    try:
        unfinished.unlink(missing_ok=True)
        os.link(file, unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be made a second name of {file} ({error.strerror or error}); keep a study on a disk that "
            "knows them"
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def read_stage_state(directory: StudyDirectory, stage_index: int) -> Checkpoint | None:
    """The state before the stage at this position; None where none was kept.

    Raises:
        StorageError: the file is damaged.
    """
    return load(state_path(directory, stage_index))


def kept_stage_states(directory: StudyDirectory) -> tuple[int, ...]:
    """The positions of the stages whose beginning is kept."""
    return tuple(sorted(int(path.stem) for path in directory.stage_states.glob("*.safetensors")))


def state_path(directory: StudyDirectory, stage_index: int) -> Path:
    """Where the state before the stage at this position is kept."""
    return directory.stage_states / f"{stage_index:04d}.safetensors"
