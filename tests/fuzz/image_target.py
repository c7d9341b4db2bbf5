"""Bytes read as an image of another format than NIfTI, plain and packed."""

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from client.data.volume import read_volume
from protocol.errors import CaseError

FILES = (("plain.nrrd", False), ("packed.nrrd", True), ("plain.mha", False), ("packed.mha", True))


class ImageTarget:
    """Reads bytes as the kind of file that their first byte names."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._paths = [Path(self._folder.name, name) for name, _ in FILES]
        image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
        for path, (_, packed) in zip(self._paths, FILES, strict=True):
            sitk.WriteImage(image, str(path), packed)
        self.seeds = tuple(bytes([place]) + path.read_bytes() for place, path in enumerate(self._paths))

    def __call__(self, data: bytes) -> None:
        """Only the documented error may come of it."""
        path = self._paths[(data[0] if data else 0) % len(self._paths)]
        path.write_bytes(data[1:])
        try:
            read_volume(path, "mask")
        except CaseError:
            return
