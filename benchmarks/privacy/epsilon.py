"""Dice against epsilon on real cases: what a guarantee costs a center of few patients, and one of three times as many.

    OMP_NUM_THREADS=1 python benchmarks/privacy/epsilon.py --data DIR --out OUT [--jobs 2] [--hours 1]

Every arm of `studies/sts-privacy-benchmark.toml` is a study of its own, run by `concilium benchmark`: what is in OUT
already is not run again, and after `--hours` the table is of what there is. Beside the Dice stands what the center's
own ledger says was spent. Row 0 is the backbone, before anything was adapted. The last line is one JSON object.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from client.privacy.accountant import epsilon_of
from client.privacy.privacy_ledger import PrivacyLedger
from deploy.comparison.command import benchmark
from deploy.comparison.outcomes import Outcome, read_outcome
from deploy.comparison.planner import read_plan
from deploy.comparison.run_folders import folder_of
from deploy.simulation.local import center_home

FILE = Path(__file__).resolve().parents[2] / "studies" / "sts-privacy-benchmark.toml"
SETTING = "pet"


class Row(NamedTuple):
    """One run: its center, the epsilon that its arm is named by, and what came of it."""

    center: str
    epsilon: str
    seed: int
    backbone: float
    dice: float
    spent: float
    noise_multiplier: float


def rows(out: Path) -> Iterator[Row]:
    """Every run that is complete."""
    for run in read_plan(FILE).runs:
        found = read_outcome(run, folder_of(out, run))
        if isinstance(found, Outcome):
            center, _, epsilon = run.arm.partition("-")
            matrix = found.scores[SETTING].matrix
            first, last = (float(matrix.values[place, matrix.centers.index(center)]) for place in (0, -1))
            privacy = run.study.privacy
            releases = PrivacyLedger(center_home(folder_of(out, run), center)).releases() if privacy else ()
            spent = epsilon_of(releases, privacy.delta) if privacy else float("inf")
            noise = max((release.noise_multiplier for release in releases), default=0.0)
            yield Row(center, epsilon, run.seed, first, last, spent, noise)


def summary(found: list[Row]) -> list[dict[str, Any]]:
    """Means over seeds, with their range, in the order of the file."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in found:
        groups[row.center, row.epsilon].append(row)
    return [
        {
            "center": center,
            "epsilon": epsilon,
            "seeds": len(of_arm),
            "backbone": mean(row.backbone for row in of_arm),
            "dice": mean(row.dice for row in of_arm),
            "lowest": min(row.dice for row in of_arm),
            "highest": max(row.dice for row in of_arm),
            "spent": None if epsilon == "inf" else max(row.spent for row in of_arm),
            "noise_multiplier": max(row.noise_multiplier for row in of_arm),
        }
        for (center, epsilon), of_arm in groups.items()
    ]


def table_of(found: list[dict[str, Any]]) -> Table:
    """The summary for people."""
    table = Table(
        "center", "epsilon", "spent", "sigma", "backbone", "Dice", "range", "seeds", title="test Dice, PET alone"
    )
    for row in found:
        spent = "-" if row["spent"] is None else f"{row['spent']:.2f}"
        ends = f"{row['lowest']:.3f} to {row['highest']:.3f}"
        cells = (f"{row['noise_multiplier']:.2f}", f"{row['backbone']:.3f}", f"{row['dice']:.3f}", ends)
        table.add_row(row["center"], row["epsilon"], spent, *cells, str(row["seeds"]))
    return table


def main() -> None:
    """Run what is left and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--hours", type=float, default=None, help="end after so long; the same command goes on")
    options = parser.parse_args()
    console = Console(width=140)
    benchmark(
        FILE,
        options.data,
        options.out,
        jobs=options.jobs,
        only=(),
        device="cpu",
        console=console,
        hours=options.hours,
    )
    found = list(rows(options.out))
    console.print(table_of(summary(found)))
    print(json.dumps({"benchmark": "epsilon", "arms": summary(found), "runs": [row._asdict() for row in found]}))


if __name__ == "__main__":
    main()
