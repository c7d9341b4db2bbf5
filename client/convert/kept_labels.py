"""Copies of labels that another one takes the place of, in the private folder: a clinician's work is never lost.

<private>/labels/<case>/1.nii.gz   the first that was replaced, and so on
"""

from pathlib import Path

from client.convert.case_folder import SUFFIX, checksum
from protocol.errors import StorageError
from protocol.storage.atomic_files import make_private_folder, write_private
from protocol.storage.regular_files import read_whole


def keep_copy(label: Path, folder: Path) -> Path:
    """Copy the file of a label into the folder of its case, for the owner alone; one that is there already is enough.

    Raises:
        StorageError: the disk is full or refuses; the label is untouched.
    """
    make_private_folder(folder)
    copies = sorted(folder.glob(f"[0-9]*{SUFFIX}"))
    kept = folder / f"{len(copies) + 1}{SUFFIX}"
    try:
        content = checksum(label)
        for copy in copies:
            if checksum(copy) == content:
                return copy
        write_private(kept, read_whole(label))
    except OSError as error:
        raise StorageError(f"{label} cannot be read ({error.strerror}); correct the permissions") from error
    return kept
