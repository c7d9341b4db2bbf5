"""DICOM files that appear whole or not at all, readable for their owner alone."""

from io import BytesIO
from pathlib import Path

from pydicom import Dataset

from protocol.storage.atomic_files import write_private


def save_dataset(data: Dataset, path: Path) -> None:
    """Write a dataset that has its file meta information.

    Raises:
        StorageError: the file cannot be written.
    """
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    write_private(path, buffer.getvalue())
