"""What federation brought each center, as `result.json` has it, and in the report's lines.

Of the last row in which a center said anything. An interval is Student's over the center's test cases
(`strategies.continual.paired_interval`): it says what these cases allow to tell of others of this center, and nothing
of another seed or another study.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from protocol.messages.benefit import Benefit
from protocol.tasks import TASKS
from reporting.benefits import BenefitLine, benefit_line, in_order_of_inputs
from server.study.history import StageRow
from strategies.continual.paired_interval import entry_of


def benefit_entries(rows: Sequence[StageRow]) -> list[dict[str, Any]]:
    """An entry for each center, task, modality setting and reference."""
    latest = {center: (row.stage, told) for row in rows for center, told in row.benefits.items()}
    return [_entry(center, stage, found) for center, (stage, told) in latest.items() for found in told]


def _entry(center: str, stage: str, found: Benefit) -> dict[str, Any]:
    place = {"center": center, "stage": stage, "task": found.task, "setting": found.setting, "against": found.against}
    return {**place, **entry_of(found.comparison, found.cases)}


def benefit_lines(result: Mapping[str, Any]) -> list[BenefitLine]:
    """The entries of a result, by center, the fullest input first; none where the study did not ask."""
    entries = result.get("benefits", ())
    return [
        benefit_line(entry["center"], metric.label, metric.decimals, entry)
        for of_center in _by_center(entries)
        for entry in in_order_of_inputs(of_center)
        for metric in [TASKS[entry["task"]].metric(TASKS[entry["task"]].primary)]
    ]


def _by_center(entries: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The entries of each center."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        found.setdefault(entry["center"], []).append(entry)
    return list(found.values())
