"""Kaplan-Meier by predicted risk group and calibration of the study hn-prognosis, of predictions out of fold.

    OMP_NUM_THREADS=1 python benchmarks/hn_pictures.py --data ../shared/data --out docs/images/hn-prognosis.png

Every patient is predicted once, by a federation that never saw the patient (five folds, federated MTLR of
benchmarks/hn_prognosis.py). Groups are thirds of all hospitals' patients by risk, of five models together.
"""

import argparse
from pathlib import Path

import numpy as np
from hn_prognosis import STUDY, Federation, folds_of, read_centers, rounds_of
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress

from client.report.survival_pictures import RecordedCohort, draw_calibration, draw_curves
from client.tasks.survival import horizon_days
from server.study.file import read_study
from strategies.evaluation.survival_metrics import survival_at

FOLDS = 5


def main() -> None:
    """Cross-validate once and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds hn_clinical")
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    options = parser.parse_args()
    study = read_study(STUDY)
    centers, labels = read_centers(study, options.data), study.settings.labels
    found = {}
    with Progress(console=Console(stderr=True)) as progress:
        rounds = sum(rounds_of(stage, 1) for stage in study.stages)
        federation = Federation(
            study, "mtlr", progress, progress.add_task("rounds", total=FOLDS * rounds * len(centers))
        )
        for repeat, fold, test in folds_of(centers, FOLDS, 1):
            train = {name: [case for case in cases if case.name not in test] for name, cases in centers.items()}
            shared = federation.train(train, federation.start(), share=1, seed=[repeat, fold])
            tested = [case for cases in centers.values() for case in cases if case.name in test]
            found |= federation.predictions(shared, tested)
    cases = [case for of_center in centers.values() for case in of_center]
    times = np.array([case.targets["survival"] for case in cases], dtype=np.float64)
    predicted = np.array([found[case.name] for case in cases], dtype=np.float64)
    figure = Figure(figsize=(4.6 * len(labels.endpoints), 7.2), layout="constrained", facecolor="white")
    panels = figure.subplots(2, len(labels.endpoints))
    edges, horizon = np.array(labels.survival.edges_days), horizon_days(study.settings)
    for place, name in enumerate(labels.endpoints):
        days, event = times[:, place].T
        risk, survival = predicted[:, place, 0], predicted[:, place, 1:]
        cohort = RecordedCohort(name, days, event > 0, risk, survival, edges, horizon)
        draw_curves(panels[0, place], cohort)
        at_horizon = survival_at(edges, survival, horizon)
        if at_horizon is not None:
            draw_calibration(panels[1, place], cohort, at_horizon)
    figure.savefig(options.out, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
