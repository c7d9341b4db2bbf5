"""Payloads of the round in progress, on disk as they arrive, so that memory holds one at a time.

    ROOT/<round>-<digest of stage>/<center>.safetensors          accepted payloads
    ROOT/late/<center>-<digest of stage and round>.safetensors   what arrived too late to be used, and why

Each file holds the tensors and, in its metadata, the other fields as JSON with a SHA-256 over both. It appears in one
rename, whole or not at all. Aggregation reads them one after another, so that its memory does not grow with the
number of centers.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save as safetensors_bytes

from protocol.errors import PayloadError, StorageError
from protocol.messages.payload import Payload
from protocol.messages.tensors import content_hash
from protocol.messages.text import from_text, to_text
from protocol.names import NAME
from protocol.storage.atomic_files import remove_unfinished, write_private

LATE, ENDING = "late", ".safetensors"


class Inbox:
    """An inbox on disk; opening one clears what a killed writer left unfinished.

    Args:
        root: its folder, made when the first payload arrives; nobody else writes there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        remove_unfinished(root)

    def put(self, payload: Payload) -> None:
        """Keep an accepted payload; the same center's earlier one of that round is replaced.

        Raises:
            StorageError: the center's name cannot name a file, or the disk refuses.
        """
        folder = self._folder(payload.stage, payload.server_round)
        write_private(folder / f"{_name(payload.center)}{ENDING}", _pack(payload))

    def discard(self, center: str, stage: str, server_round: int) -> None:
        """Remove a center's payload of a round, where there is one.

        Raises:
            StorageError: the center's name cannot name a file, or the disk refuses.
        """
        _unlink(self._folder(stage, server_round) / f"{_name(center)}{ENDING}")

    def put_aside(self, payload: Payload, reason: str) -> None:
        """Keep a payload that is not used, with the reason, for a person to look at; it is never read back.

        Raises:
            StorageError: the center's name cannot name a file, or the disk refuses.
        """
        path = self._aside(payload.center, payload.stage, payload.server_round, reason)
        write_private(path, _pack(payload, reason))

    def has_put_aside(self, center: str, stage: str, server_round: int, reason: str) -> bool:
        """Whether a payload of this center and round was put aside for this reason."""
        return self._aside(center, stage, server_round, reason).exists()

    def centers(self, stage: str, server_round: int) -> tuple[str, ...]:
        """The centers whose payload of a round is here, sorted."""
        found = self._folder(stage, server_round).glob(f"*{ENDING}")
        return tuple(sorted(path.name.removesuffix(ENDING) for path in found))

    def payloads(self, stage: str, server_round: int) -> Iterator[Payload]:
        """The payloads of a round in the order of `centers`, each read and verified when its turn comes.

        Raises:
            StorageError: a file is damaged, or is not the center's payload of this round; names it.
        """
        folder = self._folder(stage, server_round)
        for center in self.centers(stage, server_round):
            yield _read(folder / f"{center}{ENDING}", (center, stage, server_round))

    def read(self, center: str, stage: str, server_round: int) -> Payload:
        """One center's payload of a round, verified.

        Raises:
            StorageError: the file is missing or damaged, or is not the center's payload of this round.
        """
        path = self._folder(stage, server_round) / f"{_name(center)}{ENDING}"
        return _read(path, (center, stage, server_round))

    def clear(self, stage: str, server_round: int) -> None:
        """Remove the payloads of a finished round.

        Raises:
            StorageError: the disk refuses.
        """
        _remove(self._folder(stage, server_round))

    def _aside(self, center: str, stage: str, server_round: int, reason: str) -> Path:
        return self.root / LATE / f"{_name(center)}-{_digest(f'{stage}|{server_round}|{reason}')}{ENDING}"

    def _folder(self, stage: str, server_round: int) -> Path:
        return self.root / f"{server_round:06d}-{_digest(stage)}"


def _pack(payload: Payload, reason: str = "") -> bytes:
    """A safetensors file of one payload; equal payloads give equal bytes."""
    tensors = {key: np.array(payload.tensors[key], dtype="<f4", order="C") for key in sorted(payload.tensors)}
    header = to_text(payload)
    sealed = {"header": header, "sha256": _seal(header, tensors), "reason": reason}
    return safetensors_bytes(tensors, {"payload": json.dumps(sealed)})


def _read(path: Path, expected: tuple[str, str, int]) -> Payload:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {})["payload"])
            tensors = {key: file.get_tensor(key) for key in sorted(file.keys())}
        if metadata["sha256"] != _seal(metadata["header"], tensors):
            raise ValueError(f"content does not match its SHA-256 {metadata['sha256']}")
        payload = replace(from_text(Payload, metadata["header"]), tensors=tensors)
        found = (payload.center, payload.stage, payload.server_round)
        if found != expected:
            raise ValueError(f"holds center, stage and round {found}, expected {expected}")
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError, PayloadError) as error:
        raise StorageError(
            f"payload {path} is damaged ({error}); remove the file and run the study again: its center is asked anew"
        ) from error
    return payload


def _seal(header: str, tensors: Any) -> str:
    return hashlib.sha256(f"{content_hash(tensors)}|{header}".encode()).hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(center: str) -> str:
    if not NAME.fullmatch(center):
        raise StorageError(
            f"'{center}' is not a center's name, so that its payload cannot be kept; expected letters, digits, '.', "
            "'_' and '-', at most 64"
        )
    return center


def _remove(folder: Path) -> None:
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(f"cannot remove {folder} ({error.strerror or error}); correct the permissions") from error


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot remove {path} ({error.strerror or error}); correct the permissions") from error
