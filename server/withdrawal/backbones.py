"""The backbones that a center helped to train: which go with it, and which stay for versions of others.

    apart    the one that the study was prepared with, and those of versions that the center never entered
    gone     trained from its first stage on, and in use of no version that stays
    stay     trained from its first stage on, and what other centers' own versions stand on until they are trained again

Lineage tells which these are, not what lies on the disk, so that a command that is given again says the same.
"""

from dataclasses import dataclass

from protocol.messages.tensors import BACKBONE, content_hash
from protocol.storage.atomic_files import remove_unfinished
from server.rounds.transitions import of_groups
from server.study.directory import Prepared, StudyDirectory, read_prepared
from server.withdrawal.lineage import Lineage, Parted
from strategies.bank.backbone_files import FOLDER, hashes_in
from strategies.bank.bank import AdapterBank


@dataclass(frozen=True)
class PartedBackbones:
    """Content hashes of backbones, by what a center has to do with them; each sorted."""

    apart: tuple[str, ...]
    gone: tuple[str, ...]
    stay: tuple[str, ...]


def parted_backbones(directory: StudyDirectory, lineage: Lineage, parted: Parted) -> PartedBackbones:
    """Every backbone that a version of the bank names: never entered by the center, gone with it, or kept and named.

    Raises:
        StudyError: the study's directory is not complete.
    """
    apart = {prepared_backbone(read_prepared(directory.root)), *(entry.backbone for entry in parted.kept)}
    apart |= {entry.backbone for entry in parted.apart if not entry.provenance}
    if lineage.first_stage is None:
        return PartedBackbones(tuple(sorted(apart)), (), ())
    serving = {entry.backbone for entry in (*parted.influenced, *parted.apart)} - apart
    named = {entry.backbone for entry in (*parted.own, *parted.shared)} - apart
    return PartedBackbones(*(tuple(sorted(found)) for found in (apart, named - serving, serving)))


def prepared_backbone(prepared: Prepared) -> str:
    """Content hash of the backbone that a study was prepared with, which no center of it trained."""
    return content_hash(of_groups(prepared.initial, prepared.groups, {BACKBONE}))


def remove_backbones(directory: StudyDirectory, bank: AdapterBank, lineage: Lineage, found: PartedBackbones) -> None:
    """Leave in the bank what the center never entered and what others' versions stand on; to be sent, the former alone.

    A backbone that no version names, as a run leaves it that was killed before it wrote the version, goes too.

    Raises:
        OSError: something cannot be removed; it can be done again.
    """
    if lineage.first_stage is None:
        return
    remove_unfinished(bank.root)
    for sha256 in sorted({*hashes_in(bank.root / FOLDER)} - {*found.apart, *found.stay}):
        bank.remove_backbone(sha256)
    for sha256 in sorted({*hashes_in(directory.backbones)} - {*found.apart}):
        (directory.backbones / f"{sha256}.safetensors").unlink()
    remove_unfinished(directory.backbones)
