"""PEMMA-Swin against PEMMA-UNETR on real cases, at equal steps and at equal time, three seeds.

    python benchmarks/swin_against_unetr.py --data DIR --out OUT [--jobs 2]

Each arm is `studies/sts-pemma-swin-benchmark.toml` with its own model and number of local steps, run by
`concilium benchmark`; what is in OUT already is not run again. Equal time: the CPU seconds of a training step of each
network are measured, for CT pretraining and for adaptation with CT and PET, and UNETR gets the steps that take as long
as Swin's. The trainable share is what a stage after pretraining trains (pathways and LoRA) of all weights of
the network with its adapter. The last line is one JSON object.
"""

import argparse
import json
import re
import statistics
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from client.learning.assembly import build, inject_adapter, row_of, study_specs
from client.learning.trainable import train_only
from deploy.comparison.command import benchmark
from deploy.comparison.outcomes import Outcome, read_outcome
from deploy.comparison.planner import read_plan
from deploy.comparison.run_folders import folder_of
from fusion_models.losses import dice_cross_entropy
from fusion_models.modality import restrict
from protocol.messages.settings import StudySettings
from strategies.evaluation.paired_tests import contrasts
from strategies.evaluation.resampling import draw_patients

FILE = Path(__file__).resolve().parent.parent / "studies" / "sts-pemma-swin-benchmark.toml"
# What the documented figures were measured with; both were defaults.
UNETR = 'name = "pemma-unetr-small"\noptions = { pathway = "published" }'
IN_ATTENTION = '[study.adapter]\ntargets = ["attn.qkv", "attn.out_proj"]'
SWIN = re.compile(r'name = "pemma-swin-small"\noptions = .*')
STEPS = re.compile(r"local_steps = (\d+)")
ARMS = {"swin": "PEMMA-Swin", "unetr-steps": "PEMMA-UNETR, equal steps", "unetr-time": "PEMMA-UNETR, equal time"}


def step_seconds(settings: StudySettings, groups: tuple[str, ...], setting: str) -> float:
    """CPU seconds of one training step on two crops of noise, after one to warm up."""
    row = row_of(settings)
    model = build(settings, row)
    if "peft" in groups:
        inject_adapter(model, settings, row)
    model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(train_only(model, groups, row.pathways).values())
    ct, pet = (torch.rand(2, 1, *settings.preprocessing.crop_zyx) for _ in range(2))
    given = restrict(setting, ct, pet)
    found = []
    for _ in range(4):
        start = time.process_time()
        optimiser.zero_grad()
        dice_cross_entropy(model(*given), (ct > 0.9).float()).backward()
        optimiser.step()
        found.append(time.process_time() - start)
    return statistics.median(found[1:])


def cost(file: Path) -> float:
    """CPU seconds that all training steps of a benchmark's backbone and of one run take."""
    plan = read_plan(file)
    settings = plan.runs[0].study.settings
    backbone = 0 if plan.backbone is None else sum(plan.backbone.steps_by_center().values())
    adapted = sum(plan.runs[0].study.steps_by_center().values())
    return backbone * step_seconds(settings, ("backbone",), "ct") + adapted * step_seconds(
        settings, ("pet", "fusion", "peft"), "ct+pet"
    )


def share(file: Path) -> tuple[int, int]:
    """Weights that a stage after pretraining trains, and all weights."""
    counts: Counter[str] = Counter()
    for spec in study_specs(read_plan(file).runs[0].study.settings.model_dump_json()):
        counts[spec.group] += int(torch.Size(spec.shape).numel())
    return counts["pet"] + counts["fusion"] + counts["peft"], counts.total()


def with_unetr(text: str) -> str:
    """The benchmark file with UNETR in place of Swin.

    Raises:
        ValueError: it does not name Swin as the pattern expects, exactly once.
    """
    found, places = SWIN.subn(UNETR, text)
    if places != 1:
        raise ValueError(
            f"{FILE} names Swin at {places} places that match '{SWIN.pattern}', expected 1; mend the pattern"
        )
    return found.replace("[study.adapter]", IN_ATTENTION)


def write_arms(out: Path) -> dict[str, tuple[Path, float]]:
    """The benchmark file of each arm, and the CPU seconds that its training takes; both as they were, if there."""
    kept = out / "arms.json"
    if not kept.exists():
        text = FILE.read_text()
        files = {name: out / f"{name}.toml" for name in ARMS}
        files["swin"].write_text(text)
        files["unetr-steps"].write_text(with_unetr(text))
        seconds = {name: cost(files[name]) for name in ("swin", "unetr-steps")}
        ratio = seconds["swin"] / seconds["unetr-steps"]
        longer = STEPS.sub(lambda found: f"local_steps = {round(int(found[1]) * ratio)}", with_unetr(text))
        files["unetr-time"].write_text(longer)
        seconds["unetr-time"] = seconds["unetr-steps"] * round(10 * ratio) / 10
        kept.write_text(json.dumps(seconds))
    seconds = json.loads(kept.read_text())
    return {name: (out / f"{name}.toml", seconds[name]) for name in ARMS}


def main() -> None:
    """Run the arms that are left and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    cases = options.out / "cache"
    cases.mkdir(parents=True, exist_ok=True)
    console, figures = Console(), {}
    for name, (file, seconds) in write_arms(options.out).items():
        (options.out / name).mkdir(exist_ok=True)
        if not (options.out / name / "cache").exists():
            (options.out / name / "cache").symlink_to(cases.resolve())
        benchmark(file, options.data, options.out / name, jobs=options.jobs, only=(), device="cpu", console=console)
        figures[name] = figures_of(file, options.out / name, seconds)
    table = Table("arm", *next(iter(figures.values())), title="test Dice, mean of centers and seeds")
    for name, row in figures.items():
        cells = [f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()]
        table.add_row(ARMS[name], *cells)
    console.print(table)
    differences = pair(options.out)
    for setting, found in differences.items():
        console.print(setting, *(f"Swin minus {ARMS[name]}: {words}" for name, words in found.items()), sep="\n  ")
    print(json.dumps({"arms": figures, "differences": differences}))


def pair(out: Path) -> dict[str, dict[str, str]]:
    """Swin minus each other arm, patient by patient, for each setting."""
    outcomes = {name: outcomes_of(out / f"{name}.toml", out / name) for name in ARMS}
    return {setting: differences(outcomes, setting) for setting in outcomes["swin"][0].scores}


def outcomes_of(file: Path, out: Path) -> list[Outcome]:
    """The completed runs of an arm."""
    plan = read_plan(file)
    found = [read_outcome(run, folder_of(out, run)) for run in plan.runs]
    return [each for each in found if isinstance(each, Outcome)]


def differences(outcomes: dict[str, list[Outcome]], setting: str) -> dict[str, str]:
    """Mean over centers with its 95 % interval, and the adjusted p of the signed-rank test."""
    runs = {name: [each.scores[setting] for each in found] for name, found in outcomes.items()}
    draws = draw_patients(runs["swin"][0].cases)
    return {
        name: f"{interval(asdict(found.difference))}, p {found.p_holm:.3f}"
        for name, found in contrasts("swin", runs, draws).items()
    }


def interval(average: dict[str, float]) -> str:
    """Mean and 95 % interval."""
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**average)


def figures_of(file: Path, out: Path, seconds: float) -> dict[str, Any]:
    """What the table shows of an arm."""
    plan, found = read_plan(file), json.loads((out / "benchmark.json").read_text())
    trained, total = share(file)
    scores = found["arms"]["pemma"]["scores"]
    backbone = 0 if plan.backbone is None else sum(plan.backbone.steps_by_center().values())
    return {
        **{setting: interval(scores[setting]["pooled"]["average"]) for setting in found["settings"]},
        "steps": f"{backbone} + {found['local_steps']}",
        "CPU minutes of training": seconds / 60,
        "weights": total,
        "trained after pretraining": f"{trained:,} = {100 * trained / total:.1f} %",
    }


if __name__ == "__main__":
    main()
