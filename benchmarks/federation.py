"""What a federation costs: time beyond training, and bytes on the wire; with many centers: speed/many_centers.py.

    python benchmarks/federation.py [--rounds 8] [--only overhead|bytes] [--repeats 2]

overhead  seconds a round beyond the slowest center's training, of a study and of Flower's own FedAvg over an array of
          as many bytes, on the same SuperNodes (round_overhead.py); the project asks for a ratio of at most 1.2
bytes     tensor bytes to and from a center in a round, by the tensors of each model, against FedAvg over the whole
          model (backbone and all pathways, both ways); and what SuperLink counted in the runs of `overhead`

The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from light_study import write_study
from rich.console import Console
from rich.table import Table
from round_overhead import Bounds, Rounds, measure

from client.learning.assembly import study_specs
from deploy.supervision.telemetry import SWITCHED_OFF
from protocol.messages.settings import Training
from protocol.messages.tensors import BACKBONE, FUSION, PEFT, PET, TensorSpec, role_of
from server.study.file import Study, read_study
from server.study.stage import Stage

MODELS = ("pemma-unetr-small", "pemma-unetr-paper", "vmambax-small", "vmambax-paper")
TRAINING = Bounds(2, 5)
TARGET, MIB = 1.2, 1024**2


def overhead(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Time beyond training, study against FedAvg, over some repeats on fresh deployments."""
    ours: list[Rounds] = []
    theirs: list[Rounds] = []
    size = 0
    for repeat in range(options.repeats):
        place = folder / str(repeat)
        place.mkdir()
        study, fedavg, size = measure(place, rounds=options.rounds, bounds=TRAINING)
        ours.append(study)
        theirs.append(fedavg)
    ratio = _median(ours) / _median(theirs)
    table = Table("", "median s a round", "all rounds", title="Seconds a round beyond the slowest center's training")
    for name, runs in (("concilium", ours), ("FedAvg.start", theirs)):
        table.add_row(
            name, f"{_median(runs):.1f}", " ".join(f"{value:.1f}" for run in runs for value in run.overheads_s)
        )
    Console(width=140).print(table, f"ratio {ratio:.2f}, asked for at most {TARGET}")
    for name, run in (("concilium", ours[-1]), ("FedAvg.start", theirs[-1])):
        print(
            f"{name}: SuperLink counted {run.sent / 1e6:.2f} MB to its nodes and {run.received / 1e6:.2f} MB from them"
        )
    wire = {"sent": ours[-1].sent, "received": ours[-1].received, "tensor_bytes": size, "rounds": options.rounds}
    fedavg_wire = {"sent": theirs[-1].sent, "received": theirs[-1].received, "rounds": options.rounds}
    return {
        "ratio": ratio,
        "concilium_s": _median(ours),
        "fedavg_s": _median(theirs),
        "concilium_wire": wire,
        "fedavg_wire": fedavg_wire,
    }


def _median(runs: Sequence[Rounds]) -> float:
    return statistics.median(value for run in runs for value in run.overheads_s)


def bytes_on_the_wire(folder: Path, _options: argparse.Namespace) -> dict[str, Any]:
    """Tensor bytes of a round with one center, by stage, against both ways of the whole model."""
    table = Table("model", "stage", "down MiB", "up MiB", "whole model MiB", "FedAvg / ours", title="Bytes of a round")
    found: dict[str, Any] = {}
    for model in MODELS:
        study = read_study(write_study(folder / f"{model}.toml", model, 2, 2))
        specs = study_specs(study.settings.model_dump_json())
        for kind in ("adapt", "arrive"):
            row = round_bytes(study, study.stages[0].model_copy(update={"kind": kind}), specs)
            found[f"{model} {kind}"] = row
            mib = [f"{row[name] / MIB:.2f}" for name in ("down", "up", "whole")]
            table.add_row(model, kind, *mib, f"{row['ratio']:.0f}" if row["ratio"] >= 10 else f"{row['ratio']:.1f}")
    Console(width=140).print(table)
    return found


def round_bytes(study: Study, stage: Stage, specs: Sequence[TensorSpec]) -> dict[str, float]:
    """Bytes down and up of one round with one center (mean over the phases), and those of the whole model.

    Down go all shared tensors, as they may all have moved; up comes what trains in the round's phase.
    """
    size = Counter[str]()
    for spec in specs:
        size[spec.group] += 4 * prod(spec.shape)
    phases = [study.training_in(stage, completed) for completed in range(2)]
    moving = [[spec for spec in specs if _moves(spec, training)] for training in phases]
    up = statistics.mean(4 * sum(prod(spec.shape) for spec in found) for found in moving)
    down = size[PET] + size[FUSION] + size[PEFT]
    whole = size[BACKBONE] + size[PET] + size[FUSION]
    return {"down": down, "up": up, "whole": whole, "ratio": 2 * whole / (down + up)}


def _moves(spec: TensorSpec, training: Training) -> bool:
    return spec.group in training.groups and (spec.group != PEFT or role_of(spec.key) in training.roles)


PARTS: Mapping[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "overhead": overhead,
    "bytes": bytes_on_the_wire,
}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="What a federation costs.")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each run of `overhead`, the first left out")
    parser.add_argument("--repeats", type=int, default=2, help="runs of `overhead`, each on a fresh deployment")
    parser.add_argument("--only", choices=sorted(PARTS), help="one part alone")
    options = parser.parse_args()
    os.environ.update(SWITCHED_OFF)
    found: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "load": os.getloadavg()[0]}
    for name in (options.only,) if options.only else PARTS:
        with tempfile.TemporaryDirectory(prefix="federation-") as folder:
            found[name] = PARTS[name](Path(folder), options)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
