"""What a center's own page says of what federation brought it, on all of its test cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from client.scores.score_rows import read_rows
from protocol.errors import CaseError
from protocol.messages.scores import Comparison
from protocol.tasks import TASKS
from reporting.benefits import BenefitLine, benefit_line, in_order_of_inputs
from strategies.continual.paired_interval import entry_of


@dataclass(frozen=True)
class BenefitSection:
    """After the latest stage that says anything, as the page shows it."""

    stage: str
    lines: Sequence[BenefitLine]
    template: ClassVar[str] = "benefit_section.html"


def benefit_section(path: Path) -> list[BenefitSection]:
    """The section; none where no study asked for it, or none was scored yet.

    Args:
        path: `benefits.json` of the center's home.

    Raises:
        CaseError: the file is damaged, or not as the trainer writes it.
    """
    rows = read_rows(path)
    if not rows:
        return []
    stage = rows[-1]["stage"]
    try:
        entries = in_order_of_inputs(_entry(row) for row in rows if row["stage"] == stage)
        return [BenefitSection(stage, [_line(entry) for entry in entries])]
    except (KeyError, TypeError, ValueError) as error:
        raise CaseError(f"{path} cannot be read ({error!r}); evaluate again to replace it") from error


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    told = Comparison(row["defined"], row["difference"], row["standard_error"])
    place = {"task": row["task"], "setting": row["modalities"], "against": row["against"]}
    return {**place, **entry_of(told, row["cases"])}


def _line(entry: Mapping[str, Any]) -> BenefitLine:
    metric = TASKS[entry["task"]].metric(TASKS[entry["task"]].primary)
    return benefit_line("", metric.label, metric.decimals, entry)
