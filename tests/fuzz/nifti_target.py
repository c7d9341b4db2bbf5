"""Bytes read as a NIfTI image by the whole reader."""

import gzip
import tempfile
from pathlib import Path

import numpy as np

from client.data.volume import IDENTITY, Volume, read_volume, write_volume
from protocol.errors import CaseError

PACKED = b"\x01"


class NiftiTarget:
    """Reads bytes as a plain file; after a first byte of 1, the rest as what a packed one holds, or as a packed one."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._plain, self._packed = (Path(self._folder.name, name) for name in ("ct.nii", "ct.nii.gz"))
        volume = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), (3, 2, 1), (7, 8, 9), IDENTITY, "ct_hu")
        write_volume(volume, self._plain)
        whole = self._plain.read_bytes()
        halves = gzip.compress(whole[:400], mtime=0) + gzip.compress(whole[400:], mtime=0)
        self.seeds = (whole, PACKED + gzip.compress(whole, mtime=0), PACKED + halves, PACKED + whole)

    def __call__(self, data: bytes) -> None:
        """Only the documented error may come of it, and never an image of more voxels than there are bytes."""
        path = self._packed if data[:1] == PACKED else self._plain
        path.write_bytes(data.removeprefix(PACKED))
        try:
            volume = read_volume(path, "mask")
        except CaseError:
            return
        if path == self._plain and volume.array_zyx.size > len(data):
            raise AssertionError(f"{volume.array_zyx.size} voxels of {len(data)} bytes")
