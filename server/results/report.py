"""The coordinator's report: one self-contained HTML page drawn from a study's result, with no patient in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from protocol.modalities import IMAGES
from protocol.tasks import TASKS, TaskName
from reporting.formats import UNDEFINED, WITHHELD, figure, in_reading_order, label
from reporting.pages import open_templates
from server.results.benefits import benefit_lines
from server.results.center_lines import DRAWN, center_lines, gate_lines
from server.results.charts import DOWN, UP, Curves, curves_svg, legend_mark
from server.results.gate_charts import gates_among, gates_svg
from server.results.task_blocks import TaskBlock, primary, task_blocks
from server.results.update_alarms import update_alarms

Table = Mapping[str, Any]
SETTINGS_IN_A_SENTENCE = 3


@dataclass(frozen=True)
class Attendance:
    """How often a center was asked for a round, how often it completed one, and which errors it reported."""

    center: str
    asked: int
    completed: int
    unanswered: int
    errors: Mapping[str, int]


@dataclass(frozen=True)
class Traffic:
    """Tensor bytes of one center over the study; `share_*` of the largest total, `median_*` over its rounds."""

    center: str
    down: int
    up: int
    share_down: float
    share_up: float
    median_down: float
    median_up: float


@dataclass(frozen=True)
class CenterCurves:
    """The drawn curves of one center and the number of rounds that they show."""

    center: str
    rounds: int
    svg: str


def report_html(result: Mapping[str, object]) -> str:
    """The report of a study as one HTML document, from the content of `result.json`."""
    study: Table = result
    environment, drawn = open_templates("server.results"), len(study["centers"]) <= DRAWN
    environment.filters.update(mark=legend_mark)
    return environment.get_template("report.html").render(
        study=study,
        settings=in_reading_order(study["matrices"]),
        verdict=verdict(study),
        blocks=task_blocks(study),
        undefined_as=" or ".join(TASKS[task].undefined_as for task in study["tasks"]),
        score_label=score_label(study),
        curves=center_curves(study) if drawn else [],
        lines=[] if drawn else center_lines(curves_of(study), in_reading_order(study["matrices"])),
        gates=center_gates(study) if drawn else [],
        gate_lines=[] if drawn else gate_lines(study["rounds"], study["centers"]),
        drawn=drawn,
        alarms=update_alarms(study),
        benefits=benefit_lines(study),
        images=IMAGES,
        drawn_stages=list(dict.fromkeys(stage for stage, _ in _round_order(study))),
        summed=any("suppressed" in row for row in study["transfer"].values()),
        colours={"down": DOWN, "up": UP},
        traffic=traffic(study),
        attendance=attendance(study),
    )


def verdict(study: Table) -> str:
    """The study in a sentence a task: final average per modality setting, forgetting, worst center."""
    if not any(matrix["stages"] for matrix in study["matrices"].values()):
        return "No stage has been completed yet, so there are no test scores."
    last = next(matrix["stages"][-1] for matrix in study["matrices"].values() if matrix["stages"])
    first, *others = (_findings_of(block) for block in task_blocks(study))
    when = "Before any training" if last == "initial" else f"After stage {last}"
    return " ".join([f"{when}, {first}.", *(f"{text[:1].upper()}{text[1:]}." for text in others)])


def _findings_of(block: TaskBlock) -> str:
    """A task in half a sentence, under the fullest inputs; the tables show all of them."""
    rows = {setting: block.transfer[setting] for setting in block.settings[:SETTINGS_IN_A_SENTENCE]}
    show = partial(_shown, block.task)
    held = any("worst_center" in row.get("suppressed", ()) for row in rows.values())
    averages = _listing([f"{_average(block, name, row)} with {label(name)}" for name, row in rows.items()])
    forgetting = _listing([f"{show(row['forgetting'])} ({label(name)})" for name, row in rows.items()])
    worst = _listing(
        [
            f"{row['worst_center']['center']} at {show(row['worst_center']['value'])} ({label(name)})"
            for name, row in rows.items()
            if row["worst_center"] and row["worst_center"]["value"] is not None
        ]
    )
    if held:
        return (
            f"the average test {block.label} over all centers is {averages}; forgetting and the worst center are "
            f"{WITHHELD}, since scores leave the centers as sums alone"
        )
    return (
        f"the average test {block.label} over centers is {averages}; "
        f"forgetting is {forgetting}; the worst center is {worst or UNDEFINED}"
    )


def _average(block: TaskBlock, setting: str, row: Table) -> str:
    """A headline average, with what makes it less than it seems."""
    mean = block.means[setting]
    return mean.text(row["average"], block.decimals) + (f" ({mean.warning})" if mean.warning else "")


def _shown(task: TaskName, value: float | None) -> str:
    return figure(value, primary(task).decimals)


def score_label(study: Table) -> str:
    """What is shown of a round and compared by the gate: the primary metric of each task."""
    return " / ".join(primary(task).label for task in study["tasks"])


def center_curves(study: Table) -> list[CenterCurves]:
    """The curves of every center that took part in a round, all over the same rounds."""
    numbers = {center: number for number, center in enumerate(study["centers"])}
    return [
        CenterCurves(center, rounds, curves_svg(curves, f"curves-{numbers[center]}"))
        for center, (rounds, curves) in curves_of(study).items()
    ]


def curves_of(study: Table) -> dict[str, tuple[int, Curves]]:
    """Center -> rounds that it took part in, and its figures over the rounds of the study; not drawn yet."""
    order = _round_order(study)
    found: dict[str, tuple[int, Curves]] = {}
    metrics = {stage["name"]: primary(stage["task"]).name for stage in study["stages"]}
    by_center = _by_center(study)
    for center in study["centers"]:
        records = {(row["stage"], row["server_round"]): row for row in by_center.get(center, ())}
        if not records:
            continue
        rows = [records.get(place) for place in order]
        curves = Curves(
            stage_starts=_stage_starts(order),
            label=score_label(study),
            scores={
                setting: tuple(row and _validated(row, setting, metrics[row["stage"]]) for row in rows)
                for setting in in_reading_order(study["matrices"])
                if any(setting in row["validation"] for row in records.values())
            },
            loss=tuple(row and row["loss"] for row in rows),
            down=tuple(row and row["bytes_down"] for row in rows),
            up=tuple(row and row["bytes_up"] for row in rows),
            failed=tuple(bool(row and row["error"]) for row in rows),
        )
        found[center] = (len(records), curves)
    return found


def _validated(row: Table, setting: str, metric: str) -> float | None:
    """A metric of a round's validation cases; None where it is undefined or was not scored."""
    value: float | None = row["validation"].get(setting, {}).get("values", {}).get(metric)
    return value


def center_gates(study: Table) -> list[CenterCurves]:
    """The gates of every center that reported any, over the rounds of `center_curves`."""
    order, drawn, by_center = _round_order(study), [], _by_center(study)
    for number, center in enumerate(study["centers"]):
        records = {
            (row["stage"], row["server_round"]): gates_among(row.get("diagnostics", {}))
            for row in by_center.get(center, ())
        }
        rows = [records.get(place, {}) for place in order]
        if any(rows):
            svg = gates_svg(rows, _stage_starts(order), f"gates-{number}")
            drawn.append(CenterCurves(center, sum(map(bool, rows)), svg))
    return drawn


def traffic(study: Table) -> list[Traffic]:
    """Bytes of every center that exchanged any, in study order."""
    totals = study["bytes"]["by_center"]
    largest = max([1, *(total[way] for total in totals.values() for way in ("down", "up"))])
    rows, by_center = [], _by_center(study)
    for center, total in totals.items():
        records = by_center.get(center, ())
        rows.append(
            Traffic(
                center=center,
                down=total["down"],
                up=total["up"],
                share_down=total["down"] / largest,
                share_up=total["up"] / largest,
                median_down=median([row["bytes_down"] for row in records] or [0]),
                median_up=median([row["bytes_up"] for row in records] or [0]),
            )
        )
    return rows


def attendance(study: Table) -> list[Attendance]:
    """For every center: the rounds its stages held so far, the rounds it completed, and its errors by code."""
    members = {stage["name"]: set(stage["centers"]) for stage in study["stages"]}
    order, by_center = _round_order(study), _by_center(study)
    rows = []
    for center in study["centers"]:
        records = by_center.get(center, ())
        asked = sum(center in members.get(stage, ()) for stage, _ in order)
        errors = Counter(row["error"] for row in records if row["error"])
        rows.append(
            Attendance(center, asked, len(records) - errors.total(), max(asked - len(records), 0), dict(errors))
        )
    return rows


def _by_center(study: Table) -> dict[str, list[Any]]:
    """Center -> its rounds, sorted out once: centers times rounds may be millions."""
    found: dict[str, list[Any]] = {}
    for row in study["rounds"]:
        found.setdefault(row["center"], []).append(row)
    return found


def _round_order(study: Table) -> list[tuple[str, int]]:
    """Every (stage, round) that any center took part in, in the order in which they were completed."""
    return list(dict.fromkeys((row["stage"], row["server_round"]) for row in study["rounds"]))


def _stage_starts(order: Sequence[tuple[str, int]]) -> tuple[int, ...]:
    """Position (from 1) of the first round of each stage."""
    positions: dict[str, int] = {}
    for position, (stage, _) in enumerate(order, start=1):
        positions.setdefault(stage, position)
    return tuple(positions.values())


def _listing(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
