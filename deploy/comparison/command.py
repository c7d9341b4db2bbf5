"""What `concilium benchmark` does: plan, shared backbone, runs that are left, tables."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from deploy.comparison.outcomes import Missing, Outcome, read_outcome
from deploy.comparison.planner import BACKBONE_RUN, NO_BACKBONE, Plan, Run, read_plan
from deploy.comparison.plots import write_plots
from deploy.comparison.report import markdown_text, report_html
from deploy.comparison.rows import summary_rows
from deploy.comparison.runner import Progression, run_all
from deploy.comparison.table import build_table
from deploy.comparison.worker import ERROR, RunJob
from deploy.simulation.environment import usable_cores
from protocol.errors import StudyError
from protocol.messages.tensors import content_hash
from protocol.storage.atomic_files import write_bytes, write_text
from protocol.storage.regular_files import read_whole
from server.results.result import read_result
from server.study.directory import StudyDirectory
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.peft_format import read_tensors

RUNS, CACHE = "runs", "cache"


def benchmark(
    file: Path,
    data: Path | None,
    out: Path,
    *,
    jobs: int | None,
    only: Sequence[str],
    device: str,
    console: Console,
) -> bool:
    """Run what is left of a benchmark and write its tables; without `data`, write the tables only.

    Returns:
        Whether a run that was asked for failed.

    Raises:
        StudyError: the file cannot be run, `out` holds runs of other studies, or the backbone could not be trained.
    """
    plan = read_plan(file)
    if unknown := sorted(set(only) - {arm.name for arm in plan.benchmark.arms}):
        known = [arm.name for arm in plan.benchmark.arms]
        raise StudyError(f"--only {unknown}: the benchmark has no such arm; known: {known}")
    failed = False
    if data is not None:
        out.mkdir(parents=True, exist_ok=True)
        workers = jobs or usable_cores()
        job = partial(RunJob, data=data.resolve(), cache=(out / CACHE).resolve(), device=device)
        backbone = _backbone(plan, out, job, console)
        chosen = [run for run in plan.runs if not only or run.arm in only]
        failed = _run(plan, chosen, out, job, backbone, workers, console)
    write_outputs(plan, out, console)
    return failed


def write_outputs(plan: Plan, out: Path, console: Console) -> None:
    """benchmark.json, table.md, the drawings and report.html, from what lies in `out`."""
    found: list[Outcome | Missing] = [read_outcome(run, folder_of(out, run)) for run in plan.runs]
    with console.status("resampling patients and seeds"):
        table = build_table(plan, found)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "benchmark.json", json.dumps(table, indent=1, allow_nan=False) + "\n")
    write_text(out / "table.md", markdown_text(table))
    write_plots(table, out / "plots")
    write_text(out / "report.html", report_html(table))
    for row in summary_rows(table):
        console.print(row, highlight=False)
    missing = [item for item in found if isinstance(item, Missing)]
    console.print(f"runs          {len(found) - len(missing)} of {len(found)} complete")
    console.print(f"report        {out / 'report.html'}\ntable         {out / 'table.md'}", highlight=False)


def folder_of(out: Path, run: Run) -> Path:
    """Where a run leaves everything."""
    return out / RUNS / run.arm / run.order / str(run.seed)


def _run(
    plan: Plan,
    chosen: Sequence[Run],
    out: Path,
    job: Callable[..., RunJob],
    backbone: Path | None,
    workers: int,
    console: Console,
) -> bool:
    """Carry out the runs that are not complete yet; whether one failed."""
    threads = max(1, usable_cores() // workers)
    texts = {run.name: run.text(backbone.stem if backbone else NO_BACKBONE) for run in chosen}
    _refuse_other_studies({folder_of(out, run): texts[run.name] for run in chosen})
    left = []
    for run in chosen:
        folder = folder_of(out, run)
        if _complete(folder, texts[run.name]):
            continue
        source = folder.with_suffix(".toml")
        source.parent.mkdir(parents=True, exist_ok=True)
        write_text(source, texts[run.name])
        left.append(job(name=run.name, study_file=source, out=folder, threads=threads, backbone=backbone))
    if not left:
        console.print("every run asked for is complete")
        return False
    done = len(chosen) - len(left)
    console.print(f"{len(left)} of {len(chosen)} runs left; {workers} at a time, {threads} thread(s) each")
    with Progression(console, title=plan.benchmark.name, total=len(chosen), completed=done) as progression:
        return bool(run_all(left, workers=workers, threads=threads, progression=progression))


def _backbone(plan: Plan, out: Path, job: Callable[..., RunJob], console: Console) -> Path | None:
    """The frozen backbone's file, trained first where nobody gave one; its name is its content hash.

    None for networks of records alone, which have no backbone.

    Raises:
        StudyError: it could not be trained, or `out` holds one of another study.
        BankError: the one that is there is damaged.
    """
    folder = out / BACKBONE_RUN
    if plan.backbone_file is not None:
        return _copy_backbone(plan.backbone_file, folder)
    if plan.backbone is None:
        return None
    if not _complete(folder, plan.backbone_text):
        _refuse_other_studies({folder: plan.backbone_text})
        source = folder.with_suffix(".toml")
        write_text(source, plan.backbone_text)
        asked = job(name=BACKBONE_RUN, study_file=source, out=folder, threads=usable_cores())
        with Progression(console, title=BACKBONE_RUN, total=1, completed=0) as progression:
            failed = run_all([asked], workers=1, threads=usable_cores(), progression=progression)
        if failed:
            raise StudyError(
                f"the shared backbone could not be trained ({failed[BACKBONE_RUN]}), so no run can start; "
                f"see {folder / ERROR}, then start again"
            )
    bank = AdapterBank(StudyDirectory(folder).bank)
    found = bank.head(SHARED).backbone
    bank.backbone(found)  # reads it whole: damage is found now, not by every run
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


def _complete(folder: Path, text: str) -> bool:
    directory = StudyDirectory(folder)
    if not directory.result.exists() or not directory.study_file.exists():
        return False
    same = directory.study_file.read_text() == text
    found = read_result(directory.result)
    return same and found is not None and found["status"] == "complete"


def _refuse_other_studies(texts: dict[Path, str]) -> None:
    """Results are not overwritten: a folder that holds a run of another study has to be moved by its owner.

    Raises:
        StudyError: lists those folders.
    """
    files = {folder: StudyDirectory(folder).study_file for folder in texts}
    other = [str(folder) for folder, file in files.items() if file.exists() and file.read_text() != texts[folder]]
    if other:
        listed = "\n".join(f"  {folder}" for folder in other)
        raise StudyError(
            f"{len(other)} folder(s) hold runs of another version of the benchmark file or of another backbone; remove "
            f"them or give another --out:\n{listed}"
        )
