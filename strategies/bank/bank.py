"""The adapter bank: every adapter a study made, versioned, in peft's own format, verified whenever it is read.

    ROOT/study.json                      schema of the bank, the study's settings and peft's adapter_config
    ROOT/backbones/<hash>.safetensors    backbones by content hash
    ROOT/adapters/<name>/HEAD            the version in use; a rollback moves it and nothing else
    ROOT/adapters/<name>/<version>/      adapter_config.json, adapter_model.safetensors, entry.json; never changed.
                                         What an adapter has beside peft's first one: strategies.bank.adapter_parts

`name` is "shared" or a center. A version appears whole (one rename) before HEAD names it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BankError
from protocol.messages.settings import StudySettings
from protocol.messages.tensors import Tensors, content_hash
from protocol.names import NAME
from protocol.storage import atomic_files
from protocol.storage.sealed_json import read_sealed, seal
from strategies.bank import peft_format
from strategies.bank.adapter_parts import default_part, part_files, read_parts
from strategies.bank.backbone_files import backbone_path, put_backbone, read_backbone, remove_backbone
from strategies.bank.entry import Entry
from strategies.bank.peft_format import CONFIG_FILE, TENSOR_FILE
from strategies.bank.settings_file import SETTINGS_FILE, read_study_record, refuse_other_study, study_record
from strategies.bank.told import EVERY_FILE, Tell, digest, digests, naming, tell_nobody
from strategies.bank.tombstone import Tombstone, put_tombstone, read_tombstone, tombstone_bytes

SHARED = "shared"
ENTRY_FILE, HEAD_FILE, BACKBONE_FILE = "entry.json", "HEAD", "backbone.safetensors"


class AdapterBank:
    """A bank on disk; opening one reads and verifies its settings.

    Args:
        root: its directory.
        tell: told, before it is done, what is about to be written or removed (`strategies.bank.told`), and the facts.

    Raises:
        BankError: there is no bank at `root`, it is of another schema, or its settings are damaged.
    """

    def __init__(self, root: Path, tell: Tell = tell_nobody) -> None:
        self.root, self.tell = root, tell
        if not (root / SETTINGS_FILE).is_file():
            raise BankError(
                f"no adapter bank at {root} ({SETTINGS_FILE} not found); a study's run leaves one in OUT/bank"
            )
        study = read_study_record(root)
        self.settings = StudySettings.model_validate(study["settings"])
        self.adapter_config: dict[str, Any] = study["adapter_config"]

    @classmethod
    def create(
        cls, root: Path, settings: StudySettings, adapter_config: Mapping[str, Any], tell: Tell = tell_nobody
    ) -> Self:
        """A new bank at `root`, or the one there when it belongs to the same study; clears unfinished writes.

        Raises:
            BankError: `root` holds the bank of another study, of other settings or of another schema.
            StorageError: the disk refuses.
        """
        study = study_record(settings, adapter_config)
        if (root / SETTINGS_FILE).is_file():
            refuse_other_study(root, study)
            atomic_files.remove_unfinished(root)
        else:
            data = seal(study)
            tell("bank", {"sha256": digest(data), **EVERY_FILE})
            atomic_files.write_private(root / SETTINGS_FILE, data)
        return cls(root, tell)

    def put_backbone(self, tensors: Tensors) -> str:
        """Keep a backbone and return its content hash; one that is there already, whole, is not written again."""
        return put_backbone(self.root, tensors, self.tell)

    def backbone(self, sha256: str) -> dict[str, NDArray[np.float32]]:
        """The backbone with this content hash.

        Raises:
            BankError: it is missing, or what is there has another hash.
        """
        return read_backbone(self.root, sha256)

    def remove_backbone(self, sha256: str) -> None:
        """Remove a backbone for good; one that is not there is left so.

        Raises:
            OSError: it cannot be removed; it can be done again.
        """
        remove_backbone(self.root, sha256, self.tell)

    def add(
        self,
        name: str,
        tensors: Tensors,
        *,
        center: str,
        stage: str,
        server_round: int,
        backbone: str,
        support: Mapping[str, int],
        parent: str | None = None,
        provenance: str = "",
    ) -> Entry:
        """Add a version and point HEAD at it.

        The same tensors of the same center, stage, round and backbone (a resumed run) are the entry there already.

        Raises:
            BankError: the name is not a plain name, or the bank does not hold `backbone`.
            StorageError: the disk refuses; HEAD and all earlier versions are untouched.
        """
        if not backbone_path(self.root, backbone).is_file():
            raise BankError(f"adapter '{name}': backbone {backbone} is not in the bank {self.root}; put it there first")
        versions = self._versions(name)
        entry = Entry(
            name=name,
            version=max(versions, default=0) + 1,
            center=center,
            stage=stage,
            server_round=server_round,
            parent=parent,
            backbone=backbone,
            support=dict(support),
            provenance=provenance,
            **_measures(tensors),
        )
        entries = (self.entry(name, version) for version in reversed(versions))
        known = next((old for old in entries if old.origin == entry.origin), entry)
        if known is entry:
            files = self.files(entry, tensors)
            self.tell("version", {**naming(entry), **digests(files, ENTRY_FILE)})
            atomic_files.write_private_directory(self._folder(entry), files)
        self._set_head(known)
        return known

    def head(self, name: str) -> Entry:
        """The entry in use under this name.

        Raises:
            BankError: the bank has no such name, or its HEAD is damaged.
        """
        path = self._adapter_path(name) / HEAD_FILE
        if not path.is_file():
            raise BankError(f"bank {self.root} has no adapter '{name}'; it holds: {self.names() or 'none'}")
        return self.entry(name, int(read_sealed(path)["version"]))

    def entry(self, name: str, version: int | None = None) -> Entry:
        """One version of one adapter; the one in use where none is given.

        Raises:
            BankError: there is no such version, or its record is damaged.
        """
        if version is None:
            return self.head(name)
        path = self._adapter_path(name) / f"{version:04d}" / ENTRY_FILE
        if not path.parent.is_dir():
            raise BankError(f"adapter '{name}' has no version {version} in {self.root}; found {self._versions(name)}")
        return Entry(**read_sealed(path))

    def names(self) -> list[str]:
        """Every name that has a HEAD, sorted."""
        return sorted(path.parent.name for path in (self.root / "adapters").glob(f"*/{HEAD_FILE}"))

    def entries(self) -> tuple[Entry, ...]:
        """Every version of every adapter, by name and version."""
        return tuple(self.entry(name, version) for name in self.names() for version in self._versions(name))

    def tensors(self, entry: Entry) -> dict[str, NDArray[np.float32]]:
        """The tensors of an entry under our keys.

        Raises:
            BankError: a file is missing, the tensors or peft's configuration are not those of the entry, or the tensors
                were taken out of use (`withdraw`).
        """
        folder = self._folder(entry)
        if tombstone := read_tombstone(folder):
            raise BankError(
                f"adapter {entry.reference} is withdrawn: {tombstone.reason}. Its tensors are gone; use another "
                f"version, see `concilium bank list --bank {self.root}`"
            )
        config, path = _read(folder / CONFIG_FILE), folder / TENSOR_FILE
        tensors = peft_format.from_peft(peft_format.read_tensors(_read(path), str(path)))
        files = {
            str(file.relative_to(folder)): _read(file)
            for file in sorted(folder.rglob("*.safetensors"))
            if file.name != TENSOR_FILE or file.parent != folder
        }
        found = _verify({**tensors, **read_parts(files, str(folder))}, entry.sha256, str(path))
        if config != peft_format.config_bytes(peft_format.config_for(found, self.adapter_config)):
            raise BankError(f"{folder / CONFIG_FILE} differs from the study's adapter_config; restore it from a copy")
        return found

    def rollback(self, name: str, version: int) -> Entry:
        """Point HEAD at an earlier or later version whose files are whole; nothing is deleted."""
        entry = self.entry(name, version)
        self.tensors(entry)
        self._set_head(entry)
        return entry

    def tombstone(self, entry: Entry) -> Tombstone | None:
        """Why the tensors of an entry were taken out of use; None where they were not.

        Raises:
            BankError: it is damaged.
        """
        return read_tombstone(self._folder(entry))

    def withdraw(self, entry: Entry, tombstone: Tombstone) -> None:
        """Take a version out of use for good: its tensors are removed, its entry stays; the first reason counts.

        Raises:
            StorageError: the disk refuses; the tombstone is there or is not, and it can be done again.
        """
        tombstone = self.tombstone(entry) or tombstone
        self.tell("tombstone", {**naming(entry), "tombstone_sha256": digest(tombstone_bytes(tombstone))})
        put_tombstone(self._folder(entry), tombstone, ENTRY_FILE)

    def export(self, name: str, destination: Path, version: int | None = None) -> Entry:
        """Write one adapter with its backbone as a peft directory that loads without this project.

        Raises:
            BankError: the adapter or its backbone is missing or damaged.
            StorageError: `destination` holds files already, or the disk refuses.
        """
        entry = self.entry(name, version)
        files = self.files(entry, self.tensors(entry))
        files[BACKBONE_FILE] = peft_format.tensor_bytes(self.backbone(entry.backbone))
        files[SETTINGS_FILE] = _read(self.root / SETTINGS_FILE)
        files["README.md"] = _readme(entry, self.settings).encode()
        atomic_files.write_directory(destination, files)
        return entry

    def files(self, entry: Entry, tensors: Tensors) -> dict[str, bytes]:
        """What a version consists of: name below its folder -> bytes."""
        return {
            CONFIG_FILE: peft_format.config_bytes(peft_format.config_for(tensors, self.adapter_config)),
            TENSOR_FILE: peft_format.tensor_bytes(peft_format.to_peft(default_part(tensors))),
            ENTRY_FILE: seal(entry.record),
            **part_files(tensors, self.adapter_config),
        }

    def _set_head(self, entry: Entry) -> None:
        if not (self._adapter_path(entry.name) / HEAD_FILE).exists() or self.head(entry.name) != entry:
            self.tell("head", naming(entry))
        atomic_files.write_private(self._adapter_path(entry.name) / HEAD_FILE, seal({"version": entry.version}))

    def _folder(self, entry: Entry) -> Path:
        return self._adapter_path(entry.name) / f"{entry.version:04d}"

    def _versions(self, name: str) -> list[int]:
        folders = self._adapter_path(name).glob("[0-9]*")
        return sorted(int(folder.name) for folder in folders if folder.name.isdecimal())

    def _adapter_path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise BankError(f"'{name}' is not an adapter's name: letters, digits, '.', '_' and '-', at most 64")
        return self.root / "adapters" / name


def _measures(tensors: Tensors) -> dict[str, Any]:
    """What an entry says of its tensors."""
    size = sum(4 * array.size for array in tensors.values())
    return {"sha256": content_hash(tensors), "tensor_count": len(tensors), "tensor_bytes": size}


def _verify(tensors: dict[str, NDArray[np.float32]], expected: str, where: str) -> dict[str, NDArray[np.float32]]:
    found = content_hash(tensors)
    if found != expected:
        raise BankError(f"{where} is damaged: content hash found {found}, expected {expected}; restore it from a copy")
    return tensors


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BankError(f"{path} cannot be read ({error.strerror}); restore it from a copy of the bank") from error


def _readme(entry: Entry, settings: StudySettings) -> str:
    return (
        f"# Adapter {entry.reference} of study {settings.study}\n\n"
        f"Model '{settings.model.name}' with options {dict(settings.model.options)}: build it, load "
        f"`{BACKBONE_FILE}` into it, then `peft.PeftModel.from_pretrained(model, DIRECTORY)`.\n"
        f"Tensors {entry.sha256}, backbone {entry.backbone}.\n"
    )
