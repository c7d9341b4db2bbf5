"""Robust rules against attacks, on real cases: final Dice of honest centers, and what each rule costs without a liar.

    OMP_NUM_THREADS=1 python benchmarks/privacy/attacks.py --data ../shared/data/sts --out runs/attacks [--hours 1]
        [--rounds 8] [--steps 8] [--centers 7] [--liars 1] [--seeds 1] [--backbone-steps 400]
        [--pathway published] [--pairs RULE:ATTACK ..]

Soft-tissue sarcoma FDG-PET/CT of one institution; seven centers made by splitting the patients in the order of their
names. Of five patients two test. From one CT backbone, trained on all training patients before anybody lies, the PET
pathway and the adapters learn in rounds of `alt-exact`; the last center lies. The pathway begins as it was published
unless `--pathway identity` says otherwise: untrained PET spoils what the backbone knows of CT, so that there is much
to learn and as much to be kept from learning.

    mean               the weighted mean of what comes, cases as claimed: no study is run so
    every study        admission, cuts beside the others, capped shares: what a study has that says nothing
    a rule             on top of that, with as many liars as there are; the reference of fltrust is the first center

    none               the last center is honest
    label flip         it trains on tumour and background changed about
    inflated cases     the same, with a claim of 1,000,000 cases
    sign flip          it sends its update turned round
    turned and scaled  ten times, as far as admission lets it in each round
    scaled             ten times its honest update, likewise
    free rider         it sends back what it got
    replayed           it sends what it sent first in each phase
    backdoor           half of its cases have a bright cube in CT with a ball of tumour around; four times, likewise

Dice is the mean over the test patients of the centers that are honest under every attack. `fooled` is the share of
these patients in whom at least half of the ball around a cube that is put into their CT is called tumour; the row
`none` says how many a network calls so that nobody poisoned. `start` is the Dice before the first round. Each run is
a file in OUT, and a run that is there is not run again. The last line is one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from poisoned_federation import Arm, Attack, Federation, split_centers
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from protocol.local_steps import reach_of
from protocol.messages.recipe import UNVARIED
from protocol.messages.settings import Robust
from protocol.storage.atomic_files import write_text
from server.study.file import Study, read_study
from strategies.robust.rules import RULES
from tests.support.attacks import UPDATES, Replayed, as_far_as_admitted
from tests.support.hostile_updates import times
from tests.support.poisoned_cases import flip_labels, plant, trigger

STUDY = Path(__file__).parents[2] / "studies" / "sts.toml"
CROP = (32, 32, 32)
BOOST = 4
MEAN, EVERY = "mean", "every study"


def small_study(pathway: str) -> Study:
    """The network and the recipe of the study on sarcoma, on smaller crops, without augmentation and mirrored views."""
    study = read_study(STUDY)
    changes = {
        "model": study.model.model_copy(update={"options": {"pathway": pathway}}),
        "preprocessing": study.preprocessing.model_copy(update={"crop_zyx": CROP}),
        "training": study.training.model_copy(update={"augmentation": UNVARIED}),
        "prediction": study.prediction.model_copy(update={"flips": False}),
    }
    return study.model_copy(update=changes)


def arms(liars: int, reference: str) -> dict[str, Arm]:
    """What the coordinator may do, by name."""
    rules = {
        name: Arm(robust=Robust(rule=name, liars=liars, reference=reference if rule.referenced else ""))
        for name, rule in RULES.items()
    }
    return {MEAN: Arm(protected=False), EVERY: Arm(), **rules}


def attacks() -> dict[str, Attack]:
    """What a liar may do, by name."""
    replayed = Replayed()

    def flipped(case: Any, _rng: np.random.Generator) -> Any:
        return flip_labels(case)

    def planted(case: Any, rng: np.random.Generator) -> Any:
        return plant(case, rng) if rng.random() < 0.5 else case

    def bounded(name: str) -> Attack:
        return Attack(change=lambda training: as_far_as_admitted(UPDATES[name], reach_of(training)))

    return {
        "none": Attack(),
        "label flip": Attack(flipped),
        "inflated cases": Attack(flipped, lambda _: UPDATES["inflated cases"]),
        "sign flip": Attack(change=lambda _: UPDATES["sign flip"]),
        "turned and scaled": bounded("turned and scaled"),
        "scaled": bounded("scaled"),
        "free rider": Attack(change=lambda _: UPDATES["free rider"]),
        "replayed": Attack(change=lambda _: replayed),
        "backdoor": Attack(planted, lambda training: as_far_as_admitted(times(BOOST), reach_of(training))),
    }


def run_missing(options: argparse.Namespace, study: Study, seed: int, ends_at: float) -> Iterator[dict[str, Any]]:
    """The figures of every pair, from their files or from a run; none of those for which no time is left."""
    federation: Federation | None = None
    pairs = [(rule, attack) for attack in attacks() for rule in arms(options.liars, "")]
    wanted = [pair for pair in pairs if not options.pairs or ":".join(pair) in options.pairs]
    for rule, attack in wanted:
        file = options.out / f"{seed}-{rule}-{attack}.json".replace(" ", "-")
        if file.exists():
            yield json.loads(file.read_text())
        elif time.monotonic() < ends_at:
            federation = federation or make_federation(options, study, seed)
            figures = measure(federation, rule, attack, options)
            write_text(file, json.dumps(figures))
            print(f"{seed} {rule} / {attack}: Dice {figures['dice']:.3f}, {figures['seconds']:.0f} s", file=sys.stderr)
            yield figures


def make_federation(options: argparse.Namespace, study: Study, seed: int) -> Federation:
    """The centers with a backbone that a first run leaves in OUT for the others."""
    centers = split_centers(options.data, options.centers, study)
    federation = Federation(study, centers, liars=options.liars, seed=seed)
    kept = options.out / f"{seed}-backbone.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            federation.backbone = dict(arrays)
    else:
        federation.learn_backbone(options.backbone_steps)
        np.savez(kept, **federation.backbone)
    return federation


def measure(federation: Federation, rule: str, attack: str, options: argparse.Namespace) -> dict[str, Any]:
    """One run's figures."""
    began = time.monotonic()
    arm = arms(options.liars, federation.honest[0].name)[rule]
    outcome = federation.run(arm, attacks()[attack], rounds=options.rounds, steps=options.steps)
    scores, before = federation.score(outcome.shared), federation.start_scores
    cases = [case for center in federation.honest for case in center.test]
    figures: dict[str, Any] = {
        "rule": rule,
        "attack": attack,
        "seed": federation.seed,
        "start": float(np.mean([value for values in before.values() for value in values])),
        "dice": float(np.mean([value for values in scores.values() for value in values])),
        "by_center": {name: float(np.mean(values)) for name, values in scores.items()},
        "refused_rounds": outcome.refused,
        "weight": {center.name: weight_of(outcome.weights, center.name) for center in federation.centers},
    }
    if attack in {"none", "backdoor"}:
        found = [trigger(case, np.random.default_rng([7, place])) for place, case in enumerate(cases)]
        figures["fooled"] = federation.fooled(outcome.shared, [(one.case, one.ball) for one in found])
    return {**figures, "seconds": time.monotonic() - began}


def weight_of(rounds: list[Mapping[str, Mapping[str, float]]], center: str) -> float:
    """A center's mean share over rounds and groups."""
    shares = [
        weights.get(center, 0.0) / sum(weights.values()) for each in rounds for weights in each.values() if weights
    ]
    return float(np.mean(shares))


def show(found: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """The tables, and their numbers by rule and attack: means over seeds."""
    dice: dict[str, dict[str, float]] = {}
    fooled: dict[str, dict[str, float]] = {}
    for rule in arms(options.liars, ""):
        for attack in attacks():
            runs = [run for run in found if (run["rule"], run["attack"]) == (rule, attack)]
            if runs:
                dice.setdefault(rule, {})[attack] = float(np.mean([run["dice"] for run in runs]))
            if told := [run["fooled"] for run in runs if "fooled" in run]:
                fooled.setdefault(rule, {})[attack] = float(np.mean(told))
    table = Table("", *attacks(), "fooled: none", "fooled: backdoor", title="Dice of honest centers' test patients")
    for rule, row in dice.items():
        cells = [f"{row[attack]:.3f}" if attack in row else "-" for attack in attacks()]
        told = [f"{fooled.get(rule, {})[name]:.2f}" if name in fooled.get(rule, {}) else "-" for name in FOOLED]
        table.add_row(rule, *cells, *told)
    Console(width=200).print(table)
    return {"dice": dice, "fooled": fooled, "costs": costs_of(found)}


FOOLED = ("none", "backdoor")


def costs_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each rule without a liar: Dice more than the mean's, its worst center, and what the least heard weighs."""
    clean = {(run["rule"], run["seed"]): run for run in found if run["attack"] == "none"}
    costs: dict[str, Any] = {}
    for (rule, seed), run in clean.items():
        if (MEAN, seed) in clean:
            own = costs.setdefault(rule, {"difference": [], "worst_center": [], "least_heard": []})
            own["difference"].append(run["dice"] - clean[MEAN, seed]["dice"])
            own["worst_center"].append(min(run["by_center"].values()))
            own["least_heard"].append(min(run["weight"].values()))
    return costs


def main() -> None:
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder sts")
    parser.add_argument("--out", type=Path, required=True, help="holds a file a run")
    parser.add_argument("--hours", type=float, default=1.0, help="no run begins later")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--centers", type=int, default=7)
    parser.add_argument("--liars", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--backbone-steps", type=int, default=400)
    parser.add_argument("--pathway", choices=("published", "identity"), default="published", help="how PET begins")
    parser.add_argument("--pairs", nargs="*", default=(), help='such as "mean:label flip"; all where none is named')
    options = parser.parse_args()
    ends_at = time.monotonic() + 3600 * options.hours
    options.out.mkdir(parents=True, exist_ok=True)
    study = small_study(options.pathway)
    found = [run for seed in range(1, options.seeds + 1) for run in run_missing(options, study, seed, ends_at)]
    facts = {
        name: getattr(options, name)
        for name in ("rounds", "steps", "centers", "liars", "seeds", "backbone_steps", "pathway")
    }
    print(json.dumps({"benchmark": "attacks", **facts, "runs": len(found), **show(found, options)}))


if __name__ == "__main__":
    main()
