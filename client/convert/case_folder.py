"""The folder of a converted case: images and record, seen whole or not at all.

A new folder is written beside the old one, then takes its place; what a killed program leaves of it begins with a dot
and ends with ".part", and the next run removes it.
"""

import hashlib
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.convert.contract import ReadCase
from client.data.conversion import RECORD, Conversion
from client.data.conversion_file import write_conversion
from client.data.manifest import File
from client.data.volume import Volume, write_volume
from protocol.errors import StorageError
from protocol.storage.atomic_files import CASE_FILE, CASE_FOLDER
from protocol.storage.regular_files import open_regular

SUFFIX = ".nii.gz"


def write_case(folder: Path, volumes: Mapping[File, Volume], record: Conversion) -> dict[str, str]:
    """Write images and record as the folder of a case, in place of one that is there; file name -> SHA-256.

    Raises:
        StorageError: the disk is full or refuses; the folder that was there is untouched.
    """
    unfinished = _beside(folder)
    try:
        unfinished.mkdir(mode=CASE_FOLDER)
        for file, volume in volumes.items():
            write_volume(_pack(volume), unfinished / f"{file}{SUFFIX}", mode=CASE_FILE)
        write_conversion(record, unfinished)
        checksums = {path.name: checksum(path) for path in sorted(unfinished.iterdir())}
        _take_place(unfinished, folder)
    except OSError as error:
        raise StorageError(
            f"case folder {folder} could not be written ({error.strerror or error}); free some space there or correct "
            "the permissions, then convert again: what was converted stays"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return checksums


def fits(folder: Path, checksums: Mapping[str, str]) -> bool:
    """Whether a folder holds the files of these checksums, and no other image."""
    if {path.name for path in folder.glob(f"*{SUFFIX}")} != set(checksums) - {RECORD}:
        return False
    try:
        return all(checksum(folder / name) == expected for name, expected in checksums.items())
    except OSError:
        return False


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def volumes_of(read: ReadCase) -> dict[File, Volume]:
    """What was read of a case, by file."""
    found: Mapping[File, Volume | None] = {"ct": read.ct, "pet": read.pet, "gtv": read.gtv}
    return {file: volume for file, volume in found.items() if volume is not None}


def _pack(volume: Volume) -> Volume:
    """CT in whole HU as int16, PET as float32, a mask as uint8: the same values, in fewer bytes."""
    if volume.quantity == "mask":
        return replace(volume, array_zyx=volume.array_zyx.astype(np.uint8))
    whole = _as_int16(volume.array_zyx) if volume.quantity == "ct_hu" else None
    return replace(volume, array_zyx=volume.array_zyx.astype(np.float32, copy=False) if whole is None else whole)


def _as_int16(values: NDArray[Any]) -> NDArray[np.int16] | None:
    """The same values as whole numbers; None where they are none, or too large."""
    limits, low, high = np.iinfo(np.int16), values.min(), values.max()
    if not np.isfinite([low, high]).all() or low < limits.min or high > limits.max:
        return None
    whole = values.astype(np.int16)
    return whole if np.array_equal(whole, values) else None


def _take_place(unfinished: Path, folder: Path) -> None:
    old = _beside(folder)
    if folder.exists():
        folder.rename(old)
    try:
        unfinished.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
