"""Frozen backbones on a center's disk, by content hash: each crosses the network once."""

from pathlib import Path

from safetensors.numpy import load_file, save

from protocol.errors import BackboneMissingError, ModelError
from protocol.messages.tensors import Tensors, content_hash
from protocol.storage.atomic_files import write_bytes

NO_BACKBONE = content_hash({})
"""What names the backbone of a network that has none: nobody sends it, everybody holds it."""


class BackboneStore:
    """A folder of `<hash>.safetensors` files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, tensors: Tensors, expected_hash: str) -> None:
        """Keep a backbone that arrived.

        Raises:
            ModelError: its content has another hash than the coordinator announced.
        """
        check_hash(tensors, expected_hash)
        self.root.mkdir(parents=True, exist_ok=True)
        write_bytes(self._path(expected_hash), save(dict(tensors)))

    def get(self, expected_hash: str) -> Tensors:
        """A backbone by hash, verified.

        Raises:
            BackboneMissingError: this center does not hold it.
            ModelError: the file was damaged.
        """
        if expected_hash == NO_BACKBONE:
            return {}
        path = self._path(expected_hash)
        if not path.exists():
            raise BackboneMissingError(f"backbone {expected_hash[:12]} is not in {self.root}; the coordinator sends it")
        tensors = load_file(path)
        check_hash(tensors, expected_hash)
        return tensors

    def _path(self, content: str) -> Path:
        return self.root / f"{content}.safetensors"


def check_hash(tensors: Tensors, expected_hash: str) -> None:
    """Refuse a backbone that is not the one agreed on."""
    found = content_hash(tensors)
    if found != expected_hash:
        raise ModelError(f"backbone has content hash {found}, expected {expected_hash}; nothing was trained on it")
