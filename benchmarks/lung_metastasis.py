"""Whether CT and PET tell who gets lung metastases: cross-validated, federated beside pooled and local training.

    python benchmarks/lung_metastasis.py --data ../shared/data/sts [--folds 5] [--repeats 2] [--rounds 4] [--steps 8]

Real CT/PET of 37 soft-tissue sarcomas of one institution, 14 with the event; centers formed by acquisition protocol.
The network, its grid and its labels are those of studies/sts-lung-metastasis.toml; it trains from scratch, whole, on
CT+PET, CT and PET in the shares of a study's stage. In every repeat each patient is predicted once, from CT+PET, by
networks that never saw the patient, and the predictions of all centers are judged together, which only a benchmark may
do. Pairs of patients of two folds then compare probabilities of two networks, a bias that tends to lower AUC.

    federated   rounds of local steps at each center, then the mean of all tensors weighted by the root of its cases
    pooled      the same number of steps on all cases, with batches of as many crops as the centers draw together
    local       each center for itself, the same steps; a center whose training cases are of one class predicts nobody
    PET maximum no training at all: the highest SUV of the image as the score, for what it says of the task itself

Figures are means over repeats of a figure of the cohort; intervals are 95 % of a bootstrap over patients, all repeats
on the same resamples. Repeats share their patients: they say how much the folds and the drawing matter, not more about
the population. Accuracy stands beside the majority rate. The last line is one JSON object.
"""

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from torch import nn

from client.data.preprocessing import PreparedCase, prepare_case
from client.learning.assembly import arrays_of, assemble, build, row_of, tensor_specs
from client.learning.thin_groups import part_groups
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.tasks.building import build_task
from client.tasks.contract import CenterTask
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import LabelError
from protocol.messages.payload import Payload
from protocol.messages.settings import StudySettings, Training
from protocol.messages.tensors import Tensors
from server.study.file import read_study
from strategies.aggregation import fedit
from strategies.aggregation.contract import Base
from strategies.evaluation.classification_metrics import METRICS
from strategies.evaluation.folds import stratified_folds

STUDY = Path(__file__).parents[1] / "studies" / "sts-lung-metastasis.toml"
TASK = "classification"
GROUPS = ("backbone", "pet", "fusion", "head")
SHARES = {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}
RATE, BATCH = 2e-3, 4
DRAWS = 2000
ARMS = ("federated", "pooled", "local")
SHOWN = ("auc", "g_mean", "accuracy", "majority", "sensitivity", "specificity")
Centers = Mapping[str, Sequence[PreparedCase]]
Floats = NDArray[np.float64]


def read_centers(data: Path, settings: StudySettings) -> dict[str, list[PreparedCase]]:
    """The cases of each center with their class, on the study's grid."""
    with (data / "participants.csv").open(encoding="utf-8") as file:
        rows = {row["patient"]: row for row in csv.DictReader(file)}
    found: dict[str, list[PreparedCase]] = {}
    for folder in sorted(path for path in data.glob("center-*/*") if path.name in rows):
        paths = {name: folder / f"{name}.nii.gz" for name in ("ct", "pet")}
        own = np.array(int(rows[folder.name]["lung_metastasis"]))
        case = prepare_case(folder.name, paths, settings.preprocessing)
        found.setdefault(folder.parent.name, []).append(replace(case, targets={TASK: own}))
    return found


class Trainer:
    """Trains networks of a study from one drawn start; `advance` is called after each step."""

    def __init__(self, settings: StudySettings, *, rounds: int, steps: int, progress: Progress, bar: TaskID) -> None:
        self.settings, self.row, self.rounds, self.steps = settings, row_of(settings), rounds, steps
        self.task: CenterTask = build_task(TASK, settings)
        self._progress, self._bar = progress, bar

    def start(self) -> dict[str, NDArray[np.float32]]:
        """The tensors that every network of the study starts from."""
        return arrays_of(parameters_by_key(build(self.settings, self.row)))

    def network(self, tensors: Tensors) -> nn.Module:
        """The network with these tensors."""
        return assemble(self.settings, self.row, tensors, {})

    def train(
        self, model: nn.Module, cases: Sequence[PreparedCase], *, steps: int, batch: int, seed: Sequence[int]
    ) -> Mapping[str, int]:
        """Train all of a network in place; returns the cases behind each group."""
        training = Training(
            groups=GROUPS, local_steps=steps, learning_rate=RATE, batch_size=batch, modality_shares=SHARES
        )
        trained = train_locally(
            model,
            train_only(model, GROUPS, self.row.pathways),
            cases,
            task=self.task,
            training=training,
            model_settings=self.row.settings,
            rng=np.random.default_rng(seed),
            check=lambda: self._progress.advance(self._bar),
        )
        return part_groups(GROUPS, trained.used, 1).support

    def federated(self, centers: Centers, seed: Sequence[int]) -> nn.Module:
        """Rounds of local training and averaging over the centers that can learn the classes."""
        shared = self.start()
        groups = {spec.key: spec.group for spec in tensor_specs(self.network(shared), self.row.pathways)}
        learnable = {name: cases for name, cases in centers.items() if self.can_learn(cases)}
        for number in range(self.rounds):
            payloads = []
            for place, (name, cases) in enumerate(learnable.items()):
                model = self.network(shared)
                support = self.train(model, cases, steps=self.steps, batch=BATCH, seed=[*seed, number, place])
                payloads.append(
                    Payload(name, "", "all", number, tensors=arrays_of(parameters_by_key(model)), support=support)
                )
            shared = fedit.aggregate(shared, payloads, Base(groups, frozen={}, alpha=1, rank=1), {}).shared
        return self.network(shared)

    def alone(self, cases: Sequence[PreparedCase], *, batch: int, seed: Sequence[int]) -> nn.Module:
        """One network of these cases alone."""
        model = self.network(self.start())
        self.train(model, cases, steps=self.rounds * self.steps, batch=batch, seed=seed)
        return model

    def can_learn(self, cases: Sequence[PreparedCase]) -> bool:
        """Whether the cases are of more than one class."""
        try:
            self.task.fitted_to(cases)
        except LabelError:
            return False
        return True

    def predict(self, model: nn.Module, cases: Sequence[PreparedCase]) -> dict[str, Floats]:
        """Probabilities (classes,) of each case from CT and PET."""
        return {case.name: self.task.predict(model, case, "ct+pet").astype(np.float64) for case in cases}


def predict_fold(
    trainer: Trainer, centers: Centers, test: set[str], seed: Sequence[int]
) -> dict[str, dict[str, Floats]]:
    """The test cases' probabilities by arm; a case that no network of an arm may predict is missing there."""
    train = {name: [case for case in cases if case.name not in test] for name, cases in centers.items()}
    tested = {name: [case for case in cases if case.name in test] for name, cases in centers.items()}
    everyone = [case for cases in tested.values() for case in cases]
    pooled = trainer.alone([case for cases in train.values() for case in cases], batch=BATCH * len(centers), seed=seed)
    found = {
        "federated": trainer.predict(trainer.federated(train, seed), everyone),
        "pooled": trainer.predict(pooled, everyone),
        "local": {},
    }
    for name, cases in train.items():
        if tested[name] and trainer.can_learn(cases):
            found["local"] |= trainer.predict(trainer.alone(cases, batch=BATCH, seed=seed), tested[name])
    return found


def cross_validate(trainer: Trainer, centers: Centers, *, folds: int, repeats: int) -> dict[str, Floats]:
    """Probabilities (repeats, cases, 2) by arm, cases in the order of the centers; NaN where nobody predicted."""
    cases = [case for of_center in centers.values() for case in of_center]
    places = {case.name: place for place, case in enumerate(cases)}
    strata = {case.name: (int(case.targets[TASK]), name) for name, own in centers.items() for case in own}
    found = {arm: np.full((repeats, len(cases), 2), np.nan) for arm in ARMS}
    for repeat in range(repeats):
        for fold, test in enumerate(stratified_folds(strata, folds, np.random.default_rng([0, repeat]))):
            for arm, of_cases in predict_fold(trainer, centers, set(test), [repeat, fold]).items():
                for name, probability in of_cases.items():
                    found[arm][repeat, places[name]] = probability
    return found


def figures_of(truth: NDArray[np.int64], probability: Floats, weights: Floats) -> dict[str, Floats]:
    """Every metric in every draw, (draws,): the mean over repeats; a case without a probability counts in none."""
    found: dict[str, list[Floats]] = {name: [] for name in SHOWN}
    for of_repeat in probability:
        known = ~np.isnan(of_repeat[:, 0])
        for name in SHOWN:
            found[name].append(METRICS[name](truth[known], of_repeat[known], weights[:, known]))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def interval(values: Floats) -> list[float]:
    """The figure itself and the ends of its 95 % interval over the draws that define it."""
    return [float(values[0]), *np.nanquantile(values[1:], [0.025, 0.975]).tolist()]


def judge(centers: Centers, found: Mapping[str, Floats]) -> dict[str, Any]:
    """Figures of each arm, and what the federated arm has more than the others on the patients of both."""
    cases = [case for of_center in centers.values() for case in of_center]
    truth = np.array([int(case.targets[TASK]) for case in cases])
    draws = np.random.default_rng(1).multinomial(len(cases), np.full(len(cases), 1 / len(cases)), DRAWS)
    weights = np.concatenate([np.ones((1, len(cases))), draws])
    highest = np.array([[0, case.pet.max()] for case in cases if case.pet is not None], dtype=np.float64)
    maximum = METRICS["auc"](truth, highest, weights)
    result: dict[str, Any] = {"PET maximum": {"auc": interval(maximum)}}
    for arm, probability in found.items():
        figures = figures_of(truth, probability, weights)
        result[arm] = {name: interval(values) for name, values in figures.items()}
        result[arm]["predicted"] = int((~np.isnan(probability[..., 0])).sum())
        result[arm]["auc_of_repeats"] = [
            float(figures_of(truth, each[None], weights[:1])["auc"][0]) for each in probability
        ]
    for other in ("pooled", "local"):
        both = np.where(np.isnan(found[other]), np.nan, found["federated"])
        pair = figures_of(truth, both, weights), figures_of(truth, found[other], weights)
        result[f"federated - {other}"] = {name: interval(pair[0][name] - pair[1][name]) for name in ("auc", "g_mean")}
    return result


def show(result: Mapping[str, Mapping[str, Any]]) -> None:
    """One table of arms and differences."""
    table = Table("", *SHOWN, title="out-of-fold predictions; mean over repeats, 95 % interval over patients")
    for name, figures in result.items():
        cells = [figures.get(metric) for metric in SHOWN]
        table.add_row(name, *("" if each is None else "{:.2f} ({:.2f}, {:.2f})".format(*each) for each in cells))
    Console(width=160).print(table)


def main() -> None:
    """Prepare, cross-validate, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder sts, with participants.csv")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    settings = read_study(STUDY).settings
    centers = read_centers(options.data, settings)
    with Progress(console=Console(stderr=True)) as progress:
        networks = options.folds * options.repeats * (2 * len(centers) + 1)
        bar = progress.add_task("training", total=networks * options.rounds * options.steps)
        trainer = Trainer(settings, rounds=options.rounds, steps=options.steps, progress=progress, bar=bar)
        found = cross_validate(trainer, centers, folds=options.folds, repeats=options.repeats)
        progress.update(bar, completed=networks * options.rounds * options.steps)
    result = judge(centers, found)
    show(result)
    counts = {name: [len(cases), sum(int(case.targets[TASK]) for case in cases)] for name, cases in centers.items()}
    facts = {"centers": counts, "folds": options.folds, "repeats": options.repeats, "threads": torch.get_num_threads()}
    print(json.dumps({"benchmark": "lung_metastasis", **facts, "arms": result}))


if __name__ == "__main__":
    main()
