"""What it costs, and changes, that a coordinator sees sums alone: the same study with and without, for each scheme.

    python benchmarks/secure_sums.py --data DIR --out OUT [--rounds 4] [--steps 20] [--test 0.3]
        [--schemes alt-exact,fedit,ffa-lora]

DIR holds the cases of centers a to d, of which d has CT alone. All four adapt a network from the same start; the two
runs of a scheme draw the same crops. Printed are the largest difference of a shared value in each tensor group, the
Dice of each center's test cases after the stage and how far it is apart, how far the stage moved the shared values (a
small difference says little where nothing moved), bytes that a center sends in a round, and seconds of a round beyond
training: between the ends of the first and the last round, so from two rounds on. `--rounds 1` compares means that
centers trained from the very same state. A run that is complete in OUT is not made again. The last line is one JSON
object.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from safetensors.numpy import load_file

from deploy.simulation.local import simulate
from protocol.messages.tensors import Tensors
from server.study import checkpoint as checkpoints
from server.study.audit_log import AuditEvent, read_events
from server.study.directory import INITIAL, StudyDirectory, read_prepared

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
test = {test}

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


def apart_by_group(first: Tensors, second: Tensors, groups: Mapping[str, str]) -> dict[str, float]:
    """`distance` by tensor group: one that only two centers stood behind in a round was not summed then.

    Args:
        first: tensors by key.
        second: tensors of the same keys.
        groups: key -> its tensor group.
    """
    names = sorted({groups[key] for key in first})
    return {
        name: distance(*({key: each[key] for key in first if groups[key] == name} for each in (first, second)))
        for name in names
    }


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
    """Dice by center and setting after the stage, how far the stage moved what is shared, and what a round takes."""
    state = checkpoints.load(directory.checkpoint)
    if state is None:
        raise RuntimeError(f"{directory.root} has no checkpoint")
    records, row = state.history.rounds, state.history.rows[-1]
    initial = load_file(directory.root / INITIAL)
    trained: dict[int, float] = {}
    for record in records:
        trained[record.server_round] = trained.get(record.server_round, 0.0) + record.seconds
    return {
        "dice": {
            f"{center}/{setting}": score.value("dice")
            for center, scores in row.test.items()
            for setting, score in scores.items()
        },
        "moved": distance(
            *({key: each[key] for key in state.shared.keys() & initial} for each in (state.shared, initial))
        ),
        "bytes_up": max(record.bytes_up for record in records),
        "overhead_s": overhead_of(read_events(directory.audit), trained),
    }


def overhead_of(events: Sequence[AuditEvent], trained: Mapping[int, float]) -> float | None:
    """Seconds of a round beyond training, over all but the first; None of one round alone.

    Args:
        events: of the audit log, which says to the second when a round ended.
        trained: server round -> seconds in which its centers trained, one after the other.
    """
    ends = {
        event.facts["server_round"]: datetime.fromisoformat(event.time) for event in events if event.event == "round"
    }
    if len(ends) < 2:
        return None
    first, last = min(ends), max(ends)
    between = (ends[last] - ends[first]).total_seconds()
    return round((between - sum(trained[number] for number in ends if number != first)) / (len(ends) - 1), 2)


def dice_apart(first: Mapping[str, float | None], second: Mapping[str, float | None]) -> float:
    """The largest difference of two Dice; infinite where one is known and the other is not."""
    if first.keys() != second.keys():
        return float("inf")
    pairs = [(one, second[key]) for key, one in first.items() if (one, second[key]) != (None, None)]
    return max((float("inf") if one is None or two is None else abs(one - two) for one, two in pairs), default=0.0)


def compare(scheme: str, options: argparse.Namespace) -> dict[str, Any]:
    """One scheme with sums and in the open."""
    method = "dora" if scheme == "alt-exact" else "lora"
    numbers = {"rounds": options.rounds, "steps": options.steps, "test": options.test}
    found = {}
    for name, tables in (("sums", SUMMED), ("open", "")):
        text = STUDY.format(method=method, scheme=scheme, tables=tables, **numbers)
        found[name] = run(text, options.data, options.out / f"{scheme}-{name}")
    states = [checkpoints.load(directory.checkpoint) for directory in found.values()]
    groups = {spec.key: spec.group for spec in read_prepared(found["open"].root).specs}
    off = apart_by_group(*(({} if state is None else state.shared) for state in states), groups)
    figures = {name: figures_of(directory) for name, directory in found.items()}
    apart = dice_apart(*(each["dice"] for each in figures.values()))
    return {"scheme": scheme, "off": off, "dice_off": apart, **figures}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 where a mean is another."""
    parser = argparse.ArgumentParser(description="A study with sums alone, and in the open.")
    parser.add_argument("--data", type=Path, required=True, help="cases of the four centers")
    parser.add_argument("--out", type=Path, required=True, help="the studies; complete ones are kept")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20, help="local steps of a round")
    parser.add_argument("--test", type=float, default=0.3, help="share of the cases that test")
    parser.add_argument("--schemes", default="alt-exact,fedit,ffa-lora")
    options = parser.parse_args(arguments)
    rows = [compare(scheme, options) for scheme in options.schemes.split(",")]
    for row in rows:
        for name in ("sums", "open"):
            figures = row[name]
            overhead = (
                "" if figures["overhead_s"] is None else f"  {figures['overhead_s']:.2f} s a round beyond training"
            )
            sys.stdout.write(
                f"{row['scheme']:10} {name:5} {figures['bytes_up']:12,} bytes up{overhead}  {figures['dice']}\n"
            )
        sys.stdout.write(
            f"{row['scheme']:10} largest difference of a shared value {row['off']}, of values that moved by up to "
            f"{row['open']['moved']:.2g}; of a Dice {row['dice_off']:.2g}\n"
        )
    sys.stdout.write(json.dumps({"runs": rows}) + "\n")
    return int(any(off >= 1e-5 for row in rows for off in row["off"].values()))


if __name__ == "__main__":
    sys.exit(main())
