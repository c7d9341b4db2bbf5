"""A study out of fold: run it once a fold, so that every patient tests once, and join the patients of all folds.

    OMP_NUM_THREADS=1 python benchmarks/out_of_fold.py --data ../shared/data/sts --out runs/sts-folds [--jobs 2]
        [--study studies/sts.toml] [--picture docs/images/out-of-fold.png]

The study is one with `[split] folds`; of each fold a copy with its number runs in OUT/fold-N, and goes on there after
an interruption. A patient's score is that of the network of the patient's fold. Means over patients and over centers
stand beside each other with 95 % intervals of a bootstrap over patients (10,000 draws); patients of one fold share a
network, which the intervals do not know. Forgetting is the mean over centers of best minus last. The last line is one
JSON object.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from client.scores.score_rows import read_rows
from deploy.simulation.local import simulate
from protocol.tasks import TASKS
from server.results.matrices import evaluation_matrix
from server.results.result import read_result
from server.study.file import Study, read_study
from strategies.evaluation.matrix import Floats
from strategies.evaluation.merged_folds import merge_folds
from strategies.evaluation.resampling import Draws, Interval, average, draw_patients, forgetting, interval, matrices_of
from strategies.evaluation.run_scores import RunScores, mean_of

STUDY = Path(__file__).parents[1] / "studies" / "sts.toml"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def main() -> None:
    """Run the folds that are missing, join them, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--data", type=Path, required=True, help="a folder per center")
    parser.add_argument("--out", type=Path, required=True, help="holds a study directory per fold")
    parser.add_argument("--jobs", type=int, default=1, help="folds at the same time")
    parser.add_argument("--picture", type=Path, help="PNG of the course of training")
    options = parser.parse_args()
    study = read_study(options.study)
    folds = range(1, (study.split.folds or 0) + 1)
    if not folds:
        sys.exit(f"{options.study} deals no folds; write `folds` and `fold` under [split]")
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        list(pool.map(partial(run_fold, options.study, options.data, options.out), folds))
    folders = [options.out / f"fold-{fold}" for fold in folds]
    merged = {setting: merge_folds(runs) for setting, runs in scores_of(study, folders).items()}
    figures = {setting: figures_of(scores) for setting, scores in merged.items()}
    show(Console(), study, figures, merged)
    if options.picture:
        draw(merged).savefig(options.picture, dpi=110, metadata={"Software": None})
    seconds = [(read_result(folder / "result.json") or {})["seconds"]["total"] for folder in folders]
    print(json.dumps({"study": study.name, "folds": len(folds), "seconds_a_fold": seconds, "settings": figures}))


def run_fold(study_file: Path, data: Path, out: Path, fold: int) -> None:
    """Run one fold's study, or go on with it; one that is complete is left as it is."""
    folder = out / f"fold-{fold}"
    if (read_result(folder / "result.json") or {}).get("status") == "complete":
        return
    source = write_fold(study_file, out, fold)
    with (out / f"fold-{fold}.log").open("a") as log:
        simulate(source, data, folder, engine="in-process", device="auto", resume=True, console=Console(file=log))


def write_fold(study_file: Path, out: Path, fold: int) -> Path:
    """The study file of one fold."""
    path, table = out / f"fold-{fold}.toml", read_study(study_file).model_dump(mode="json", exclude_none=True)
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps({**table, "split": {**table["split"], "fold": fold}}))
    return path


def scores_of(study: Study, folders: Sequence[Path]) -> dict[str, list[RunScores]]:
    """Modality setting -> the scores of each fold in which it has any, patient by patient."""
    found: dict[str, list[RunScores]] = {}
    for folder in folders:
        result = read_result(folder / "result.json") or {}
        for setting, matrix in result["matrices"].items():
            rows = {center: read_rows(folder / "centers" / center / "scores.json") for center in matrix["centers"]}
            scores = _scores(study, setting, matrix, rows)
            if any(scores.cases.values()):
                found.setdefault(setting, []).append(scores)
    return found


def _scores(study: Study, setting: str, matrix: Mapping[str, Any], rows: Mapping[str, list[Any]]) -> RunScores:
    task = study.tasks[0]
    scores = evaluation_matrix(study, matrix, task)
    if scores is None:
        raise SystemExit("a fold was never scored")
    kept = {
        center: {(row["stage"], row["case"]): row[TASKS[task].primary] for row in own if row["modalities"] == setting}
        for center, own in rows.items()
    }
    cases = {center: tuple(sorted({case for _, case in own})) for center, own in kept.items()}
    patients = {
        center: np.array(
            [[_number(own.get((stage, case))) for case in cases[center]] for stage in scores.stages]
        ).reshape(len(scores.stages), len(cases[center]))
        for center, own in kept.items()
    }
    return RunScores(study.seed, scores, cases, patients)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def figures_of(scores: RunScores) -> dict[str, Any]:
    """Means over patients and centers after each row, of each center after the last, and forgetting."""
    draws = draw_patients(scores.cases)
    matrices, learned = matrices_of(scores, draws), scores.matrix.learned
    return {
        "patients": sum(map(len, scores.cases.values())),
        "over_patients": asdict(interval(_over_patients(scores, draws))),
        "over_centers": asdict(interval(average(matrices, learned))),
        "centers": {c: asdict(interval(matrices[:, -1, j])) for j, c in enumerate(scores.matrix.centers)},
        "rows": {row: _mean_over_patients(scores, place) for place, row in enumerate(scores.matrix.stages)},
        "forgetting": asdict(interval(forgetting(matrices, learned))),
        "undefined": int(sum(np.isnan(own[-1]).sum() for own in scores.patients.values())),
    }


def _over_patients(scores: RunScores, draws: Draws) -> Floats:
    """The mean after the last row, of every draw, over all patients whose score is defined."""
    centers = [center for center in scores.matrix.centers if center in draws.patients]
    last = np.concatenate([scores.patients[center][-1] for center in centers])
    drawn = np.concatenate([draws.patients[center] for center in centers], axis=1)[:, ~np.isnan(last)]
    return np.asarray(drawn @ last[~np.isnan(last)] / drawn.sum(axis=1))


def _mean_over_patients(scores: RunScores, row: int) -> float:
    return float(mean_of(np.concatenate([own[row] for own in scores.patients.values()]), axis=0))


def show(console: Console, study: Study, figures: Mapping[str, Any], merged: Mapping[str, RunScores]) -> None:
    """One row a center and its means, one column a modality setting."""
    table = Table(title=f"{study.title}: {TASKS[study.tasks[0]].main[0].label} out of fold; {study.formed_by}")
    for column in ("", *figures):
        table.add_column(column)
    for center in study.centers:
        cells = [
            f"{_text(figures[s]['centers'].get(center))} ({len(merged[s].cases.get(center, ()))})" for s in figures
        ]
        table.add_row(center, *cells)
    for name in ("over_patients", "over_centers", "forgetting"):
        table.add_row(name.replace("_", " "), *[_text(figures[setting][name]) for setting in figures])
    console.print(table)


def _text(found: Mapping[str, float | None] | None) -> str:
    kept = Interval(**found) if found else Interval(None, None, None)
    return "undefined" if kept.value is None else f"{kept.value:.3f} [{kept.low:.3f}, {kept.high:.3f}]"


def draw(merged: Mapping[str, RunScores]) -> Figure:
    """The mean over patients from stage to stage, a panel a setting; dots are patients after the last stage."""
    figure = Figure(figsize=(3.6 * len(merged), 3.4), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(merged), sharey=True, squeeze=False)[0]
    for panel, (setting, scores) in zip(panels, merged.items(), strict=True):
        _draw_setting(panel, setting, scores)
    panels[0].set_ylabel("Dice")
    panels[0].legend(frameon=False, fontsize=7, loc="lower left")
    return figure


def _draw_setting(panel: Axes, setting: str, scores: RunScores) -> None:
    rows = range(len(scores.matrix.stages))
    panel.plot(rows, [_mean_over_patients(scores, row) for row in rows], color="black", linewidth=2, label="all")
    for color, center in zip(COLORS, scores.matrix.centers, strict=False):
        own = scores.patients[center]
        if own.size:
            panel.plot(rows, mean_of(own, axis=1), color=color, linewidth=1, label=center)
            panel.scatter(np.full(own.shape[1], rows[-1] + 0.25), own[-1], color=color, s=9, alpha=0.7)
    panel.set_xticks(list(rows), scores.matrix.stages, fontsize=7)
    panel.set_title(setting.upper().replace("+", " + "), fontsize=9)
    panel.set_ylim(0, 1)
    panel.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
