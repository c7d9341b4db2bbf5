"""What `concilium benchmark` does: plan, shared backbone, runs that are left, tables."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from deploy.comparison.backbones import provide_backbones
from deploy.comparison.declaration import declare, read_declaration, sentences
from deploy.comparison.outcomes import Missing, Outcome, read_outcome
from deploy.comparison.planner import NO_BACKBONE, Plan, Run, read_plan
from deploy.comparison.plots import write_plots
from deploy.comparison.report import markdown_text, report_html
from deploy.comparison.rows import summary_rows
from deploy.comparison.run_folders import folder_of, is_complete, refuse_other_studies
from deploy.comparison.runner import Progression, TimeUpError, Workforce, run_all
from deploy.comparison.table import build_table
from deploy.simulation.environment import threads_each, usable_cores
from protocol.errors import StudyError
from protocol.storage.atomic_files import write_text

CACHE, HOUR_S = "cache", 3600.0


def benchmark(
    file: Path,
    data: Path | None,
    out: Path,
    *,
    jobs: int | None,
    only: Sequence[str],
    device: str,
    console: Console,
    hours: float | None = None,
) -> bool:
    """Run what is left of a benchmark and write its tables; without `data`, write the tables only.

    Args:
        file: the benchmark file.
        data: folder with one folder per center.
        out: where everything goes.
        jobs: runs at the same time; one a core where not given.
        only: arms to run; all where empty.
        device: of every run.
        console: told of what is under way.
        hours: after which the runs are ended, to go on at the next start.

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
        declare(plan, out)
        for sentence in sentences(plan):
            console.print(sentence, highlight=False)
        deadline_s = None if hours is None else time.monotonic() + hours * HOUR_S
        cache = (out / CACHE).resolve()
        workforce = Workforce(data.resolve(), cache, device, jobs or usable_cores(), deadline_s, console)
        failed = _run(plan, [run for run in plan.runs if not only or run.arm in only], out, workforce)
    write_outputs(plan, out, console)
    return failed


def write_outputs(plan: Plan, out: Path, console: Console) -> None:
    """benchmark.json, table.md, the drawings and report.html, from what lies in `out`."""
    found: list[Outcome | Missing] = [read_outcome(run, folder_of(out, run)) for run in plan.runs]
    with console.status("resampling patients and seeds"):
        table = build_table(plan, found, declared=read_declaration(out))
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


def _run(plan: Plan, chosen: Sequence[Run], out: Path, workforce: Workforce) -> bool:
    """Train the backbones and carry out the runs that are not complete yet, while there is time; whether one failed."""
    try:
        return _run_rest(plan, chosen, out, provide_backbones(plan, out, workforce), workforce)
    except TimeUpError:
        workforce.console.print("the hours are over: the same command goes on from here")
        return False


def _run_rest(
    plan: Plan, chosen: Sequence[Run], out: Path, backbones: Mapping[int, Path], workforce: Workforce
) -> bool:
    threads = threads_each(workforce.workers)
    files = {run.name: backbones.get(run.fold) if run.on_backbone else None for run in chosen}
    texts = {name: (file.stem if file else NO_BACKBONE) for name, file in files.items()}
    texts = {run.name: run.text(texts[run.name]) for run in chosen}
    refuse_other_studies({folder_of(out, run): texts[run.name] for run in chosen})
    left = [run for run in chosen if not is_complete(folder_of(out, run), texts[run.name])]
    if not left:
        workforce.console.print("every run asked for is complete")
        return False
    jobs = []
    for run in left:
        folder = folder_of(out, run)
        source = folder.with_suffix(".toml")
        source.parent.mkdir(parents=True, exist_ok=True)
        write_text(source, texts[run.name])
        jobs.append(workforce.job(run.name, source, folder, threads=threads, backbone=files[run.name]))
    workers, console = workforce.workers, workforce.console
    console.print(f"{len(left)} of {len(chosen)} runs left; {workers} at a time, {threads} thread(s) each")
    total, done = len(chosen), len(chosen) - len(left)
    with Progression(console, title=plan.benchmark.name, total=total, completed=done) as progression:
        failed = run_all(
            jobs, workers=workers, threads=threads, progression=progression, deadline_s=workforce.deadline_s
        )
    return bool(failed)
