"""What a benchmark file may say, and what is wrong with what it says, before a study is built from it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from protocol.messages.base import NonNegative, Settings
from protocol.modalities import ModalitySetting
from protocol.names import NAME

CHOSEN_HERE = ("name", "title", "formed_by", "stages")


class Arm(Settings):
    """One strategy: a schedule of stages over one or more orders of centers.

    strategy, study: tables laid over the benchmark's own, key by key.
    starts_from: the shared backbone, or `nothing`: then its own steps are to be as many as the others' and the
        backbone's together.
    """

    name: str
    label: str
    schedule: str
    orders: Annotated[tuple[str, ...], Field(min_length=1)]
    strategy: dict[str, Any] = {}
    study: dict[str, Any] = {}
    starts_from: Literal["backbone", "nothing"] = "backbone"


class References(Settings):
    """Arms by what they are for: the default under test, the upper bound (pooled) and the lower bound (local only)."""

    default: str
    upper: str = ""
    lower: str = ""


class Endpoint(Settings):
    """What the declared contrasts are about: a metric of test patients, under one setting, after the last stage."""

    metric: str
    setting: ModalitySetting
    stage: Literal["last"] = "last"


class DeclaredContrast(Settings):
    """A question put before the first run: arm `a` minus arm `b`.

    superiority: whether they differ. non-inferiority: whether `a` loses less than `margin` against `b`.
    """

    a: str
    b: str
    kind: Literal["superiority", "non-inferiority"]
    margin: PositiveFloat | None = None

    @model_validator(mode="after")
    def _margin_fits_the_kind(self) -> "DeclaredContrast":
        if (self.margin is not None) != (self.kind == "non-inferiority"):
            raise ValueError(f"margin {self.margin} with kind '{self.kind}': non-inferiority needs one, nothing else")
        return self


class Benchmark(Settings):
    """A whole benchmark file.

    folds: how many every center's patients are dealt to, so that each tests once a seed; 0 keeps the study's one split.
    study: a study file without stages; `seed` there is the backbone's, the runs take theirs from `seeds`.
    backbone: stages that train the shared backbone, once; `backbone_file` gives one that exists.
    schedules: stages by name, whose `centers` are positions in the order (from 1) or names.
    endpoint, contrasts: what is asked before the first run; everything else in the tables is exploratory.
    margin: loss of the average primary metric that counts as not inferior.
    """

    name: str
    title: str
    formed_by: str
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=0)] = 0
    margin: NonNegative = 0.02
    study: dict[str, Any]
    orders: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]
    backbone: tuple[dict[str, Any], ...] = ()
    backbone_file: str = ""
    schedules: Annotated[dict[str, tuple[dict[str, Any], ...]], Field(min_length=1)]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    references: References
    endpoint: Endpoint | None = None
    contrasts: tuple[DeclaredContrast, ...] = ()


def file_findings(benchmark: Benchmark) -> Iterator[str]:
    """Everything that names, references, arms and folds contradict."""
    yield from _name_findings(benchmark)
    yield from _fold_findings(benchmark)
    yield from _reference_findings(benchmark)
    yield from _arm_findings(benchmark)
    yield from _contrast_findings(benchmark)


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


def _fold_findings(benchmark: Benchmark) -> Iterator[str]:
    """Folds are the benchmark's to number, at least two, and each needs a backbone that saw none of its patients."""
    tables = {"study": benchmark.study, **{f"arms.{arm.name}.study": arm.study for arm in benchmark.arms}}
    for place, table in tables.items():
        taken = sorted({"fold", "folds", *(("test",) if benchmark.folds else ())} & set(table.get("split", {})))
        if taken:
            yield f"{place}.split: {taken} belong to the benchmark's own folds; take them out"
    if benchmark.folds == 1:
        yield "folds: 1 leaves nobody to train on; give 2 or more, or 0 for the study's one split"
    if benchmark.folds and benchmark.backbone_file:
        yield (
            "backbone_file: one file serves all folds, so that it may have been trained on patients who test; give "
            "[[backbone]] stages, which are trained anew in each fold"
        )


def _reference_findings(benchmark: Benchmark) -> Iterator[str]:
    arms = {arm.name for arm in benchmark.arms}
    chosen = benchmark.references.model_dump()
    for role, name in chosen.items():
        if name and name not in arms:
            yield f"references.{role}: arm '{name}' does not exist; known: {sorted(arms)}"
        if role == "default" and any(arm.name == name and arm.starts_from == "nothing" for arm in benchmark.arms):
            yield f"references.default: arm '{name}' starts from nothing; the default starts from the backbone"
    named = [name for name in chosen.values() if name]
    if len(set(named)) < len(named):
        yield f"references: one arm cannot have two of these parts, found {chosen}"


def _arm_findings(benchmark: Benchmark) -> Iterator[str]:
    for arm in benchmark.arms:
        if arm.schedule not in benchmark.schedules:
            yield f"arms.{arm.name}.schedule: '{arm.schedule}' does not exist; known: {sorted(benchmark.schedules)}"
        if unknown := sorted(set(arm.orders) - set(benchmark.orders)):
            yield f"arms.{arm.name}.orders: {unknown} do not exist; known: {sorted(benchmark.orders)}"


def _contrast_findings(benchmark: Benchmark) -> Iterator[str]:
    arms = {arm.name for arm in benchmark.arms}
    asked = [(contrast.a, contrast.b, contrast.kind) for contrast in benchmark.contrasts]
    for place, contrast in enumerate(benchmark.contrasts):
        if unknown := sorted({contrast.a, contrast.b} - arms):
            yield f"contrasts.{place}: {unknown} do not exist; known: {sorted(arms)}"
        if contrast.a == contrast.b:
            yield f"contrasts.{place}: '{contrast.a}' cannot be compared with itself"
    if len(set(asked)) < len(asked):
        yield f"contrasts: all must differ, found {asked}"
    if benchmark.contrasts and benchmark.endpoint is None:
        yield "endpoint: is missing; contrasts are about one metric under one setting, give [endpoint]"
