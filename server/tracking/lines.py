"""What a study's history says in MLflow's terms: metrics at a round, and tags, for one run each; plain values.

A metric is a number, so that a figure which is none is told by another: `..._suppressed` is 1 where a center holds it
back (withheld), `..._undefined` counts the cases without it, `failed` and `test/failed` are 1 where a center answered
with an error or not at all, and of what was not asked there is none of them (absent).

The whole history is said anew whenever it is asked for; each line has a key, so that the tracker knows what it sent.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from protocol.messages.benefit import Benefit
from protocol.messages.suppression import NOTHING_SUPPRESSED, Suppressed, of_figure
from protocol.tasks import TASKS, metric_named
from reporting.benefits import verdict
from server.study.file import Study
from server.study.history import (
    ALL_CENTERS,
    AggregationRecord,
    GateRecord,
    History,
    LateRecord,
    QueryRecord,
    RollbackRecord,
    RoundRecord,
    Scores,
    StageRow,
)
from strategies.continual.paired_interval import entry_of
from strategies.evaluation.over_centers import over_centers

STUDY_RUN, SHARED_RUN = "study", "shared"

Metrics = dict[str, float]


@dataclass(frozen=True)
class Line:
    """What is logged at once: `metrics` at `step` and `tags`, in the run with the name `run`."""

    key: str
    run: str
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def center_run(center: str) -> str:
    """The name of a center's run."""
    return f"center/{center}"


def lines_of(history: History, study: Study, queries_before: int = 0) -> Iterator[Line]:
    """Everything the history says, in the order of rounds; a step is a round counted over the study.

    Args:
        history: all of it, or what came to one.
        study: says how many rounds there are.
        queries_before: of a part, how many answers to queries came before it.
    """
    ends = accumulate(stage.all_rounds for stage in study.stages)
    steps = dict(zip((stage.name for stage in study.stages), ends, strict=True))
    for record in history.rounds:
        yield _round_line(record)
    for figures in history.aggregations:
        yield from _aggregation_line(figures)
    for rollback in history.rollbacks:
        yield _rollback_line(rollback)
    for gate in history.gates:
        yield from _gate_lines(gate, steps.get(gate.stage, 0))
    for place, query in enumerate(history.queries, start=queries_before):
        yield from _query_lines(query, place, steps.get(query.stage, 0))
    for row in history.rows:
        yield from _row_lines(row, steps.get(row.stage, 0))
    for late in history.late:
        yield _late_line(late)


def _round_line(record: RoundRecord) -> Line:
    """What one center did in one round."""
    metrics = {
        "cases": float(record.cases),
        "bytes_up": float(record.bytes_up),
        "bytes_down": float(record.bytes_down),
        "seconds": record.seconds,
        "failed": float(bool(record.error)),
        **score_metrics("validation", record.validation),
        **{f"diagnostics/{name}": value for name, value in record.diagnostics.items()},
        **suppressed_metrics("validation", record.suppressed),
    }
    if record.loss is not None and math.isfinite(record.loss):
        metrics["loss"] = record.loss
    elif "loss_suppressed" not in metrics:
        metrics["loss_undefined"] = 1.0
    tags = {f"error/{record.server_round:04d}": record.error} if record.error else {}
    key = f"round/{record.server_round}/{record.center}"
    return Line(key, center_run(record.center), record.server_round, metrics, tags)


def _aggregation_line(record: AggregationRecord) -> Iterator[Line]:
    """What a round's aggregation said about itself, in the study's run."""
    metrics = {f"aggregation/{name}": value for name, value in record.figures.items() if math.isfinite(value)}
    if metrics:
        yield Line(f"aggregation/{record.server_round}", STUDY_RUN, record.server_round, metrics)


def _rollback_line(record: RollbackRecord) -> Line:
    """A round that was not used, since it found its state much worse: a mark in the study's run, and what is back."""
    step, restored = record.server_round, f"the state after round {record.restored_round} is restored"
    return Line(f"rollback/{step}", STUDY_RUN, step, {"rollback": 1.0}, {f"rollback/{step:04d}": restored})


def _gate_lines(record: GateRecord, step: int) -> Iterator[Line]:
    """The gate's decision: the verdict in the study's run, the change of each center in its own."""
    verdict, key = record.verdict, f"gate/{record.stage}"
    found = {"gate/mean": verdict.mean, "gate/lower_bound": verdict.lower_bound}
    metrics = {name: value for name, value in found.items() if value is not None}
    metrics["gate/promoted"] = float(verdict.promoted)
    yield Line(key, STUDY_RUN, step, metrics, {f"gate/{step:04d}": verdict.reason})
    for center, difference in verdict.differences.items():
        yield Line(f"{key}/{center}", center_run(center), step, {"gate/difference": difference})


def _row_lines(row: StageRow, step: int) -> Iterator[Line]:
    """The test scores after a stage: each center's in its run, what they are over centers in the study's run."""
    failed: dict[str, Scores] = {center: {} for center in row.errors}
    for center, scores in {**failed, **row.test}.items() if ALL_CENTERS not in row.test else ():
        held = row.suppressed.get(center, NOTHING_SUPPRESSED).names()
        metrics = {**score_metrics("test", scores), **suppressed_metrics("test", held)}
        error = row.errors.get(center, "")
        tags = {f"test_error/{step:04d}": error} if error else {}
        metrics |= {"test/failed": 1.0} if error else {}
        yield Line(f"row/{row.stage}/{center}", center_run(center), step, metrics, tags)
    for center, told in row.benefits.items():
        yield _benefit_line(row.stage, center, told, step)
    means = {**dict(_means_over_centers(row)), **_centers_that_hold_back(row.suppressed)}
    yield Line(f"row/{row.stage}", STUDY_RUN, step, means, {f"stage/{step:04d}": row.stage})


def _benefit_line(stage: str, center: str, told: Iterable[Benefit], step: int) -> Line:
    """What federation brought a center, in its run: differences with the ends of their intervals, and what they say."""
    metrics, tags = Metrics(), dict[str, str]()
    for found in told:
        name = f"benefit/{TASKS[found.task].primary}/{_suffix(found.setting)}/{found.against}"
        entry = entry_of(found.comparison, found.cases)
        ends = {name: entry["difference"], f"{name}_low": entry["low"], f"{name}_high": entry["high"]}
        metrics |= {place: value for place, value in ends.items() if value is not None}
        metrics |= _without_difference(name, found)
        tags[name] = verdict(entry)
    return Line(f"benefit/{stage}/{center}", center_run(center), step, metrics, tags)


def _without_difference(name: str, found: Benefit) -> Metrics:
    """That a center holds a comparison back, or how many of its cases do not define it."""
    if found.comparison is None:
        return {f"{name}_suppressed": 1.0}
    return {f"{name}_undefined": float(found.cases - found.comparison.cases)}


def _means_over_centers(row: StageRow) -> Iterator[tuple[str, float]]:
    """Each metric over the centers that define it; counts, which have no mean, are left out."""
    if ALL_CENTERS in row.test:
        yield from _summed(row.test[ALL_CENTERS])
        return
    for setting in dict.fromkeys(setting for scores in row.test.values() for setting in scores):
        found = [scores[setting] for scores in row.test.values() if setting in scores]
        for name in dict.fromkeys(name for score in found for name in score.values):
            mean = None if metric_named(name).of == "count" else over_centers(found, name)
            if mean is not None:
                yield f"test_mean/{name}/{_suffix(setting)}", mean


def _summed(scores: Scores) -> Iterator[tuple[str, float]]:
    """Each mean of a row that was summed, under the name that it has in any study."""
    for setting, score in scores.items():
        for name, value in score.values.items():
            if value is not None and metric_named(name).of != "count":
                yield f"test_mean/{name}/{_suffix(setting)}", value


def _centers_that_hold_back(suppressed: Mapping[str, Suppressed]) -> Metrics:
    """How many centers hold back a figure, beside its mean over the others; none where nobody does."""
    names = (of_figure(name) for held in suppressed.values() for name in held.names())
    counts = Counter(found for found in names if found[0] and metric_named(found[1]).of != "count")
    return {
        f"test_mean/{name}/{_suffix(setting)}_suppressed": float(count) for (setting, name), count in counts.items()
    }


def _query_lines(record: QueryRecord, place: int, step: int) -> Iterator[Line]:
    """A comparison that a center holds back: a mark in its run, where its difference would be."""
    if "comparison" in record.suppressed:
        key = f"query/{place}/{record.center}"
        yield Line(key, center_run(record.center), step, {"gate/difference_suppressed": 1.0})


def _late_line(record: LateRecord) -> Line:
    """An update of a round that went on without it: a mark at that round, and what became of it."""
    step, key = record.server_round, f"late/{record.center}/{record.server_round}/{record.found_in_round}"
    fate = f"{record.fate}, found in round {record.found_in_round}"
    return Line(key, center_run(record.center), step, {"late": 1.0}, {f"late/{step:04d}": fate})


def score_metrics(part: str, scores: Scores) -> Metrics:
    """Metric name -> value; an undefined mean has no value, how many cases lack one is always logged."""
    metrics: Metrics = {}
    for setting, score in scores.items():
        suffix = _suffix(setting)
        metrics[f"{part}/cases/{suffix}"] = float(score.cases)
        for name, value in score.values.items():
            if metric_named(name).of != "count":
                metrics[f"{part}/{name}/{suffix}_undefined"] = float(score.undefined.get(name, 0))
            if value is not None:
                metrics[f"{part}/{name}/{suffix}"] = value
    return metrics


def suppressed_metrics(part: str, names: Iterable[str]) -> Metrics:
    """A mark for each figure that is held back, under the name that the figure would have."""
    told = (of_figure(name) for name in names)
    return {f"{part}/{name}/{_suffix(of)}_suppressed" if of else f"{name}_suppressed": 1.0 for of, name in told}


def _suffix(setting: str) -> str:
    """A modality setting as MLflow takes it in a metric's name."""
    return setting.replace("+", "_")


def study_parameters(study: Study) -> dict[str, str]:
    """The study file as parameters, centers apart: those stand in their own runs."""
    settings = study.model_dump(mode="json", exclude={"centers"})
    return {**flat(settings, ""), "centers": ", ".join(study.centers)}


def flat(value: Any, path: str) -> dict[str, str]:
    """Nested settings as `table.key` -> text; lists of plain values stay together."""
    if isinstance(value, dict):
        items = [(str(key).replace("+", "_"), part) for key, part in value.items()]
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        items = [(str(position), part) for position, part in enumerate(value)]
    else:
        return {path: ", ".join(map(str, value)) if isinstance(value, list) else str(value)}
    return {key: text for name, part in items for key, text in flat(part, f"{path}.{name}" if path else name).items()}
