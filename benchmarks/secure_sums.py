"""What it costs, and changes, that a coordinator sees sums alone: the same study with and without, for each scheme.

    python benchmarks/secure_sums.py --data DIR --out OUT [--rounds 4] [--steps 20] [--schemes alt-exact,fedit,ffa-lora]

DIR holds the cases of centers a to d, of which d has CT alone. All four adapt a network from the same start; the two
runs of a scheme draw the same crops. Printed are the largest difference of a shared value, the Dice of each center's
test cases after the stage, bytes that a center sends in a round, and seconds of a round beyond training. A run that is
complete in OUT is not made again. The last line is one JSON object.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from deploy.simulation.local import simulate
from protocol.messages.tensors import Tensors
from server.study import checkpoint as checkpoints
from server.study.directory import StudyDirectory

NAMES = ("center-a", "center-b", "center-c", "center-d")
STUDY = """
name = "sums"
title = "Sums alone"
formed_by = "one institution's patients; centers formed by acquisition protocol"
seed = 7
quorum = 3

[model]
name = "pemma-unetr-small"

[adapter]
method = "{method}"
rank = 8
alpha = 16

[preprocessing]
spacing_zyx_mm = [4.0, 4.0, 4.0]
pet_window_suv = [0.0, 15.0]
crop_zyx = [48, 48, 48]

[split]
validation = 0.16
test = 0.3

[strategy]
gate = false
aggregation.scheme = "{scheme}"
{tables}
[centers.center-a]
[centers.center-b]
[centers.center-c]
[centers.center-d]
modalities = ["ct"]

[[stages]]
name = "adapt"
kind = "adapt"
centers = ["center-a", "center-b", "center-c", "center-d"]
rounds = {rounds}
local_steps = {steps}
learning_rate = 1e-3
validate_every = 0
"""
SUMMED = "[secure_aggregation]\n"


def distance(first: Tensors, second: Tensors) -> float:
    """The largest difference of two values; infinite where the keys differ."""
    if first.keys() != second.keys():
        return float("inf")
    return max((float(np.abs(first[key] - second[key]).max()) for key in first), default=0.0)


def run(text: str, data: Path, out: Path) -> StudyDirectory:
    """The study, complete."""
    directory = StudyDirectory(out)
    if not directory.result.exists() or json.loads(directory.result.read_text())["status"] != "complete":
        out.parent.mkdir(parents=True, exist_ok=True)
        file = out.with_suffix(".toml")
        file.write_text(text)
        there = directory.study_file.exists()
        simulate(file, data, out, engine="in-process", device="auto", resume=there, console=Console(quiet=True))
    return directory


def figures_of(directory: StudyDirectory) -> dict[str, Any]:
    """Dice by center after the stage, and what a round takes."""
    state = checkpoints.load(directory.checkpoint)
    if state is None:
        raise RuntimeError(f"{directory.root} has no checkpoint")
    records, row = state.history.rounds, state.history.rows[-1]
    rounds = len({record.server_round for record in records})
    trained = sum(record.seconds for record in records)
    return {
        "dice": {
            center: {setting: score.value("dice") for setting, score in scores.items()}
            for center, scores in row.test.items()
        },
        "bytes_up": max(record.bytes_up for record in records),
        "overhead_s": round((state.elapsed_s - trained - sum(row.seconds.values())) / rounds, 2),
    }


def compare(scheme: str, options: argparse.Namespace) -> dict[str, Any]:
    """One scheme with sums and in the open."""
    method = "dora" if scheme == "alt-exact" else "lora"
    found = {}
    for name, tables in (("sums", SUMMED), ("open", "")):
        text = STUDY.format(method=method, scheme=scheme, tables=tables, rounds=options.rounds, steps=options.steps)
        found[name] = run(text, options.data, options.out / f"{scheme}-{name}")
    states = [checkpoints.load(directory.checkpoint) for directory in found.values()]
    off = distance(*(({} if state is None else state.shared) for state in states))
    return {"scheme": scheme, "off": off, **{name: figures_of(directory) for name, directory in found.items()}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 where a mean is another."""
    parser = argparse.ArgumentParser(description="A study with sums alone, and in the open.")
    parser.add_argument("--data", type=Path, required=True, help="cases of the four centers")
    parser.add_argument("--out", type=Path, required=True, help="the studies; complete ones are kept")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20, help="local steps of a round")
    parser.add_argument("--schemes", default="alt-exact,fedit,ffa-lora")
    options = parser.parse_args(arguments)
    rows = [compare(scheme, options) for scheme in options.schemes.split(",")]
    for row in rows:
        for name in ("sums", "open"):
            figures = row[name]
            sys.stdout.write(
                f"{row['scheme']:10} {name:5} {figures['bytes_up']:12,} bytes up  {figures['overhead_s']:8.2f} s a "
                f"round beyond training  {figures['dice']}\n"
            )
        sys.stdout.write(f"{row['scheme']:10} largest difference of a shared value {row['off']:.2g}\n")
    sys.stdout.write(json.dumps({"runs": rows}) + "\n")
    return int(any(row["off"] >= 1e-5 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
