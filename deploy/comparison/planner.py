"""The studies of a benchmark file: arms x seeds x orders, in each fold, checked whole before anything runs.

Every arm takes the same number of local steps, summed over centers, so that no arm wins by training longer.
"""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from deploy.comparison.benchmark_file import Arm, Benchmark, file_findings
from protocol.errors import StudyError
from protocol.messages.secure_aggregation import sums_scores
from protocol.messages.settings import findings
from protocol.modalities import IMAGES
from protocol.storage.parsed_text import UnreadableTextError, read_toml
from protocol.tasks import TASKS
from server.study.file import Study

Table = Mapping[str, Any]
BACKBONE_RUN, NO_BACKBONE = "backbone", "none"


@dataclass(frozen=True)
class Run:
    """One arm with one order, one seed and one fold (0 without folds), as the study that carries it out.

    on_backbone: whether it starts from the shared backbone.
    """

    arm: str
    order: str
    seed: int
    table: Table
    fold: int = 0
    on_backbone: bool = True

    @cached_property
    def study(self) -> Study:
        """The study of this run."""
        return Study.model_validate(self.table)

    @property
    def name(self) -> str:
        """`arm/order/seed` or `arm/order/fold/seed`, also the folder of the run."""
        return "/".join((self.arm, self.order, *fold_folders(self.fold), str(self.seed)))

    def text(self, backbone: str) -> str:
        """The study file; it names the frozen backbone by content hash, or "none"; another one is another study."""
        return f"# {self.table['name']} on the frozen backbone {backbone}\n{tomli_w.dumps(dict(self.table))}"


@dataclass(frozen=True)
class Plan:
    """What a benchmark file asks for.

    runs: all arms and orders of a fold before the next fold, all folds of a seed before the next seed, so that an
        unfinished table compares all arms.
    backbones: the study that trains the shared backbone of each fold, as a file's text; none where `backbone_file`
        gives it, or there is none.
    sha256: of the benchmark file.
    """

    benchmark: Benchmark
    runs: tuple[Run, ...]
    backbones: Mapping[int, str]
    backbone_file: Path | None
    sha256: str

    @property
    def synthetic(self) -> bool:
        """Whether the cases are computed phantoms."""
        return bool(self.benchmark.study.get("synthetic", False))

    @property
    def backbone(self) -> Study | None:
        """The study that trains the backbone of the first fold."""
        first = next(iter(self.backbones.values()), None)
        return None if first is None else Study.model_validate(tomllib.loads(first))

    def of_arm(self, arm: str) -> tuple[Run, ...]:
        """The runs of one arm."""
        return tuple(run for run in self.runs if run.arm == arm)


def read_plan(path: Path) -> Plan:
    """Parse a benchmark file and build every study in it.

    Raises:
        StudyError: the file cannot be read, or a table, a study of it or the equality of local steps does not hold;
            the message lists every finding.
    """
    try:
        benchmark = Benchmark.model_validate(read_toml(path))
    except OSError as error:
        raise StudyError(f"benchmark file {path} cannot be read: {error.strerror}; give the path of a file") from error
    except UnreadableTextError as error:
        raise StudyError(f"benchmark file {path} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise _refusal(path, findings(error)) from error
    found = [*file_findings(benchmark)]
    runs = () if found else tuple(_runs(benchmark))
    found += [*_study_findings(benchmark, runs)]
    found += [] if found else [*_step_findings(benchmark, runs), *_column_findings(runs), *_task_findings(runs)]
    found += [] if found else [*_endpoint_findings(benchmark, runs)]
    found += [] if found else [*_backbone_findings(benchmark, runs)]
    if found:
        raise _refusal(path, found)
    tables = {fold: _backbone_table(benchmark, fold) for fold in _folds(benchmark) if benchmark.backbone}
    return Plan(
        benchmark,
        runs,
        backbones={fold: tomli_w.dumps(table) for fold, table in tables.items()},
        backbone_file=path.parent / benchmark.backbone_file if benchmark.backbone_file else None,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def lay_over(table: Table, changes: Table) -> dict[str, Any]:
    """`table` with `changes` on top: tables merge key by key, everything else is replaced.

    So is a table under whose `name` stands another one: the options of one model are not those of the next.
    """
    merged = dict(table)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and value.get("name") in (None, old.get("name")):
            merged[key] = lay_over(old, value)
        else:
            merged[key] = value
    return merged


def fold_folders(fold: int) -> tuple[str, ...]:
    """The folder of a fold, none without folds."""
    return (f"fold-{fold}",) if fold else ()


def _folds(benchmark: Benchmark) -> range:
    """The numbers of the folds, from 1; 0 alone without folds."""
    return range(1, benchmark.folds + 1) if benchmark.folds else range(1)


def _runs(benchmark: Benchmark) -> Iterator[Run]:
    for seed in benchmark.seeds:
        for fold in _folds(benchmark):
            for arm in benchmark.arms:
                for order in arm.orders:
                    yield Run(
                        arm.name,
                        order,
                        seed,
                        _table(benchmark, arm, order, seed, fold),
                        fold,
                        arm.starts_from == "backbone",
                    )


def _table(benchmark: Benchmark, arm: Arm, order: str, seed: int, fold: int) -> dict[str, Any]:
    """The study file of one run as a table."""
    study = lay_over(lay_over(benchmark.study, arm.study), {"strategy": arm.strategy} if arm.strategy else {})
    study = lay_over(study, _split(benchmark, fold))
    words = f", fold {fold}" if fold else ""
    return {
        "name": " ".join((benchmark.name, arm.name, order, *fold_folders(fold), str(seed))),
        "title": f"{benchmark.title}: {arm.label}, order {order}{words}, seed {seed}",
        "formed_by": benchmark.formed_by,
        **study,
        "seed": seed,
        "stages": [_place(stage, benchmark.orders[order]) for stage in benchmark.schedules[arm.schedule]],
    }


def _split(benchmark: Benchmark, fold: int) -> dict[str, Any]:
    """What a fold changes in the study."""
    return {"split": {"fold": fold, "folds": benchmark.folds}} if fold else {}


def _place(stage: Table, order: tuple[str, ...]) -> dict[str, Any]:
    """A stage with names in place of positions; what is none, or outside the order, stays for the study to refuse."""
    places = stage.get("centers", ())
    if not isinstance(places, Sequence) or isinstance(places, str):
        return dict(stage)
    centers = [order[place - 1] if isinstance(place, int) and 0 < place <= len(order) else place for place in places]
    return {**stage, "centers": centers}


def _backbone_table(benchmark: Benchmark, fold: int) -> dict[str, Any]:
    return {
        "name": " ".join((benchmark.name, BACKBONE_RUN, *fold_folders(fold))),
        "title": f"{benchmark.title}: backbone" + (f" of fold {fold}" if fold else ""),
        "formed_by": benchmark.formed_by,
        **lay_over(benchmark.study, _split(benchmark, fold)),
        "stages": list(benchmark.backbone),
    }


def _study_findings(benchmark: Benchmark, runs: tuple[Run, ...]) -> Iterator[str]:
    """What the studies themselves refuse: that of the backbone, and one of each arm and order."""
    first = (benchmark.seeds[0], _folds(benchmark)[0])
    tables = {f"{run.arm}, order {run.order}": run.table for run in runs if (run.seed, run.fold) == first}
    tables |= {BACKBONE_RUN: _backbone_table(benchmark, first[1])} if benchmark.backbone else {}
    for place, table in tables.items():
        try:
            study = Study.model_validate(table)
        except ValidationError as error:
            yield from (f"{place}: {finding}" for finding in findings(error))
            continue
        if sums_scores(study.secure_aggregation):
            yield f"{place}: secure_aggregation.scores is 'summed', and a benchmark compares centers; leave it out"
        kinds = {stage.kind == "pretrain" for stage in study.stages}
        if kinds != {place == BACKBONE_RUN}:
            what = "all" if place == BACKBONE_RUN else "none"
            yield f"{place}: {what} of its stages must be of kind 'pretrain'; the backbone is trained once, for all"


def _step_findings(benchmark: Benchmark, runs: tuple[Run, ...]) -> Iterator[str]:
    table = _backbone_table(benchmark, 0)
    before = sum(Study.model_validate(table).steps_by_center().values()) if benchmark.backbone else 0
    steps = {
        f"{run.arm}, order {run.order}": sum(run.study.steps_by_center().values()) + before * run.on_backbone
        for run in runs
    }
    if len(set(steps.values())) > 1:
        listed = "; ".join(f"{place}: {count}" for place, count in steps.items())
        shared = f", {before} of the backbone included," if before else ","
        yield (
            f"arms take different numbers of local steps{shared} summed over centers, and must take the same: {listed}"
        )


def _column_findings(runs: tuple[Run, ...]) -> Iterator[str]:
    scored = {run.arm: sorted(name for name, center in run.study.centers.items() if center.evaluated) for run in runs}
    if len(set(map(tuple, scored.values()))) > 1:
        yield f"arms are scored at different centers and must be scored at the same: {scored}"


def _task_findings(runs: tuple[Run, ...]) -> Iterator[str]:
    """Arms are compared by the primary metric of their first task."""
    tasks = {run.arm: run.study.tasks[0] for run in runs}
    if len(set(tasks.values())) > 1:
        yield f"arms begin with different tasks and must begin with the same: {tasks}"


def _endpoint_findings(benchmark: Benchmark, runs: tuple[Run, ...]) -> Iterator[str]:
    """Every figure is about the primary metric; over folds it must be one that a patient has."""
    task = runs[0].study.tasks[0]
    primary = TASKS[task].metric(TASKS[task].primary)
    if benchmark.endpoint and benchmark.endpoint.metric != primary.name:
        yield (
            f"endpoint.metric: '{benchmark.endpoint.metric}' is not what arms are compared by; the primary metric of "
            f"{task} is '{primary.name}'"
        )
    if benchmark.folds and primary.of != "case":
        yield (
            f"folds: {primary.label} is a figure of a cohort, and answers of the networks of two folds cannot be "
            "ranked against each other; leave folds out"
        )


def _backbone_findings(benchmark: Benchmark, runs: tuple[Run, ...]) -> Iterator[str]:
    """What sees images stands on one backbone, that of all runs; a network of records alone has none."""
    offered = {name for center in runs[0].study.centers.values() for name in center.modalities}
    if offered & set(IMAGES) and not (benchmark.backbone or benchmark.backbone_file):
        yield "backbone: give either [[backbone]] stages or backbone_file; only centers that offer EHR alone need none"


def _refusal(path: Path, found: list[str]) -> StudyError:
    listed = "\n".join(f"  {finding}" for finding in found)
    return StudyError(f"benchmark file {path} has {len(found)} problem(s):\n{listed}")
