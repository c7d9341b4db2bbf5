"""What it brings to make the next batch of crops in a thread while a step runs (`client/learning/prefetching.py`).

    python benchmarks/speed/prefetched_steps.py [--network "PEMMA-UNETR, attention"] [--repeats 9] [--steps 5]

Rounds of the platform's loop with and without the thread, in turn and in turned order, the same cases and the same
draws; one thread of torch. Beside the ratio of the clock's times, which depends on whether another core is free to
draw, stand that of the processor's times, which tells what the thread itself costs, and the part of the work that is
drawing: as much could be saved if another core were always free, and no more. The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from frozen_features import draw_case
from rich.console import Console
from rich.table import Table
from study_networks import NETWORKS, build_network

from client.learning.training import cases_by_setting, draw_batches, train_locally
from client.tasks.precision import available_precision
from client.tasks.segmentation import Segmentation
from protocol.messages.settings import Preprocessing, Training
from protocol.stages import usual_shares

MIXES: Mapping[str, Mapping[str, float]] = {
    "usual augmentation": {
        "affine": 0.3,
        "misalignment": 0.2,
        "brightness": 0.3,
        "gamma": 0.2,
        "noise": 0.1,
        "low_resolution": 0.1,
    },
    "flips and intensity alone": {},
    "every crop bent": {"affine": 1.0, "elastic": 1.0, "low_resolution": 1.0},
}
VOLUME_ZYX = (51, 45, 46)


class Seconds(NamedTuple):
    """Of one piece of work, by the clock and of the processor."""

    wall: float
    cpu: float


def measure(network: str, mix: str, precision: str, repeats: int, steps: int) -> dict[str, Any]:
    """Ratios of a round with the thread to one without, and the part of drawing."""
    said = NETWORKS[network]
    built = build_network(said)
    training = Training.model_validate(
        {
            "groups": said.groups,
            "local_steps": steps,
            "learning_rate": 1e-4,
            "modality_shares": usual_shares("adapt", "segmentation", ("ct", "pet")),
            "recipe": {"precision": precision, "augmentation": dict(MIXES[mix])},
        }
    )
    task = Segmentation(Preprocessing(crop_zyx=said.crop_zyx), recipe=training.recipe)
    parameters = {name: p for name, p in built.model.named_parameters() if p.requires_grad}
    cases, settings = [draw_case(f"case-{n}", VOLUME_ZYX, n) for n in range(4)], built.row.settings

    def ahead(seed: int) -> None:
        rng = np.random.default_rng(seed)
        train_locally(built.model, parameters, cases, task=task, training=training, model_settings=settings, rng=rng)

    def plain(seed: int) -> None:
        with patch("client.learning.training.prefetch", nullcontext):
            ahead(seed)

    def draw(seed: int) -> None:
        batches = cases_by_setting(cases, training, settings)
        for _ in draw_batches(task, batches, training, torch.device("cpu"), np.random.default_rng(seed)):
            pass

    ahead(0)
    turns = [_turn([ahead, plain, draw], number) for number in range(repeats)]
    return {
        "network": network,
        "mix": mix,
        "precision": precision,
        "step_s": statistics.median(without.cpu for _, without, _ in turns) / steps,
        "wall": statistics.median(with_.wall / without.wall for with_, without, _ in turns),
        "cpu": statistics.median(with_.cpu / without.cpu for with_, without, _ in turns),
        "drawing": statistics.median(drawn.cpu / without.cpu for _, without, drawn in turns),
    }


def _turn(works: list[Callable[[int], None]], number: int) -> list[Seconds]:
    """All works with the draws of one seed, in an order that is turned each time."""
    order = range(len(works)) if number % 2 else reversed(range(len(works)))
    found = {index: _seconds(works[index], number) for index in order}
    return [found[index] for index in range(len(works))]


def _seconds(work: Callable[[int], None], seed: int) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    work(seed)
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def table(rows: list[dict[str, Any]]) -> Table:
    """A line for each network, mix and precision."""
    columns = ("network", "crops", "precision", "step without, CPU s", "with / without, clock", "CPU", "drawing")
    found = Table(*columns, title="the next batch in a thread")
    for row in rows:
        numbers = (f"{row['step_s']:.3f}", f"{row['wall']:.2f}", f"{row['cpu']:.2f}", f"{row['drawing']:.1%}")
        found.add_row(row["network"], row["mix"], row["precision"], *numbers)
    return found


def main() -> None:
    """Measure, print the table and the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=tuple(NETWORKS), default="PEMMA-UNETR, attention and decoder")
    parser.add_argument("--mix", action="append", choices=tuple(MIXES), help="may be given again; all without")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--steps", type=int, default=5, help="of a round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    precisions = dict.fromkeys(("float32", available_precision("cpu")))
    rows = []
    for mix in options.mix or MIXES:
        for precision in precisions:
            rows.append(measure(options.network, mix, precision, options.repeats, options.steps))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    Console(width=140).print(table(rows))
    print(json.dumps({"benchmark": "prefetched_steps", "load": os.getloadavg(), "rows": rows}))


if __name__ == "__main__":
    main()
