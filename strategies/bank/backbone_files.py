"""The backbones of a bank: files by content hash, each announced before it is written or removed.

ROOT/backbones/<hash>.safetensors
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BankError
from protocol.messages.tensors import Tensors, content_hash
from protocol.storage.atomic_files import write_private
from strategies.bank import peft_format
from strategies.bank.told import Tell, digest

FOLDER = "backbones"
HASH = re.compile(r"[0-9a-f]{64}")


def backbone_path(root: Path, sha256: str) -> Path:
    """Where the bank at `root` keeps the backbone with this content hash.

    Raises:
        BankError: it is no content hash.
    """
    if not HASH.fullmatch(sha256):
        raise BankError(f"'{sha256}' is not a backbone's hash: expected 64 hexadecimal digits")
    return root / FOLDER / f"{sha256}.safetensors"


def hashes_in(folder: Path) -> tuple[str, ...]:
    """The content hashes that files of a folder are named by, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.safetensors") if HASH.fullmatch(path.stem)))


def put_backbone(root: Path, tensors: Tensors, tell: Tell) -> str:
    """Keep a backbone and return its content hash; one that is there already, whole, is not written again.

    Raises:
        StorageError: the disk refuses.
    """
    found = content_hash(tensors)
    path, data = backbone_path(root, found), peft_format.tensor_bytes(tensors)
    if not path.is_file() or path.read_bytes() != data:
        tell("backbone", {"sha256": found, "file_sha256": digest(data)})
        write_private(path, data)
    return found


def read_backbone(root: Path, sha256: str) -> dict[str, NDArray[np.float32]]:
    """The backbone with this content hash.

    Raises:
        BankError: it is missing, or what is there has another hash.
    """
    path = backbone_path(root, sha256)
    try:
        tensors = peft_format.read_tensors(path.read_bytes(), str(path))
    except OSError as error:
        raise BankError(f"{path} cannot be read ({error.strerror}); restore it from a copy of the bank") from error
    if (found := content_hash(tensors)) != sha256:
        raise BankError(f"{path} is damaged: content hash found {found}, expected {sha256}; restore it from a copy")
    return tensors


def remove_backbone(root: Path, sha256: str, tell: Tell) -> None:
    """Remove a backbone for good; of one that is not there nothing is told.

    Raises:
        OSError: it cannot be removed; it can be done again.
    """
    path = backbone_path(root, sha256)
    if path.exists():
        tell("backbone_removed", {"sha256": sha256})
        path.unlink()
