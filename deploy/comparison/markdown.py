"""The results as Markdown tables, ready for a page of documentation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from protocol.storage.atomic_files import write_text
from server.results.report import UNDEFINED, label, size

Table = Mapping[str, Any]


def write_markdown(table: Table, path: Path) -> None:
    """Replace `table.md`."""
    write_text(path, "\n".join(markdown_lines(table)) + "\n")


def markdown_lines(table: Table) -> Iterator[str]:
    """The whole page, line by line."""
    yield f"## {table['title']}"
    yield ""
    yield from (f"{sentence}\n" for sentence in said(table))
    for setting in table["settings"]:
        yield f"### Test Dice with {label(setting)}"
        yield ""
        yield from _rows(arm_header(), ((f"**{row[0]}**", *row[1:]) for row in arm_rows(table, setting)))
        yield ""
        yield decision_sentence(table, setting)
        yield ""
        yield from _rows(contrast_header(), contrast_rows(table, setting))
        yield ""
        yield from _rows(center_header(table), center_rows(table, setting))
        yield ""
    missing = missing_rows(table)
    if missing:
        yield "### Missing runs"
        yield ""
        yield from _rows(("run", "reason"), missing)


def said(table: Table) -> list[str]:
    """What every page of results says first: who the centers are, what was run, what the intervals are."""
    complete = sum(run["status"] == "complete" for run in table["runs"])
    few = sorted(_without_claim(table))
    patients = ", ".join(
        f"{center} {max(entry['patients'].values(), default=0)}" for center, entry in table["centers"].items()
    )
    orders = _listed([f"{name} ({', '.join(order)})" for name, order in table["orders"].items()])
    sentences = [
        f"{'**Synthetic cohort.** ' if table['synthetic'] else ''}How the centers were formed: {table['formed_by']}.",
        f"{complete} of {len(table['runs'])} runs are complete: seeds {_listed(table['seeds'])}; orders {orders}.",
        f"Every arm takes {table['local_steps']} local steps, summed over centers, on one frozen backbone.",
        f"Test patients: {patients}. Center means count alike; patients are scored after the last stage.",
        f"Intervals: {table['bootstrap']['level']:.0%}, {table['bootstrap']['draws']} draws of patients and of seeds.",
    ]
    if few:
        sentences.append(
            f"No claim is made for single centers with fewer than {table['fewest_patients']} test patients: "
            f"{_listed(few)}."
        )
    return sentences


def arm_header() -> tuple[str, ...]:
    """Columns of `arm_rows`."""
    return (
        "arm", "order", "runs", "average", "worst center", "backward transfer", "forgetting", "forward transfer",
        "gain over local only", "no harm", "CVaR 20 %", "below 0.5", "down", "up", "minutes",
    )  # fmt: skip


def arm_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """One row an arm, and one for each order where an arm has several."""
    rows = []
    for arm in table["arms"].values():
        scores = arm["scores"][setting]
        rows.append(_arm_row(arm, "all" if len(arm["orders"]) > 1 else arm["orders"][0], scores["pooled"]))
        if len(arm["orders"]) > 1:
            rows += [_arm_row(arm, order, scores["by_order"][order]) for order in arm["orders"]]
    return rows


def contrast_header() -> tuple[str, ...]:
    """Columns of `contrast_rows`."""
    return "default minus", "difference", "patients", "that differ", "p (Wilcoxon)", "p (Holm)"


def contrast_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """The declared contrasts."""
    return [
        (
            table["arms"][contrast["other"]]["label"],
            spread(contrast["difference"], signed=True),
            str(contrast["patients"]),
            str(contrast["moved"]),
            probability(contrast["p"]),
            probability(contrast["p_holm"]),
        )
        for contrast in table["contrasts"][setting]
    ]


def center_header(table: Table) -> tuple[str, ...]:
    """Columns of `center_rows`."""
    return "arm", *table["centers"]


def center_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """Final Dice of every center; a star marks centers without a claim."""
    few = _without_claim(table)
    return [
        (
            arm["label"],
            *(
                spread(arm["scores"][setting]["pooled"]["centers"].get(center)) + (" *" if center in few else "")
                for center in table["centers"]
            ),
        )
        for arm in table["arms"].values()
    ]


def missing_rows(table: Table) -> list[tuple[str, str]]:
    """Runs that are not in the numbers, and why."""
    return [
        (f"{run['arm']}/{run['order']}/{run['seed']}", run["reason"])
        for run in table["runs"]
        if run["status"] == "missing"
    ]


def decision_sentence(table: Table, setting: str) -> str:
    """Whether the default keeps up with the best baseline, in words."""
    decision = table["decision"][setting]
    default = table["arms"][table["references"]["default"]]["label"]
    if decision["verdict"] == "undefined":
        return f"{default} cannot be compared yet: no baseline shares a seed with it."
    best = table["arms"][decision["best_baseline"]]["label"]
    apart = decision["worse"] and decision["verdict"] == "not inferior"
    return (
        f"{default} minus the best baseline ({best}): {spread(decision['difference'], signed=True)}; with a margin of "
        f"{table['margin']:g} it is {decision['verdict']}{', though worse' if apart else ''}."
    )


def summary_rows(table: Table) -> Iterator[str]:
    """A line an arm for the screen, with the first modality setting."""
    for setting in table["settings"][:1]:
        yield f"average test Dice over centers, {label(setting)} ({table['formed_by']})"
        for arm in table["arms"].values():
            pooled = arm["scores"][setting]["pooled"]
            runs = f"{arm['runs']['complete']}/{arm['runs']['planned']} runs"
            figures = f"{spread(pooled['average']):<24} forgetting {spread(pooled['forgetting'])}"
            yield f"  {arm['label']:<44} {figures}  {runs}"
        yield decision_sentence(table, setting)


def spread(entry: Mapping[str, float | None] | None, *, signed: bool = False) -> str:
    """A value with its interval: `0.712 [0.655, 0.770]`."""
    if entry is None or entry["value"] is None:
        return UNDEFINED
    form = "+.3f" if signed else ".3f"
    return f"{entry['value']:{form}} [{entry['low']:{form}}, {entry['high']:{form}}]"


def probability(p: float | None) -> str:
    """A p-value, three digits."""
    if p is None:
        return UNDEFINED
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _arm_row(arm: Table, order: str, figures: Table) -> tuple[str, ...]:
    worst = figures["worst_center"]
    return (
        arm["label"],
        order,
        str(figures["runs"]),
        spread(figures["average"]),
        UNDEFINED if worst is None or worst["center"] is None else f"{worst['center']} {spread(worst)}",
        spread(figures["backward_transfer"], signed=True),
        spread(figures["forgetting"], signed=True),
        spread(figures["forward_transfer"], signed=True),
        _number(figures["gain"] and figures["gain"]["mean"], "+.3f"),
        _number(figures["no_harm_rate"], ".0%"),
        _number(figures["cvar20"], ".3f"),
        _number(figures["below_half"], ".0%"),
        UNDEFINED if arm["bytes_down"] is None else size(arm["bytes_down"]),
        UNDEFINED if arm["bytes_up"] is None else size(arm["bytes_up"]),
        _number(None if arm["seconds"] is None else arm["seconds"] / 60, ".1f"),
    )


def _number(value: float | None, form: str) -> str:
    return UNDEFINED if value is None else f"{value:{form}}"


def _without_claim(table: Table) -> set[str]:
    """Centers with too few test patients for a claim of their own."""
    fewest = table["fewest_patients"]
    return {name for name, entry in table["centers"].items() if max(entry["patients"].values(), default=0) < fewest}


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    yield from (f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
