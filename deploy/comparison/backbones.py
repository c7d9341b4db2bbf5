"""The frozen backbones that runs start from: one for all, or one a fold, trained by none who tests in that fold."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.comparison.planner import BACKBONE_RUN, Plan
from deploy.comparison.run_folders import backbone_folder, is_complete, refuse_other_studies
from deploy.comparison.runner import Progression, Workforce, run_all
from deploy.comparison.worker import ERROR
from deploy.simulation.environment import threads_each
from protocol.errors import StudyError
from protocol.messages.tensors import content_hash
from protocol.storage.atomic_files import write_bytes, write_text
from protocol.storage.regular_files import read_whole
from server.study.directory import StudyDirectory
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.peft_format import read_tensors


def provide_backbones(plan: Plan, out: Path, workforce: Workforce) -> Mapping[int, Path]:
    """The frozen backbone's file of each fold, trained first where nobody gave one; its name is its content hash.

    Empty for networks of records alone, which have no backbone.

    Raises:
        StudyError: one could not be trained, or `out` holds one of another study.
        BankError: one that is there is damaged.
        TimeUpError: the deadline came first.
    """
    if plan.backbone_file is not None:
        return {0: _copy_backbone(plan.backbone_file, backbone_folder(out, 0))}
    folders = {fold: backbone_folder(out, fold) for fold in plan.backbones}
    left = [fold for fold, text in plan.backbones.items() if not is_complete(folders[fold], text)]
    refuse_other_studies({folders[fold]: plan.backbones[fold] for fold in left})
    if left:
        _train(plan, out, left, workforce)
    return {fold: _file_of(folder) for fold, folder in folders.items()}


def _train(plan: Plan, out: Path, left: Sequence[int], workforce: Workforce) -> None:
    """Train the backbones that are left; how many threads each has does not depend on how many that are."""
    workers = min(workforce.workers, len(plan.backbones))
    threads = threads_each(workers)
    jobs = []
    for fold in left:
        folder = backbone_folder(out, fold)
        source = folder.with_suffix(".toml")
        source.parent.mkdir(parents=True, exist_ok=True)
        write_text(source, plan.backbones[fold])
        jobs.append(workforce.job(str(folder.relative_to(out)), source, folder, threads=threads))
    total = len(plan.backbones)
    with Progression(workforce.console, title=BACKBONE_RUN, total=total, completed=total - len(left)) as progression:
        failed = run_all(
            jobs, workers=workers, threads=threads, progression=progression, deadline_s=workforce.deadline_s
        )
    _refuse_failures(failed, out)


def _refuse_failures(failed: Mapping[str, str], out: Path) -> None:
    for name, error in failed.items():
        raise StudyError(
            f"the shared backbone could not be trained ({error}), so no run can start; see {out / name / ERROR}, then "
            "start again"
        )


def _file_of(folder: Path) -> Path:
    """The file of a backbone that was trained in `folder`, read whole: damage is found now, not by every run.

    Raises:
        BankError: it is damaged.
    """
    bank = AdapterBank(StudyDirectory(folder).bank)
    found = bank.head(SHARED).backbone
    bank.backbone(found)
    return bank.root / "backbones" / f"{found}.safetensors"


def _copy_backbone(given: Path, folder: Path) -> Path:
    """The given backbone, copied to `<content hash>.safetensors` under `folder`.

    Raises:
        StudyError: it cannot be read.
    """
    try:
        data = read_whole(given)
    except OSError as error:
        raise StudyError(f"backbone file {given} cannot be read: {error.strerror}; correct backbone_file") from error
    found = content_hash(read_tensors(data, str(given)))
    kept = folder / f"{found}.safetensors"
    write_bytes(kept, data)
    return kept
