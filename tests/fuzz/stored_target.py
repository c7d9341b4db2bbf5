"""Stored files with damaged bytes: what decides a result is read as it was written, or refused."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from client.data.manifest import Manifest
from client.data.manifest_file import read_manifest, write_manifest
from protocol.errors import ConciliumError
from protocol.storage.sealed_json import read_sealed, seal
from tests.support.two_cases import scan, write_two_cases


class StoredTarget:
    """Reads bytes as the stored file that their first byte names; what is not refused must be what was written."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        root = Path(self._folder.name)
        self._file = root / "stored"
        manifest: Manifest = scan(write_two_cases(root / "data"))
        write_manifest(manifest, root / "manifest.json")
        content = {"name": "shared", "version": 3, "tensors": ["a", "b"], "share": 0.5}
        self._readers: tuple[tuple[Callable[[Path], object], bytes, object], ...] = (
            (read_manifest, (root / "manifest.json").read_bytes(), manifest),
            (read_sealed, seal(content), content),
        )
        self.seeds = tuple(bytes([place]) + stored for place, (_, stored, _) in enumerate(self._readers))

    def __call__(self, data: bytes) -> None:
        """Refused in words, or the very content."""
        read, _, written = self._readers[(data[0] if data else 0) % len(self._readers)]
        self._file.write_bytes(data[1:])
        try:
            found = read(self._file)
        except ConciliumError:
            return
        if found != written:
            raise AssertionError(f"{found!r} was read, {written!r} was written")
