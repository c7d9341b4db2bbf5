"""What a cache of frozen features could save of validation: the part of a forward pass that no training changes.

    python benchmarks/speed/frozen_features.py [--network "PEMMA-UNETR, attention"] [--volume 51 45 46] [--repeats 5]

A case is predicted by sliding windows under CT+PET, CT and PET, as validation scores it; processor time of the calls
whose weights and inputs nothing that trains reaches (`frozen_calls.py`) stands beside that of the whole prediction,
in the same passes. That is the physical limit: a cache that costs nothing to write and read. What it would keep is the
output of those calls for every window, four times with flips. The share of a round is that of `--cases` cases scored
once under each setting beside `--steps` training steps of the platform's loop; its time is that of the process, with
one thread. Volumes are of the median size of the 37 patients of soft-tissue sarcoma on a grid of 4 mm; a network of
volumes sees two windows of 48 voxels in them. The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from frozen_calls import find_frozen, measure_calls
from rich.console import Console
from rich.table import Table
from study_networks import NETWORKS, Built, StudyNetwork, build_network, draw_images

from client.data.preprocessing import PreparedCase
from client.learning.training import train_locally
from client.tasks.segmentation import Segmentation
from client.tasks.sliding_windows import predict_logits
from protocol.messages.settings import Preprocessing, Training
from protocol.stages import usual_shares

SETTINGS = ("ct+pet", "ct", "pet")
TIMED_STEPS = 2


def measure(name: str, volume_zyx: tuple[int, int, int], repeats: int) -> dict[str, Any]:
    """Shares of a network's prediction, and seconds of it and of a step."""
    said = NETWORKS[name]
    built = build_network(said)
    case = draw_case("case", volume_zyx, 0)
    rows = {setting: _prediction(built, said, case, setting, repeats) for setting in SETTINGS}
    whole, frozen = (sum(row[key] for row in rows.values()) for key in ("seconds", "frozen_s"))
    # Settings share what they keep of an image: CT's of CT+PET is CT's of CT.
    kept = max(row["kept_bytes"] for row in rows.values())
    return {
        "network": name,
        "settings": rows,
        "limit": frozen / whole,
        "kept_mib": kept / 2**20,
        "views_with_flips": 1 + len(built.model.mirror_axes()),
        "prediction_s": whole,
        "step_s": _step_s(built, said, volume_zyx),
    }


def share_of_round(row: dict[str, Any], cases: int, steps: int, views: int) -> float:
    """What validation takes of a round."""
    validation = views * cases * row["prediction_s"]
    return validation / (validation + steps * row["step_s"])


def draw_case(name: str, volume_zyx: tuple[int, int, int], seed: int) -> PreparedCase:
    """A case of random intensities, a tenth of it contour."""
    rng = np.random.default_rng(seed)
    ct, pet = (rng.random(volume_zyx, dtype=np.float32) for _ in range(2))
    return PreparedCase(name, ct=ct, pet=pet, targets={"segmentation": (ct > 0.9).astype(np.uint8)})


def _prediction(built: Built, said: StudyNetwork, case: PreparedCase, setting: str, repeats: int) -> dict[str, Any]:
    """Median seconds of a prediction and of its frozen calls, and what a cache would keep of one view."""
    model = built.model.eval()
    window = model.window_zyx(case.targets["segmentation"].shape, said.crop_zyx)
    ct, pet = draw_images(window, 1)
    calls = find_frozen(model, ct if "ct" in setting else None, pet if "pet" in setting else None)
    seconds, shares, kept, by_module = list[float](), list[float](), 0, dict[str, float]()
    for turn in range(repeats + 1):
        with measure_calls(model, calls) as spent:
            whole = _seconds(lambda: predict_logits(model, case, setting, said.crop_zyx))
        kept, by_module = spent.kept_bytes, {name: of / whole for name, of in spent.by_module.most_common()}
        if turn:
            seconds.append(whole)
            shares.append(spent.seconds / whole)
    median = statistics.median(seconds)
    share = statistics.median(shares)
    return {
        "seconds": median,
        "frozen_s": share * median,
        "share": share,
        "kept_bytes": kept,
        "modules": by_module,
    }


def _step_s(built: Built, said: StudyNetwork, volume_zyx: tuple[int, int, int]) -> float:
    """Processor seconds of a step of the platform's loop at the usual mix of modalities."""
    parameters = {name: p for name, p in built.model.named_parameters() if p.requires_grad}
    rng, cases = np.random.default_rng(0), [draw_case(f"case-{n}", volume_zyx, n) for n in range(4)]
    task, begun = Segmentation(Preprocessing(crop_zyx=said.crop_zyx)), 0.0
    shares = usual_shares("adapt", "segmentation", ("ct", "pet"))
    for steps in (1, TIMED_STEPS * len(SETTINGS)):
        training = Training.model_validate(
            {"groups": said.groups, "local_steps": steps, "learning_rate": 1e-4, "modality_shares": shares}
        )
        begun = time.process_time()
        train_locally(
            built.model, parameters, cases, task=task, training=training, model_settings=built.row.settings, rng=rng
        )
    return (time.process_time() - begun) / (TIMED_STEPS * len(SETTINGS))


def _seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def tables(rows: list[dict[str, Any]], cases: int, steps: int) -> tuple[Table, Table]:
    """The limit of each network, and the modules that it is made of."""
    limits = Table(
        *("network", "frozen of CT+PET", "of CT", "of PET", "of validation", "MiB a case", "with flips"),
        *("validation of a round", "with flips", "limit of a round", "with flips"),
        title=f"what a cache could save, {cases} case(s), {steps} steps a round",
    )
    modules = Table("network", "setting", "module", "share of the prediction")
    for row in rows:
        parts = [f"{row['settings'][setting]['share']:.1%}" for setting in SETTINGS]
        views = (1, row["views_with_flips"])
        of_round = [share_of_round(row, cases, steps, each) for each in views]
        limits.add_row(
            *(row["network"], *parts, f"{row['limit']:.1%}"),
            *(f"{row['kept_mib'] * each:.0f}" for each in views),
            *(f"{share:.1%}" for share in of_round),
            *(f"{share * row['limit']:.1%}" for share in of_round),
        )
        for setting in SETTINGS:
            for module, share in list(row["settings"][setting]["modules"].items())[:3]:
                modules.add_row(row["network"], setting, module, f"{share:.1%}")
    return limits, modules


def main() -> None:
    """Measure, print the tables and the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", choices=tuple(NETWORKS), help="may be given again; all without")
    parser.add_argument("--volume", type=int, nargs=3, default=(51, 45, 46), metavar=("Z", "Y", "X"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", type=int, default=2, help="validation cases of a center")
    parser.add_argument("--steps", type=int, default=40, help="training steps of a round")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    z, y, x = options.volume
    rows = []
    for name in options.network or NETWORKS:
        rows.append(measure(name, (z, y, x), options.repeats))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    Console(width=170).print(*tables(rows, options.cases, options.steps))
    print(json.dumps({"benchmark": "frozen_features", "load": os.getloadavg(), "rows": rows}))


if __name__ == "__main__":
    main()
