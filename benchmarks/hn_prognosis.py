"""Prognosis at four real hospitals: federated MTLR and Cox beside pooled and local Cox, cross-validated.

    OMP_NUM_THREADS=1 python benchmarks/hn_prognosis.py --data ../shared/data [--folds 5] [--repeats 10] [--late 4]

218 patients with head-and-neck cancer, health records alone, three endpoints. Everything of the federated arms is the
platform's: the study studies/hn-prognosis.toml with its covariates, local training with SCAFFOLD, the mean of a round.
In every repeat each patient is predicted once, by models that never saw the patient.

    federated mtlr   the study as it is
    federated cox    the same with the Cox head
    pooled cox       scikit-survival's Cox of all hospitals' patients in one place, ridge PENALTY, ties by Efron
    local cox        the same at each hospital alone, which predicts its own patients

Two concordances, both of pairs within one fold. `cohort`: all pairs of a fold, also of patients of two hospitals, which
only a benchmark may form; local models, whose risks have no common scale, have none. `within`: pairs of one hospital,
summed over hospitals, as a federation reports it. Intervals are 95 % of a bootstrap over patients, all arms, folds and
repeats on the same resamples; repeats share their patients and say how much the folds matter, no more.

Late arrival: three hospitals train, then the fourth alone from their model, with SCAFFOLD anew, for a third
of the rounds. Forgetting is the concordance within the three before its arrival minus after it. The last line is JSON.
"""

import argparse
import json
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hn_pairs import Floats, Judge, Risks, interval
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from client.data.preprocessing import PreparedCase
from client.data.targets import add_labels
from client.learning.assembly import arrays_of, assemble, build, row_of, tensor_specs
from client.learning.thin_groups import part_groups
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.local_terms.scaffold import Scaffold
from client.service.cases import Cases
from client.tasks.building import build_task
from fusion_models.adapters.keys import parameters_by_key
from protocol.messages.payload import Payload
from protocol.messages.settings import StudySettings, Training
from protocol.messages.tensors import Tensors
from server.study.file import Study, read_study
from server.study.stage import Stage
from strategies.aggregation import fedit
from strategies.aggregation.contract import Base
from strategies.continual.memory import merge_controls
from strategies.evaluation.folds import stratified_folds

STUDY = Path(__file__).parents[1] / "studies" / "hn-prognosis.toml"
PENALTY = 0.1
FEDERATED = {"federated mtlr": "mtlr", "federated cox": "cox"}
ARMS = (*FEDERATED, "pooled cox", "local cox")
Centers = Mapping[str, Sequence[PreparedCase]]


def read_centers(study: Study, data: Path) -> dict[str, list[PreparedCase]]:
    """The patients of each hospital, with the covariates and times that the study reads."""
    found = {}
    with tempfile.TemporaryDirectory() as home:
        for name, center in study.centers.items():
            folders = [data / folder for folder in center.folders]
            cases = Cases(name, folders, center.modalities, Path(home) / name, center.rows)
            usable = cases.manifest(study.settings).usable
            found[name] = [add_labels(PreparedCase(case.name), case.labels) for case in usable]
    return found


def rounds_of(stage: Stage, share: float) -> int:
    """A share of a stage's rounds, one at least."""
    return max(1, round(stage.rounds * share))


class Federation:
    """Trains one network of the study over hospitals.

    Args:
        study: as its file says. head: in place of the study's own. advance: is called after every round of a center.
    """

    def __init__(self, study: Study, head: str, progress: Progress, bar: TaskID) -> None:
        survival = study.settings.labels.survival.model_copy(update={"head": head})
        labels = study.settings.labels.model_copy(update={"survival": survival})
        self.settings: StudySettings = study.settings.model_copy(update={"labels": labels})
        self.row, self.task = row_of(self.settings), build_task("survival", self.settings)
        self.study = study
        self._progress, self._bar = progress, bar

    def start(self) -> Tensors:
        """What every network of the study starts from."""
        return arrays_of(parameters_by_key(build(self.settings, self.row)))

    def train(self, centers: Centers, shared: Tensors, *, share: float, seed: Sequence[int]) -> Tensors:
        """The shared tensors after a share of the rounds of every stage."""
        groups = {spec.key: spec.group for spec in tensor_specs(self._network(shared), self.row.pathways)}
        base = Base(groups, frozen={}, alpha=1, rank=1, settings=self.study.strategy.aggregation)
        for place, stage in enumerate(self.study.stages):
            rounds = rounds_of(stage, share)
            own: dict[str, Tensors] = {}
            control: Tensors = {}
            for number in range(rounds):
                training = self.study.training_in(stage.model_copy(update={"rounds": rounds}), number)
                rng = np.random.default_rng([*seed, place, number])
                replies = {
                    name: self._round(name, centers[name], training, {**shared, **own.get(name, {}), **control}, rng)
                    for name in sorted(centers)
                }
                shared = fedit.aggregate(shared, [payload for payload, _ in replies.values()], base, {}).shared
                after = {name: kept for name, (_, kept) in replies.items()}
                control, own = merge_controls(control, own, after, len(centers)), after
        return shared

    def _round(
        self, name: str, cases: Sequence[PreparedCase], training: Training, received: Tensors, rng: np.random.Generator
    ) -> tuple[Payload, Tensors]:
        """One center's round: its payload, and its control variate."""
        model = self._network(received)
        parameters = train_only(model, training.groups, self.row.pathways)
        term = Scaffold(parameters, received)
        trained = train_locally(
            model,
            parameters,
            cases,
            task=self.task,
            training=training,
            model_settings=self.row.settings,
            rng=rng,
            terms=[term] if training.terms.get("scaffold") else [],
        )
        support = part_groups(training.groups, trained.used, 1).support
        self._progress.advance(self._bar)
        return Payload(name, "", "all", 0, tensors=arrays_of(parameters), support=support), term.outcome()

    def predictions(self, shared: Tensors, cases: Iterable[PreparedCase]) -> dict[str, Floats]:
        """Risk, and survival at the edges where the head has any, of each case: (endpoints, 1 + edges)."""
        model = self._network(shared)
        return {case.name: self.task.predict(model, case, "ehr").astype(np.float64) for case in cases}

    def risks(self, shared: Tensors, cases: Iterable[PreparedCase]) -> Risks:
        """Predicted risks (endpoints,) of each case."""
        return {name: found[:, 0] for name, found in self.predictions(shared, cases).items()}

    def _network(self, tensors: Tensors) -> torch.nn.Module:
        return assemble(self.settings, self.row, {}, tensors)


def cox_risks(train: Sequence[PreparedCase], test: Sequence[PreparedCase]) -> Risks:
    """Risks of scikit-survival's Cox; an endpoint without an event in training is NaN."""
    covariates = np.array([case.ehr for case in train], dtype=np.float64)
    kept = covariates.std(axis=0) > 0
    asked = np.array([case.ehr for case in test], dtype=np.float64)
    times = np.array([case.targets["survival"] for case in train], dtype=np.float64)
    columns = []
    for days, event in (times[:, place].T for place in range(times.shape[1])):
        if not event.any():
            columns.append(np.full(len(test), np.nan))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = CoxPHSurvivalAnalysis(alpha=PENALTY, ties="efron")
            model.fit(covariates[:, kept], Surv.from_arrays(event > 0, days))
        columns.append(asked[:, kept] @ model.coef_)
    return dict(zip([case.name for case in test], np.stack(columns, axis=1), strict=True))


def predict_fold(
    federations: Mapping[str, Federation], centers: Centers, test: set[str], seed: Sequence[int]
) -> dict[str, Risks]:
    """The test patients' risks by arm."""
    train = {name: [case for case in cases if case.name not in test] for name, cases in centers.items()}
    tested = {name: [case for case in cases if case.name in test] for name, cases in centers.items()}
    everyone = [case for cases in tested.values() for case in cases]
    found = {}
    for arm, federation in federations.items():
        shared = federation.train(train, federation.start(), share=1, seed=seed)
        found[arm] = federation.risks(shared, everyone)
    found["pooled cox"] = cox_risks([case for cases in train.values() for case in cases], everyone)
    found["local cox"] = {}
    for name, cases in train.items():
        if tested[name]:
            found["local cox"] |= cox_risks(cases, tested[name])
    return found


def summarise(judge: Judge, endpoints: Sequence[str], arms: Sequence[str]) -> dict[str, Any]:
    """Every arm by endpoint and over all, and its difference from pooled Cox."""
    found: dict[str, Any] = {}
    for pairs in ("cohort", "within"):
        shown = [arm for arm in arms if pairs == "within" or arm != "local cox"]
        values = {
            arm: {name: judge.concordance(arm, pairs, place) for place, name in enumerate(endpoints)}
            | {"mean": judge.mean(arm, pairs)}
            for arm in shown
        }
        found[pairs] = {arm: {name: interval(each) for name, each in of_arm.items()} for arm, of_arm in values.items()}
        found[f"{pairs}, minus pooled cox"] = {
            arm: {name: interval(each - values["pooled cox"][name]) for name, each in of_arm.items()}
            for arm, of_arm in values.items()
            if arm != "pooled cox"
        }
    return found


def cross_validate(federations: Mapping[str, Federation], centers: Centers, *, folds: int, repeats: int) -> Judge:
    """All arms over all folds; folds are alike in hospital and in whether any event came."""
    judge = Judge(centers)
    for repeat, fold, test in folds_of(centers, folds, repeats):
        for arm, risks in predict_fold(federations, centers, test, [repeat, fold]).items():
            judge.add(arm, risks)
    return judge


def folds_of(centers: Centers, folds: int, repeats: int) -> Iterable[tuple[int, int, set[str]]]:
    """Repeat, fold and the names of its test patients."""
    strata = {
        case.name: (int(np.nansum(case.targets["survival"][:, 1]) > 0), name)
        for name, cases in centers.items()
        for case in cases
    }
    for repeat in range(repeats):
        for fold, test in enumerate(stratified_folds(strata, folds, np.random.default_rng([0, repeat]))):
            yield repeat, fold, set(test)


def late_arrivals(federation: Federation, centers: Centers, *, folds: int, repeats: int) -> dict[str, Any]:
    """Each hospital in turn after the others: concordance before and after, within the others and within itself."""
    found: dict[str, Any] = {}
    for late in sorted(centers):
        judge, others = Judge(centers), [name for name in sorted(centers) if name != late]
        for repeat, fold, test in folds_of(centers, folds, repeats):
            train = {name: [case for case in cases if case.name not in test] for name, cases in centers.items()}
            tested = [case for cases in centers.values() for case in cases if case.name in test]
            first = {name: train[name] for name in others}
            before = federation.train(first, federation.start(), share=1, seed=[2, repeat, fold])
            after = federation.train({late: train[late]}, before, share=1 / 3, seed=[3, repeat, fold])
            for moment, shared in (("before", before), ("after", after)):
                risks = federation.risks(shared, tested)
                judge.add(f"others {moment}", risks, hospitals=others)
                judge.add(f"own {moment}", risks, hospitals=[late])
        values = {
            name: judge.mean(name, "within") for name in ("others before", "others after", "own before", "own after")
        }
        found[late] = {name: interval(each) for name, each in values.items()}
        found[late]["forgetting"] = interval(values["others before"] - values["others after"])
        found[late]["gain"] = interval(values["own after"] - values["own before"])
    return found


def show(title: str, rows: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """One table of figures with intervals."""
    names = list(next(iter(rows.values())))
    table = Table("", *names, title=title)
    for name, figures in rows.items():
        table.add_row(name, *("{:.3f} ({:.3f}, {:.3f})".format(*figures[each]) for each in names))
    Console(width=160).print(table)


def main() -> None:
    """Read, cross-validate, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds hn_clinical")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--late", type=int, default=4, help="repeats of the late arrivals; 0 leaves them out")
    options = parser.parse_args()
    study = read_study(STUDY)
    centers, endpoints = read_centers(study, options.data), list(study.settings.labels.endpoints)
    with Progress(console=Console(stderr=True)) as progress:
        rounds, fewer = (sum(rounds_of(stage, share) for stage in study.stages) for share in (1, 1 / 3))
        late = options.folds * options.late * len(centers) * ((len(centers) - 1) * rounds + fewer)
        total = options.folds * options.repeats * len(FEDERATED) * rounds * len(centers) + late
        bar = progress.add_task("rounds at a center", total=total)
        federations = {arm: Federation(study, head, progress, bar) for arm, head in FEDERATED.items()}
        judge = cross_validate(federations, centers, folds=options.folds, repeats=options.repeats)
        result = summarise(judge, endpoints, ARMS)
        for title, rows in result.items():
            show(title, rows)
        federation = federations["federated mtlr"]
        arrivals = late_arrivals(federation, centers, folds=options.folds, repeats=options.late) if late else {}
    if arrivals:
        show("late arrival", arrivals)
    patients = {name: len(cases) for name, cases in centers.items()}
    facts = {"patients": patients, "folds": options.folds, "repeats": options.repeats, "late_repeats": options.late}
    print(json.dumps({"benchmark": "hn_prognosis", **facts, "concordance": result, "late_arrival": arrivals}))


if __name__ == "__main__":
    main()
