"""The arrays of a stored prediction, `predictions/<task>/<case>.npz`, whose zip carries a checksum of each."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import CaseError
from protocol.storage.regular_files import read_whole

DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, RuntimeError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""All that a zip or an array with a changed byte is known to raise: of the zip, its data, its array."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array by its name.

    Raises:
        CaseError: the file is missing or damaged.
    """
    try:
        with np.load(io.BytesIO(read_whole(path)), allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except DAMAGE as error:
        raise CaseError(f"prediction {path} cannot be read ({error!r}); evaluate the case again") from error
