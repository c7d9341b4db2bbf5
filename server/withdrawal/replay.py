"""The directory in which a study goes on as if a center had never come: from the last stage before it, or from nothing.

What was prepared (initial state, specs, recipe, a backbone that was brought along) is the same file by file; of the
backbones that lay there to be sent those go along that what is kept stands on. Where the
center came after the first stage, the checkpoint before its first stage and the bank's versions up to it are there too,
without a trace of the center, and a run begins at that stage. `concilium simulate --resume` trains the rest on one
machine; over a network `study init`, `enroll` and `launch` do, since what the centers agreed to has changed.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from protocol.errors import StorageError, WithdrawalError
from protocol.storage.atomic_files import make_private_folder, write_bytes
from server.study.checkpoint import Checkpoint
from server.study.directory import BACKBONE, RECIPE, Prepared, StudyDirectory, read_prepared, write_prepared
from server.study.file import Study, read_study
from server.study.recorder import Recorder
from server.withdrawal.absence import state_without_center, without_center
from server.withdrawal.backbones import prepared_backbone
from strategies.bank.backbone_files import hashes_in
from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry

THREADS = "threads.json"
AS_PREPARED = (BACKBONE, RECIPE, THREADS)


@dataclass(frozen=True)
class Replay:
    """Where a study goes on, and from where: stages before this position stand as they were."""

    root: Path
    first_stage: int
    stages: tuple[str, ...]


def write_replay(directory: StudyDirectory, center: str, state: Checkpoint | None, destination: Path) -> Replay:
    """Make the directory of a replay; one that is there for this study and center already is left as it is.

    Args:
        directory: of the study that the center withdraws from.
        center: who withdraws.
        state: before the first stage that the center trained in; None where all stages are trained again.
        destination: the new directory.

    Raises:
        WithdrawalError: no study is left without the center, or `destination` holds something else.
        BankError: a version that is to be kept is damaged.
        StorageError: the disk refuses.
    """
    prepared = read_prepared(directory.root)
    table = without_center(prepared.study, center)
    study, new = Study.model_validate(table), StudyDirectory(destination)
    text = f"# {prepared.study.name} without center {center}\n{tomli_w.dumps(table)}"
    first = 0 if state is None else state.stage_index
    replay = Replay(destination, first, tuple(stage.name for stage in study.stages[first:]))
    if new.study_file.exists() and new.study_file.read_text() == text:
        return replay
    if destination.exists() and any(destination.iterdir()):
        raise WithdrawalError(f"{destination} is not empty; name another folder with --replay, or move it away")
    unfinished = StudyDirectory(destination.with_name(f".{destination.name}.part"))
    shutil.rmtree(unfinished.root, ignore_errors=True)
    _fill(unfinished, directory, center, state, text)
    _put_in_place(unfinished.root, destination)
    return replay


def _fill(new: StudyDirectory, directory: StudyDirectory, center: str, state: Checkpoint | None, text: str) -> None:
    """Everything that the replay begins with."""
    prepared = read_prepared(directory.root)
    make_private_folder(new.root)
    for name in AS_PREPARED:
        if (directory.root / name).exists():
            shutil.copy(directory.root / name, new.root / name)
    for sha256 in _backbones_to_send(directory, prepared, center, state):
        path = directory.backbones / f"{sha256}.safetensors"
        write_bytes(new.backbones / path.name, path.read_bytes())
    write_prepared(new.root, text, prepared.specs, prepared.initial, prepared.adapter_config)
    recorder = Recorder(new)
    recorder.prepare()
    if state is not None:
        kept, settings = AdapterBank(directory.bank), read_study(new.study_file).settings
        copy = AdapterBank.create(new.bank, settings, prepared.adapter_config, recorder.log.record)
        _copy_bank(kept, copy, _entries_before(kept, prepared.study, state.stage_index, center))
        clean = state_without_center(state, center)
        recorder.save(clean)
        recorder.keep_stage(clean)


def _backbones_to_send(
    directory: StudyDirectory, prepared: Prepared, center: str, state: Checkpoint | None
) -> list[str]:
    """Of the backbones laid out to be sent, the one that was brought along and those that kept versions stand on."""
    needed = {prepared_backbone(prepared)}
    if state is not None:
        entries = _entries_before(AdapterBank(directory.bank), prepared.study, state.stage_index, center)
        needed |= {state.backbone_hash, *(entry.backbone for entry in entries)}
    return [sha256 for sha256 in hashes_in(directory.backbones) if sha256 in needed]


def _put_in_place(unfinished: Path, destination: Path) -> None:
    """One rename, so that a kill leaves a whole directory or none."""
    try:
        unfinished.rename(destination)
    except OSError as error:
        raise StorageError(
            f"{destination} cannot be made ({error.strerror}); name another one with --replay"
        ) from error


def _entries_before(bank: AdapterBank, study: Study, first: int, center: str) -> list[Entry]:
    """The versions of the stages before a position, without those of a center, as they came."""
    names = {stage.name: place for place, stage in enumerate(study.stages[:first])}
    kept = [entry for entry in bank.entries() if entry.stage in names and entry.name != center]
    return sorted(kept, key=lambda entry: (names[entry.stage], entry.version))


def _copy_bank(source: AdapterBank, target: AdapterBank, entries: Iterable[Entry]) -> None:
    for entry in entries:
        target.put_backbone(source.backbone(entry.backbone))
        target.add(
            entry.name,
            source.tensors(entry),
            center=entry.center,
            stage=entry.stage,
            server_round=entry.server_round,
            backbone=entry.backbone,
            support=entry.support,
            parent=entry.parent,
        )
