"""What the Markdown page, the HTML page and the screen show of a benchmark: rows of text and sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from reporting.formats import (
    UNDEFINED,
    difference,
    difference_interval,
    label,
    number,
    probability,
    score,
    score_interval,
    share,
    size,
)

Table = Mapping[str, Any]
ARM_HEADER = (
    "arm", "order", "runs", "average", "worst center", "backward transfer", "forgetting", "forward transfer",
    "gain over local only", "no harm", "CVaR 20 %", "below 0.5", "down", "up", "minutes",
)  # fmt: skip
CONTRAST_HEADER = ("default minus", "difference", "patients", "that differ", "p (Wilcoxon)", "p (Holm)")


def opening_sentences(table: Table) -> list[str]:
    """What every page of results says first: who the centers are, what was run, what the intervals are."""
    complete = sum(run["status"] == "complete" for run in table["runs"])
    few = sorted(_without_claim(table))
    patients = ", ".join(f"{center} {_most_patients(entry)}" for center, entry in table["centers"].items())
    seeds = ", ".join(map(str, table["seeds"]))
    orders = ", ".join(f"{name} ({', '.join(order)})" for name, order in table["orders"].items())
    sentences = [
        f"How the centers were formed: {table['formed_by']}.",
        f"{complete} of {len(table['runs'])} runs are complete: seeds {seeds}; orders {orders}.",
        f"Every arm takes {table['local_steps']} local steps, summed over centers, on one frozen backbone.",
        f"Test patients: {patients}. Center means count alike; patients are scored after the last stage.",
        f"Intervals: {table['bootstrap']['level']:.0%}, {table['bootstrap']['draws']} draws of patients and of seeds.",
    ]
    if few:
        sentences.append(
            f"No claim is made for single centers with fewer than {table['fewest_patients']} test patients: "
            f"{', '.join(few)}."
        )
    return sentences


def arm_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """One row an arm, and one for each order where an arm has several; columns as in `ARM_HEADER`."""
    rows = []
    for arm in table["arms"].values():
        scores = arm["scores"][setting]
        rows.append(_arm_row(arm, "all" if len(arm["orders"]) > 1 else arm["orders"][0], scores["pooled"]))
        if len(arm["orders"]) > 1:
            rows += [_arm_row(arm, order, scores["by_order"][order]) for order in arm["orders"]]
    return rows


def contrast_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """The declared contrasts; columns as in `CONTRAST_HEADER`."""
    return [
        (
            table["arms"][contrast["other"]]["label"],
            difference_interval(contrast["difference"]),
            str(contrast["patients"]),
            str(contrast["moved"]),
            probability(contrast["p"]),
            probability(contrast["p_holm"]),
        )
        for contrast in table["contrasts"][setting]
    ]


def center_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """Arm and final Dice of every center; a star marks centers without a claim."""
    few = _without_claim(table)
    return [
        (
            arm["label"],
            *(
                score_interval(arm["scores"][setting]["pooled"]["centers"].get(center))
                + (" *" if center in few else "")
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
        f"{default} minus the best baseline ({best}): {difference_interval(decision['difference'])}; with a margin of "
        f"{table['margin']:g} it is {decision['verdict']}{', though worse' if apart else ''}."
    )


def summary_rows(table: Table) -> Iterator[str]:
    """A line an arm for the screen, with the first modality setting."""
    for setting in table["settings"][:1]:
        yield f"average test Dice over centers, {label(setting)} ({table['formed_by']})"
        for arm in table["arms"].values():
            pooled = arm["scores"][setting]["pooled"]
            runs = f"{arm['runs']['complete']}/{arm['runs']['planned']} runs"
            figures = f"{score_interval(pooled['average']):<24} forgetting {score_interval(pooled['forgetting'])}"
            yield f"  {arm['label']:<44} {figures}  {runs}"
        yield decision_sentence(table, setting)


def _arm_row(arm: Table, order: str, figures: Table) -> tuple[str, ...]:
    worst = figures["worst_center"]
    return (
        arm["label"],
        order,
        str(figures["runs"]),
        score_interval(figures["average"]),
        UNDEFINED if worst is None or worst["center"] is None else f"{worst['center']} {score_interval(worst)}",
        difference_interval(figures["backward_transfer"]),
        difference_interval(figures["forgetting"]),
        difference_interval(figures["forward_transfer"]),
        difference(figures["gain"] and figures["gain"]["mean"]),
        share(figures["no_harm_rate"]),
        score(figures["cvar20"]),
        share(figures["below_half"]),
        size(arm["bytes_down"]),
        size(arm["bytes_up"]),
        number(None if arm["seconds"] is None else arm["seconds"] / 60, ".1f"),
    )


def _without_claim(table: Table) -> set[str]:
    """Centers with too few test patients for a claim of their own."""
    return {name for name, entry in table["centers"].items() if _most_patients(entry) < table["fewest_patients"]}


def _most_patients(center: Table) -> int:
    """Test patients of a center under the modality setting that has most."""
    return max(center["patients"].values(), default=0)
