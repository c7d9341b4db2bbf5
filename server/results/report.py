"""The coordinator's report: one self-contained HTML page drawn from a study's result, with no patient in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from reporting.formats import UNDEFINED, in_reading_order, label, score
from reporting.pages import open_templates
from reporting.tints import Tint, tint
from server.results.charts import COLOURS, Curves, curves_svg, dice_range, gradient
from server.results.gate_charts import gates_among, gates_svg

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One cell of a heat map; `tint` is None where the score is undefined."""

    text: str
    tint: Tint | None
    trained: bool
    cases: int
    undefined: int


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
    low, high = dice_range([value for matrix in study["matrices"].values() for row in matrix["dice"] for value in row])
    return (
        open_templates("server.results")
        .get_template("report.html")
        .render(
            study=study,
            settings=in_reading_order(study["matrices"]),
            verdict=verdict(study),
            heat_maps={setting: heat_map(study, setting, low, high) for setting in in_reading_order(study["matrices"])},
            scale={"low": low, "high": high, "gradient": gradient(low, high)},
            curves=center_curves(study),
            gates=center_gates(study),
            drawn_stages=list(dict.fromkeys(stage for stage, _ in _round_order(study))),
            colours=COLOURS,
            traffic=traffic(study),
            attendance=attendance(study),
        )
    )


def verdict(study: Table) -> str:
    """The study in one sentence: final average Dice per modality setting, forgetting, worst center."""
    if not any(matrix["stages"] for matrix in study["matrices"].values()):
        return "No stage has been completed yet, so there are no test scores."
    transfer = {setting: study["transfer"][setting] for setting in in_reading_order(study["matrices"])}
    last = next(matrix["stages"][-1] for matrix in study["matrices"].values() if matrix["stages"])
    averages = _listing([f"{score(row['average'])} with {label(name)}" for name, row in transfer.items()])
    forgetting = _listing([f"{score(row['forgetting'])} ({label(name)})" for name, row in transfer.items()])
    worst = _listing(
        [
            f"{row['worst_center']['center']} at {score(row['worst_center']['dice'])} ({label(name)})"
            for name, row in transfer.items()
            if row["worst_center"] and row["worst_center"]["dice"] is not None
        ]
    )
    when = "Before any training" if last == "initial" else f"After stage {last}"
    return (
        f"{when}, the average test Dice over centers is {averages}; "
        f"forgetting is {forgetting}; the worst center is {worst or UNDEFINED}."
    )


def heat_map(study: Table, setting: str, low: float, high: float) -> list[tuple[str, list[Cell]]]:
    """Rows (stage, cells in center order) of one evaluation matrix of Dice."""
    matrix = study["matrices"][setting]
    trained = {stage["name"]: set(stage["centers"]) for stage in study["stages"]}
    return [
        (
            stage,
            [
                Cell(
                    text=score(dice),
                    tint=None if dice is None else tint(dice, low, high),
                    trained=center in trained.get(stage, ()),
                    cases=matrix["cases"][row][column] or 0,
                    undefined=matrix["dice_undefined"][row][column] or 0,
                )
                for column, (center, dice) in enumerate(zip(matrix["centers"], matrix["dice"][row], strict=True))
            ],
        )
        for row, stage in enumerate(matrix["stages"])
    ]


def center_curves(study: Table) -> list[CenterCurves]:
    """The curves of every center that took part in a round, all over the same rounds."""
    order, drawn = _round_order(study), []
    for number, center in enumerate(study["centers"]):
        records = {(row["stage"], row["server_round"]): row for row in study["rounds"] if row["center"] == center}
        if not records:
            continue
        rows = [records.get(place) for place in order]
        curves = Curves(
            stage_starts=_stage_starts(order),
            dice={
                setting: tuple(row and row["validation"].get(setting, {}).get("dice") for row in rows)
                for setting in in_reading_order(study["matrices"])
                if any(setting in row["validation"] for row in records.values())
            },
            loss=tuple(row and row["loss"] for row in rows),
            down=tuple(row and row["bytes_down"] for row in rows),
            up=tuple(row and row["bytes_up"] for row in rows),
            failed=tuple(bool(row and row["error"]) for row in rows),
        )
        drawn.append(CenterCurves(center, len(records), curves_svg(curves, f"curves-{number}")))
    return drawn


def center_gates(study: Table) -> list[CenterCurves]:
    """The gates of every center that reported any, over the rounds of `center_curves`."""
    order, drawn = _round_order(study), []
    for number, center in enumerate(study["centers"]):
        records = {
            (row["stage"], row["server_round"]): gates_among(row.get("diagnostics", {}))
            for row in study["rounds"]
            if row["center"] == center
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
    rows = []
    for center, total in totals.items():
        records = [row for row in study["rounds"] if row["center"] == center]
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
    members = {stage["name"]: stage["centers"] for stage in study["stages"]}
    order = _round_order(study)
    rows = []
    for center in study["centers"]:
        records = [row for row in study["rounds"] if row["center"] == center]
        asked = sum(center in members.get(stage, ()) for stage, _ in order)
        errors = Counter(row["error"] for row in records if row["error"])
        rows.append(
            Attendance(center, asked, len(records) - errors.total(), max(asked - len(records), 0), dict(errors))
        )
    return rows


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
