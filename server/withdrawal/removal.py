"""What a withdrawal removes from a study's directory; each step, done again after a kill, changes nothing more."""

from dataclasses import replace
from pathlib import Path

from protocol.storage.atomic_files import remove_unfinished
from server.rounds.inbox import LATE
from server.study.checkpoint import Checkpoint
from server.study.directory import StudyDirectory
from server.study.file import Study
from server.study.recorder import Recorder
from server.study.stage_states import kept_stage_states, read_stage_state, state_path
from server.withdrawal.absence import state_without_center
from server.withdrawal.lineage import Lineage, Parted
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.routing_file import remove_routers, write_routers
from strategies.bank.told import Tell, tell_nobody
from strategies.bank.tombstone import Tombstone

NOTHING = Checkpoint(stage_index=0, server_round=0, backbone_hash="", shared={})


def remove_versions(bank: AdapterBank, lineage: Lineage, parted: Parted) -> None:
    """Put the newest shared version without the center into use, then remove the tensors of what it made or entered.

    Raises:
        BankError: the version that is to be in use is damaged.
        StorageError: the disk refuses.
    """
    center = lineage.center
    if parted.kept and bank.head(SHARED).reference not in {entry.reference for entry in parted.kept}:
        bank.rollback(SHARED, parted.kept[-1].version)
    for entry in parted.own:
        bank.withdraw(entry, Tombstone(center, f"center '{center}', whose own it was, withdrew from the study"))
    for entry in parted.shared:
        bank.withdraw(entry, Tombstone(center, f"center '{center}', whose updates it holds, withdrew from the study"))


def state_before(directory: StudyDirectory, lineage: Lineage) -> Checkpoint | None:
    """The study's state before the first stage that the center entered; None where none was kept.

    Raises:
        StorageError: it is damaged.
    """
    return read_stage_state(directory, lineage.first_stage) if lineage.first_stage else None


def take_state_back(
    directory: StudyDirectory, lineage: Lineage, state: Checkpoint, study: Study, tell: Tell = tell_nobody
) -> None:
    """Leave no tensor of the center in router, checkpoints and inbox; the checkpoint is that before its first stage.

    Raises:
        StorageError: the disk refuses, or a checkpoint is damaged.
    """
    _remove_unfinished_checkpoints(directory)
    center, first = lineage.center, lineage.first_stage
    if study.strategy.router:
        remove_routers(directory.bank, tell)
        others = state.own.keys() - state.branches.keys() - {center}
        write_routers(directory.bank, {name: state.own[name] for name in sorted(others)}, tell)
    for path in [*directory.root.glob(f"inbox/*/{center}.safetensors"), *_set_aside(directory, center)]:
        path.unlink()
    is_before = first is None or state.stage_index < first
    before = state if is_before else state_before(directory, lineage) or NOTHING
    clean = replace(state_without_center(before, center), tracking=state.tracking, elapsed_s=state.elapsed_s)
    Recorder(directory).save(clean)
    for index in kept_stage_states(directory):
        if first is not None and index > first:
            state_path(directory, index).unlink()


def _remove_unfinished_checkpoints(directory: StudyDirectory) -> None:
    """A killed run leaves tensors in files that it did not finish too; others write beside the checkpoint meanwhile."""
    for left in [*directory.root.glob(f".{directory.checkpoint.name}.*.part"), *directory.stage_states.glob("*.part")]:
        left.unlink()
    remove_unfinished(directory.root / "inbox")


def _set_aside(directory: StudyDirectory, center: str) -> list[Path]:
    """Late updates of the center; `a-b` is another center than `a`."""
    found = directory.root.glob(f"inbox/{LATE}/*.safetensors")
    return [path for path in found if path.stem.rpartition("-")[0] == center]
