"""A model card as one self-contained HTML page, drawn from its JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reporting.formats import ABSENT, FAILED, UNDEFINED, WITHHELD, figure, figure_interval
from reporting.pages import open_templates

Card = Mapping[str, Any]
WORDS = {"withheld": WITHHELD, "failed": FAILED, "undefined": UNDEFINED, "not-scored": ABSENT}
"""State of a figure that has no value -> the word in its place."""
TOLD = {"withheld", "failed"}
"""States of which a table tells though no center has a value."""
KEPT = "of what the center keeps instead"


@dataclass(frozen=True)
class ScoreTable:
    """The figures of one input. rows: label and unit of a metric, then text and note of each center."""

    setting: str
    centers: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def card_html(card: Card) -> str:
    """The page."""
    environment = open_templates("server.card")
    environment.filters["interval"] = figure_interval
    return environment.get_template("card.html").render(
        card=card, tables=score_tables(card["scores"]), absent=[*WORDS.values()], filled=_filled(card["reporting"])
    )


def score_tables(scores: Sequence[Mapping[str, Any]]) -> list[ScoreTable]:
    """A table for each input; a metric that no center has, withholds or failed at is left out, as an input without."""
    found = []
    for setting in dict.fromkeys(row["setting"] for row in scores):
        rows = [row for row in scores if row["setting"] == setting]
        metrics = dict.fromkeys(row["metric"] for row in rows if row["value"] is not None or row["state"] in TOLD)
        centers = tuple(dict.fromkeys(row["center"] for row in rows))
        if metrics:
            lines = tuple(_line([row for row in rows if row["metric"] == metric]) for metric in metrics)
            found.append(ScoreTable(setting, centers, lines))
    return found


def _line(rows: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[tuple[str, str], ...]]:
    unit = rows[0]["unit"]
    name = f"{rows[0]['label']}, {unit}" if unit else rows[0]["label"]
    return name, tuple((WORDS.get(row["state"]) or figure(row["value"], row["decimals"]), _note(row)) for row in rows)


def _note(row: Mapping[str, Any]) -> str:
    without = f"undefined for {row['undefined_cases']}" if row["undefined_cases"] else ""
    cases = f"{row['cases']} case(s)" if row["cases"] else ""
    kept = KEPT if row["state"] == "of-what-the-center-keeps" else ""
    return ", ".join(filter(None, (kept, cases, without)))


def _filled(reporting: Mapping[str, Sequence[Mapping[str, str]]]) -> dict[str, str]:
    """How many items of each guideline are filled, in words."""
    return {name: count_items(items) for name, items in reporting.items()}


def count_items(items: Sequence[Mapping[str, str]]) -> str:
    """How many items are in each state."""
    filled, partly, left = (sum(item["state"] == state for item in items) for state in ("filled", "partly", "open"))
    return f"Of {len(items)} items {filled} are filled from facts, {partly} in part, {left} are open"
