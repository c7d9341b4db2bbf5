"""What PET and EHR add to CT in one continual study of survival, on synthetic patients of three synthetic centers.

    python benchmarks/phantom_prognosis.py --out DIR [--patients 100] [--study studies/phantom-prognosis.toml]

Writes a cohort whose times depend on what CT, PET and the record show (client/data/synthetic_labels.py), runs the study
on it, and prints concordance on the test cases after each stage of survival, from what the stage reads. Pairs are
formed within centers alone. Intervals are 95 % of a bootstrap over the test cases of each center; differences between
stages are of the same resamples. "Ideal" is the concordance of the scores that the times were drawn from: what no model
can beat but by chance. Nothing here says anything about patients. The last line is one JSON object.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from client.data.phantom import PLAIN
from client.data.synthetic import CENTERS, SyntheticCenter, score_patient, write_synthetic_cohort
from client.data.synthetic_labels import log_hazard
from client.scores.score_rows import read_rows as read_recorded
from deploy.simulation.local import center_home, simulate
from server.study.file import read_study
from strategies.evaluation.survival_metrics import ratio, sums_over_pairs

STUDY = Path(__file__).parents[1] / "studies" / "phantom-prognosis.toml"
SEED = 0
STAGES = {"ct": "ct", "ct-pet": "ct+pet", "ct-pet-ehr": "ct+pet+ehr"}
SCORES = {"ct": (1, 0, 0), "ct-pet": (1, 1, 0), "ct-pet-ehr": (1, 1, 1)}
"""Which of the scores of CT, PET and record a stage can read."""
DRAWS = 2000

Rows = Mapping[str, Mapping[str, float]]
Floats = NDArray[np.float64]


def read_rows(home: Path, stage: str, setting: str) -> Rows:
    """Days, event and risk of a center's test cases after a stage, from one modality setting."""
    found = read_recorded(home / "scores.json")
    rows = [row for row in found if (row["task"], row["stage"], row["modalities"]) == ("survival", stage, setting)]
    names = {"days": "days/event", "event": "event/event", "risk": "risk/event"}
    return {row["case"]: {name: row[key] for name, key in names.items()} for row in rows}


def concordances(
    centers: Mapping[str, Rows], risks: Mapping[str, Mapping[str, float]], weights: Mapping[str, Floats]
) -> Floats:
    """Concordance over the pairs within centers, in each draw (draws,).

    Args:
        risks: by center and case. weights: how often each draw has each case of a center, (draws, cases).
    """
    sums = []
    for name, rows in centers.items():
        days, event = (np.array([row[key] for row in rows.values()]) for key in ("days", "event"))
        risk = np.array([risks[name][case] for case in rows])
        sums.append(sums_over_pairs(days, event.astype(bool), risk, weights[name]))
    concordant, pairs = np.sum(sums, axis=0)
    return ratio(concordant, pairs)


def draw_weights(cases: int, rng: np.random.Generator) -> Floats:
    """The cases as they are, then DRAWS resamples of them: (1 + DRAWS, cases)."""
    drawn = rng.multinomial(cases, np.full(cases, 1 / cases), size=DRAWS)
    return np.concatenate([np.ones((1, cases)), drawn])


def interval(values: Floats) -> tuple[float, float, float]:
    """A figure and its 95 % interval: the first draw is the cases as they are."""
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return float(values[0]), float(low), float(high)


def judge(out: Path, centers: Sequence[SyntheticCenter]) -> dict[str, Any]:
    """Concordance after each stage and what each stage adds, with intervals, beside the ideal."""
    rng = np.random.default_rng(SEED)
    read = {
        stage: {center.name: read_rows(center_home(out, center.name), stage, setting) for center in centers}
        for stage, setting in STAGES.items()
    }
    # Every stage is judged on the cases that all of them could read: a few patients have no record at all.
    shared = {c.name: sorted(set.intersection(*(set(rows[c.name]) for rows in read.values()))) for c in centers}
    cohort = {name: {case: read["ct"][name][case] for case in cases} for name, cases in shared.items()}
    weights = {name: draw_weights(len(cases), rng) for name, cases in shared.items()}
    truth = {c.name: {case: score_patient(c, case, SEED) for case in shared[c.name]} for c in centers}
    found: dict[str, Floats] = {}
    ideal: dict[str, Floats] = {}
    for stage, known in SCORES.items():
        risks = {name: {case: row["risk"] for case, row in rows.items()} for name, rows in read[stage].items()}
        found[stage] = concordances(cohort, risks, weights)
        best = {
            name: {case: log_hazard(*np.multiply(scores, known)) for case, scores in cases.items()}
            for name, cases in truth.items()
        }
        ideal[stage] = concordances(cohort, best, weights)
    steps = list(zip(list(STAGES)[:-1], list(STAGES)[1:], strict=True))
    return {
        "test_cases": sum(map(len, shared.values())),
        "events": int(sum(row["event"] for rows in cohort.values() for row in rows.values())),
        "concordance": {stage: interval(values) for stage, values in found.items()},
        "ideal": {stage: interval(values)[0] for stage, values in ideal.items()},
        "gain": {f"{before} to {after}": interval(found[after] - found[before]) for before, after in steps},
    }


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The figures as two tables."""
    table = Table("after stage", "reads", "concordance", "95 % interval", "ideal")
    for stage, (value, low, high) in figures["concordance"].items():
        row = (stage, STAGES[stage], f"{value:.3f}", f"{low:.3f} to {high:.3f}", f"{figures['ideal'][stage]:.3f}")
        table.add_row(*row)
    gains = Table("step", "gain", "95 % interval")
    for step, (value, low, high) in figures["gain"].items():
        gains.add_row(step, f"{value:+.3f}", f"{low:+.3f} to {high:+.3f}")
    console.print(table, gains)


def main() -> None:
    """Make the cohort, run the study, print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--study", type=Path, default=STUDY)
    arguments = parser.parse_args()
    console = Console()
    names = list(read_study(arguments.study).centers)
    centers = [replace(c, patients=arguments.patients, anatomy=PLAIN) for c in CENTERS if c.name in names]
    write_synthetic_cohort(arguments.out / "data", centers=centers, seed=SEED)
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    run = arguments.out / "run"
    simulate(
        arguments.study, arguments.out / "data", run, engine="in-process", device="cpu", resume=False, console=console
    )
    spent = {"wall_s": time.monotonic() - began_s, "cpu_s": time.process_time() - began_cpu_s}
    figures = judge(run, centers) | {"patients": arguments.patients * len(centers), **spent}
    show(figures, console)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
