"""Copies of labels that another one takes the place of, in the private folder: a clinician's work is never lost.

<private>/labels/<case>/1.nii.gz   the first that was replaced, and so on
"""

import shutil
from pathlib import Path

from client.convert.case_folder import SUFFIX, checksum
from protocol.errors import StorageError
from protocol.storage.atomic_files import make_private_folder


def keep_copy(label: Path, folder: Path) -> Path:
    """Copy the file of a label into the folder of its case, for the owner alone; one that is there already is enough.

    Raises:
        StorageError: the disk is full or refuses; the label is untouched.
    """
    make_private_folder(folder)
    copies = sorted(folder.glob(f"[0-9]*{SUFFIX}"))
    content = checksum(label)
    for copy in copies:
        if checksum(copy) == content:
            return copy
    kept = folder / f"{len(copies) + 1}{SUFFIX}"
    unfinished = folder / f".{kept.name}.part"
    try:
        shutil.copyfile(label, unfinished)
        unfinished.chmod(0o600)
        unfinished.replace(kept)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StorageError(f"{kept} cannot be written ({error.strerror}); free some space there") from error
    return kept
