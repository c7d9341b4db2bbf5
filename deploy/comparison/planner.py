"""The benchmark file: arms x seeds x orders, each of them a study, checked whole before anything runs.

Every arm takes the same number of local steps, summed over centers, so that no arm wins by training longer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field, ValidationError

from protocol.errors import StudyError
from protocol.messages.base import NonNegative, Settings
from protocol.messages.settings import findings
from protocol.modalities import IMAGES
from protocol.names import NAME
from protocol.storage.parsed_text import UnreadableTextError, read_toml
from server.study.file import Study

Table = Mapping[str, Any]
BACKBONE_RUN, NO_BACKBONE = "backbone", "none"
CHOSEN_HERE = ("name", "title", "formed_by", "stages")


class Arm(Settings):
    """One strategy: a schedule of stages over one or more orders of centers.

    strategy, study: tables laid over the benchmark's own, key by key.
    """

    name: str
    label: str
    schedule: str
    orders: Annotated[tuple[str, ...], Field(min_length=1)]
    strategy: dict[str, Any] = {}
    study: dict[str, Any] = {}


class References(Settings):
    """Arms by what they are for: the default under test, the upper bound (pooled) and the lower bound (local only)."""

    default: str
    upper: str = ""
    lower: str = ""


class Benchmark(Settings):
    """A whole benchmark file.

    study: a study file without stages; `seed` there is the backbone's, the runs take theirs from `seeds`.
    backbone: stages that train the shared backbone, once; `backbone_file` gives one that exists.
    schedules: stages by name, whose `centers` are positions in the order (from 1) or names.
    margin: loss of the average primary metric that counts as not inferior.
    """

    name: str
    title: str
    formed_by: str
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    margin: NonNegative = 0.02
    study: dict[str, Any]
    orders: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]
    backbone: tuple[dict[str, Any], ...] = ()
    backbone_file: str = ""
    schedules: Annotated[dict[str, tuple[dict[str, Any], ...]], Field(min_length=1)]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    references: References


@dataclass(frozen=True)
class Run:
    """One arm with one order and one seed, as the study that carries it out."""

    arm: str
    order: str
    seed: int
    table: Table

    @cached_property
    def study(self) -> Study:
        """The study of this run."""
        return Study.model_validate(self.table)

    @property
    def name(self) -> str:
        """`arm/order/seed`, also the folder of the run."""
        return f"{self.arm}/{self.order}/{self.seed}"

    def text(self, backbone: str) -> str:
        """The study file; it names the frozen backbone by content hash, or "none"; another one is another study."""
        return f"# {self.table['name']} on the frozen backbone {backbone}\n{tomli_w.dumps(dict(self.table))}"


@dataclass(frozen=True)
class Plan:
    """What a benchmark file asks for.

    runs: all arms and orders of the first seed before the next seed, so that an unfinished table compares all arms.
    backbone: the study that trains the shared backbone; None where `backbone_file` gives it, or there is none.
    """

    benchmark: Benchmark
    runs: tuple[Run, ...]
    backbone: Study | None
    backbone_text: str
    backbone_file: Path | None

    @property
    def synthetic(self) -> bool:
        """Whether the cases are computed phantoms."""
        return bool(self.benchmark.study.get("synthetic", False))

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
    found = [*_name_findings(benchmark), *_reference_findings(benchmark), *_arm_findings(benchmark)]
    runs = () if found else tuple(_runs(benchmark))
    found += [*_study_findings(benchmark, runs)]
    found += [] if found else [*_step_findings(runs), *_column_findings(runs), *_task_findings(runs)]
    found += [] if found else [*_backbone_findings(benchmark, runs)]
    if found:
        raise _refusal(path, found)
    table = _backbone_table(benchmark)
    return Plan(
        benchmark,
        runs,
        backbone=Study.model_validate(table) if benchmark.backbone else None,
        backbone_text=tomli_w.dumps(table) if benchmark.backbone else "",
        backbone_file=path.parent / benchmark.backbone_file if benchmark.backbone_file else None,
    )


def lay_over(table: Table, changes: Table) -> dict[str, Any]:
    """`table` with `changes` on top: tables merge key by key, everything else is replaced."""
    merged = dict(table)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = lay_over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _runs(benchmark: Benchmark) -> Iterator[Run]:
    for seed in benchmark.seeds:
        for arm in benchmark.arms:
            for order in arm.orders:
                yield Run(arm.name, order, seed, _table(benchmark, arm, order, seed))


def _table(benchmark: Benchmark, arm: Arm, order: str, seed: int) -> dict[str, Any]:
    """The study file of one run as a table."""
    study = lay_over(lay_over(benchmark.study, arm.study), {"strategy": arm.strategy} if arm.strategy else {})
    return {
        "name": f"{benchmark.name} {arm.name} {order} {seed}",
        "title": f"{benchmark.title}: {arm.label}, order {order}, seed {seed}",
        "formed_by": benchmark.formed_by,
        **study,
        "seed": seed,
        "stages": [_place(stage, benchmark.orders[order]) for stage in benchmark.schedules[arm.schedule]],
    }


def _place(stage: Table, order: tuple[str, ...]) -> dict[str, Any]:
    """A stage with names in place of positions; what is none, or outside the order, stays for the study to refuse."""
    places = stage.get("centers", ())
    if not isinstance(places, Sequence) or isinstance(places, str):
        return dict(stage)
    centers = [order[place - 1] if isinstance(place, int) and 0 < place <= len(order) else place for place in places]
    return {**stage, "centers": centers}


def _backbone_table(benchmark: Benchmark) -> dict[str, Any]:
    return {
        "name": f"{benchmark.name} {BACKBONE_RUN}",
        "title": f"{benchmark.title}: backbone",
        "formed_by": benchmark.formed_by,
        **benchmark.study,
        "stages": list(benchmark.backbone),
    }


def _name_findings(benchmark: Benchmark) -> Iterator[str]:
    """Names that collide or cannot be folders, and what the file may not choose here."""
    arms = [arm.name for arm in benchmark.arms]
    for what, names in (("arms", arms), ("seeds", list(benchmark.seeds))):
        if len(set(names)) < len(names):
            yield f"{what}: all must differ, found {names}"
    for what, found in (("arms", arms), ("orders", list(benchmark.orders))):
        if unfit := [name for name in found if not NAME.fullmatch(name)]:
            yield f"{what}: {unfit} cannot be folder names; use letters, digits, '.', '_' and '-'"
    for place, table in (
        ("study", benchmark.study),
        *((f"arms.{arm.name}.study", arm.study) for arm in benchmark.arms),
    ):
        if taken := sorted(set(CHOSEN_HERE) & set(table)):
            yield f"{place}: {taken} belong to the benchmark; take them out"
    if benchmark.backbone and benchmark.backbone_file:
        yield "backbone: give either [[backbone]] stages or backbone_file, not both"
    if benchmark.study.get("split", {}).get("seed") is None:
        yield "study.split.seed: is missing; all runs must share one split, give it a number"


def _reference_findings(benchmark: Benchmark) -> Iterator[str]:
    arms = {arm.name for arm in benchmark.arms}
    chosen = benchmark.references.model_dump()
    for role, name in chosen.items():
        if name and name not in arms:
            yield f"references.{role}: arm '{name}' does not exist; known: {sorted(arms)}"
    named = [name for name in chosen.values() if name]
    if len(set(named)) < len(named):
        yield f"references: one arm cannot have two of these parts, found {chosen}"


def _arm_findings(benchmark: Benchmark) -> Iterator[str]:
    for arm in benchmark.arms:
        if arm.schedule not in benchmark.schedules:
            yield f"arms.{arm.name}.schedule: '{arm.schedule}' does not exist; known: {sorted(benchmark.schedules)}"
        if unknown := sorted(set(arm.orders) - set(benchmark.orders)):
            yield f"arms.{arm.name}.orders: {unknown} do not exist; known: {sorted(benchmark.orders)}"


def _study_findings(benchmark: Benchmark, runs: tuple[Run, ...]) -> Iterator[str]:
    """What the studies themselves refuse: that of the backbone, and one of each arm and order."""
    tables = {f"{run.arm}, order {run.order}": run.table for run in runs if run.seed == benchmark.seeds[0]}
    tables |= {BACKBONE_RUN: _backbone_table(benchmark)} if benchmark.backbone else {}
    for place, table in tables.items():
        try:
            study = Study.model_validate(table)
        except ValidationError as error:
            yield from (f"{place}: {finding}" for finding in findings(error))
            continue
        kinds = {stage.kind == "pretrain" for stage in study.stages}
        if kinds != {place == BACKBONE_RUN}:
            what = "all" if place == BACKBONE_RUN else "none"
            yield f"{place}: {what} of its stages must be of kind 'pretrain'; the backbone is trained once, for all"


def _step_findings(runs: tuple[Run, ...]) -> Iterator[str]:
    steps = {f"{run.arm}, order {run.order}": sum(run.study.steps_by_center().values()) for run in runs}
    if len(set(steps.values())) > 1:
        listed = "; ".join(f"{place}: {count}" for place, count in steps.items())
        yield f"arms take different numbers of local steps, summed over centers, and must take the same: {listed}"


def _column_findings(runs: tuple[Run, ...]) -> Iterator[str]:
    scored = {run.arm: sorted(name for name, center in run.study.centers.items() if center.evaluated) for run in runs}
    if len(set(map(tuple, scored.values()))) > 1:
        yield f"arms are scored at different centers and must be scored at the same: {scored}"


def _task_findings(runs: tuple[Run, ...]) -> Iterator[str]:
    """Arms are compared by the primary metric of their first task."""
    tasks = {run.arm: run.study.tasks[0] for run in runs}
    if len(set(tasks.values())) > 1:
        yield f"arms begin with different tasks and must begin with the same: {tasks}"


def _backbone_findings(benchmark: Benchmark, runs: tuple[Run, ...]) -> Iterator[str]:
    """What sees images stands on one backbone, that of all runs; a network of records alone has none."""
    offered = {name for center in runs[0].study.centers.values() for name in center.modalities}
    if offered & set(IMAGES) and not (benchmark.backbone or benchmark.backbone_file):
        yield "backbone: give either [[backbone]] stages or backbone_file; only centers that offer EHR alone need none"


def _refusal(path: Path, found: list[str]) -> StudyError:
    listed = "\n".join(f"  {finding}" for finding in found)
    return StudyError(f"benchmark file {path} has {len(found)} problem(s):\n{listed}")
