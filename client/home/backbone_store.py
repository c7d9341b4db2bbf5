"""Frozen backbones on a center's disk, by content hash: each crosses the network once.

    ROOT/<hash>.safetensors           what the coordinator sent, at most KEPT: the one used last stays longest
    ROOT/brought/<hash>.safetensors   what came as a file; it is never removed, since nobody sends it

A coordinator that names ever new ones fills no disk. One that is damaged is removed, and asked for again.
"""

import logging
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load, save

from protocol.errors import BackboneMissingError, ModelError
from protocol.messages.tensors import Tensors, content_hash
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole

logger = logging.getLogger(__name__)

NO_BACKBONE = content_hash({})
"""What names the backbone of a network that has none: nobody sends it, everybody holds it."""
KEPT = 4
"""The one in use, the one that a stage is making, that of the stage before, and one more."""
BROUGHT = "brought"
HASH = re.compile(r"[0-9a-f]{64}")


class BackboneStore:
    """Two folders of `<hash>.safetensors` files, for their owner alone."""

    def __init__(self, root: Path, kept: int = KEPT) -> None:
        self.root, self._kept = root, kept

    def add(self, tensors: Tensors, expected_hash: str) -> None:
        """Keep a backbone that arrived, in place of the one that was not used for longest where there are too many.

        Raises:
            ModelError: its content has another hash than the coordinator announced.
            StorageError: the disk refuses.
        """
        check_hash(tensors, expected_hash)
        path = self._path(expected_hash)
        write_private(path, save(dict(tensors)))
        _note_use(path)
        self._drop_surplus(path)

    def bring(self, tensors: Tensors, expected_hash: str) -> None:
        """Keep a backbone that a person brought, for as long as the home lasts.

        Raises:
            ModelError: its content has another hash than was agreed.
            StorageError: the disk refuses.
        """
        check_hash(tensors, expected_hash)
        write_private(self._path(expected_hash, BROUGHT), save(dict(tensors)))

    def get(self, expected_hash: str) -> Tensors:
        """A backbone by hash, verified; one that is damaged is removed.

        Raises:
            BackboneMissingError: this center does not hold it, or held a damaged one.
            ModelError: what names it is no hash.
        """
        if expected_hash == NO_BACKBONE:
            return {}
        paths = [self._path(expected_hash), self._path(expected_hash, BROUGHT)]
        found = next((tensors for path in paths if (tensors := _read(path, expected_hash)) is not None), None)
        if found is None:
            raise BackboneMissingError(f"backbone {expected_hash[:12]} is not in {self.root}; the coordinator sends it")
        return found

    def _path(self, content: str, folder: str = "") -> Path:
        if not HASH.fullmatch(content):
            raise ModelError(f"'{content[:80]}' names no backbone: expected 64 hexadecimal digits; nothing was done")
        return self.root / folder / f"{content}.safetensors"

    def _drop_surplus(self, newest: Path) -> None:
        others = [path for path in self.root.glob("*.safetensors") if path != newest]
        by_use = sorted(others, key=lambda path: path.stat().st_mtime_ns)
        for path in by_use[: max(0, len(others) + 1 - self._kept)]:
            logger.info("%s is removed: %d backbones that were used later are kept", path, self._kept)
            path.unlink(missing_ok=True)


def _read(path: Path, expected_hash: str) -> Tensors | None:
    """The backbone of a file, noted as used; None where there is none, or a damaged one, which is removed."""
    if not path.exists():
        return None
    try:
        tensors = load(read_whole(path))
        found = content_hash(tensors)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        found = str(error)
    if found == expected_hash:
        _note_use(path)
        return tensors
    logger.warning("backbone %s is damaged (%s): it is removed, and the coordinator asked for it again", path, found)
    path.unlink(missing_ok=True)
    return None


def _note_use(path: Path) -> None:
    """Make this file the one used last of its folder.

    A file's own time has the grain of the kernel's clock, milliseconds within which two uses look alike, and a clock
    may be set back: the new time is later than that of every other file whatever the clock says.
    """
    with suppress(OSError):
        others = (other.stat().st_mtime_ns for other in path.parent.glob("*.safetensors") if other != path)
        latest = max(time.time_ns(), 1 + max(others, default=0))
        os.utime(path, ns=(latest, latest))


def check_hash(tensors: Tensors, expected_hash: str) -> None:
    """Refuse a backbone that is not the one agreed on."""
    found = content_hash(tensors)
    if found != expected_hash:
        raise ModelError(f"backbone has content hash {found}, expected {expected_hash}; nothing was trained on it")
