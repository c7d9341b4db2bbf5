"""What federation brought a center, in the words of every page: of the coordinator, of the center, of both dashboards.

An entry says what a page needs: `against`, `state`, `difference`, and the ends `low` and `high` of its 95 % interval.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reporting.formats import UNDEFINED, WITHHELD, difference_interval, label

Entry = Mapping[str, Any]
WORDS = {"local-only": "its own adapter, trained alone", "ct-network": "the CT network alone"}
BETTER, WORSE, OPEN = "better with federation", "worse with federation", "not decided"


@dataclass(frozen=True)
class BenefitLine:
    """One line of a table: who, of what, beside what, on how many test cases; the difference and what it says."""

    center: str
    metric: str
    setting: str
    against: str
    cases: int
    difference: str
    verdict: str


def benefit_line(center: str, metric: str, decimals: int, entry: Entry) -> BenefitLine:
    """An entry as a line.

    Args:
        center: whose it is.
        metric: label of the primary metric of its task.
        decimals: that it is shown with.
        entry: with `setting` and `cases` beside what every entry has.
    """
    return BenefitLine(
        center=center,
        metric=metric,
        setting=label(entry["setting"]),
        against=WORDS[entry["against"]],
        cases=entry["cases"],
        difference=shown_difference(entry, decimals),
        verdict=verdict(entry),
    )


def in_order_of_inputs(entries: Iterable[Entry]) -> list[Entry]:
    """The fullest input first, references of one input together."""
    return sorted(entries, key=lambda entry: (-entry["setting"].count("+"), entry["setting"]))


def shown_difference(entry: Entry, decimals: int) -> str:
    """The difference with its interval, or the word for its absence."""
    if entry["state"] == "withheld":
        return WITHHELD
    if entry["low"] is None:
        return UNDEFINED if entry["difference"] is None else f"{entry['difference']:+.{decimals}f}"
    return difference_interval({**entry, "value": entry["difference"]}, decimals)


def verdict(entry: Entry) -> str:
    """Whether federation helped, in words."""
    if entry["state"] == "withheld":
        return "too few cases to say"
    if entry["state"] == "undefined":
        return "nothing defines it"
    if entry["low"] is None:
        return "one case says nothing of its noise" if entry["cases"] == 1 else "its noise is not known"
    if entry["low"] > 0:
        return BETTER
    return WORSE if entry["high"] < 0 else OPEN
