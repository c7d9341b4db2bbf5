"""What a study was before it was extended: a folder a version, whose files stay as they were.

ROOT/versions/0001/    study.toml, and result.json, evaluation_matrix.json, report.html where there were any
"""

import logging
import shutil
from pathlib import Path

from protocol.errors import StorageError, StudyError
from protocol.storage.atomic_files import make_private_folder
from server.study.directory import StudyDirectory, read_prepared
from server.study.file import Study, read_study

logger = logging.getLogger(__name__)


def keep_version(directory: StudyDirectory) -> Path:
    """Keep the study file and the outputs as they are now; the version that was kept last where that is the same file.

    Returns:
        The version's folder.

    Raises:
        StorageError: the disk refuses; nothing half is left under a version's name.
    """
    kept = _folders(directory)
    if kept and (kept[-1] / directory.study_file.name).read_bytes() == directory.study_file.read_bytes():
        return kept[-1]
    folder = directory.versions / f"{len(kept) + 1:04d}"
    unfinished = folder.with_suffix(".part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        make_private_folder(directory.versions)
        make_private_folder(unfinished)
        for path in (directory.study_file, directory.result, directory.matrix, directory.report):
            if path.exists():
                shutil.copy2(path, unfinished / path.name)
        unfinished.rename(folder)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made ({error.strerror or error}); free the disk or correct the permissions, then "
            "extend the study again"
        ) from error
    return folder


def earlier_studies(directory: StudyDirectory) -> tuple[Study, ...]:
    """The study as it was, the latest version first.

    Raises:
        StudyError: a file of a version cannot be read any more.
    """
    return tuple(read_study(folder / directory.study_file.name) for folder in reversed(_folders(directory)))


def is_extended(directory: StudyDirectory, text: bytes) -> bool:
    """Whether the study file is another than `text`, and one that stands as `concilium extend` wrote it.

    One that was changed by hand, or is being written, is told in the log and changes nothing while the study runs.
    """
    if directory.study_file.read_bytes() == text:
        return False
    try:
        read_prepared(directory.root)
    except StudyError as error:
        logger.warning("the study goes on as it began: %s", error)
        return False
    return True


def _folders(directory: StudyDirectory) -> list[Path]:
    return sorted(path for path in directory.versions.glob("*") if path.is_dir() and path.name.isdigit())
