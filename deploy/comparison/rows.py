"""What the Markdown page, the HTML page and the screen show of a benchmark: rows of text and sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.comparison.declared_rows import declared_sentences, metric_of, service_sentences
from deploy.comparison.planner import NO_BACKBONE
from reporting.formats import (
    UNDEFINED,
    difference,
    difference_interval,
    figure,
    figure_interval,
    label,
    number,
    probability,
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
    none = set(table["backbones"].values()) == {NO_BACKBONE}
    backbone = "" if none else f", on one frozen backbone{' a fold' if table['folds']['count'] else ''}"
    sentences = [
        f"How the centers were formed: {table['formed_by']}.",
        f"{complete} of {len(table['runs'])} runs are complete: seeds {seeds}; orders {orders}.",
        f"Every arm takes {table['local_steps']} local steps, summed over centers{backbone}.",
        f"Test patients: {patients}. Center means count alike; patients are scored after the last stage.",
        f"Intervals: {table['bootstrap']['level']:.0%}, {table['bootstrap']['draws']} draws of patients and of seeds.",
    ]
    if alone := [arm["label"] for arm in table["arms"].values() if arm["starts_from"] == "nothing"]:
        sentences.append(f"Started from nothing, with the steps of the backbone beside their own: {', '.join(alone)}.")
    metric = metric_of(table)
    if table["folds"]["count"]:
        sentences.append(_fold_sentence(table["folds"]))
    if metric.of == "cohort":
        sentences.append(
            f"{metric.label[:1].upper()}{metric.label[1:]} is a figure of each center's cohort, computed anew in every "
            "draw; pairs of patients of two centers are never formed, and no single patient has a score."
        )
    if few:
        sentences.append(
            f"No claim is made for single centers with fewer than {table['fewest_patients']} test patients: "
            f"{', '.join(few)}."
        )
    return sentences


def _fold_sentence(folds: Table) -> str:
    """Out of fold, and how far that is."""
    done = "; ".join(
        f"seed {seed}: {', '.join(map(str, complete)) or 'none'} of {folds['count']}"
        for seed, complete in folds["complete"].items()
    )
    return (
        "Out of fold: each patient is scored once a seed, by networks and a backbone that never saw the patient. "
        f"Folds that every arm has completed: {done}. Differences are of the seeds and folds that both arms have; the "
        "figures of an arm with fewer folds are of fewer patients."
    )


def arm_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """One row an arm, and one for each order where an arm has several; columns as in `ARM_HEADER`."""
    rows, decimals = [], metric_of(table).decimals
    for arm in table["arms"].values():
        scores = arm["scores"][setting]
        rows.append(_arm_row(arm, "all" if len(arm["orders"]) > 1 else arm["orders"][0], scores["pooled"], decimals))
        if len(arm["orders"]) > 1:
            rows += [_arm_row(arm, order, scores["by_order"][order], decimals) for order in arm["orders"]]
    return rows


def contrast_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """The declared contrasts; columns as in `CONTRAST_HEADER`."""
    decimals = metric_of(table).decimals
    return [
        (
            table["arms"][contrast["other"]]["label"],
            difference_interval(contrast["difference"], decimals),
            str(contrast["patients"]),
            str(contrast["moved"]),
            probability(contrast["p"]),
            probability(contrast["p_holm"]),
        )
        for contrast in table["contrasts"][setting]
    ]


def center_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """Arm and final score of every center; a star marks centers without a claim."""
    few, decimals = _without_claim(table), metric_of(table).decimals
    return [
        (
            arm["label"],
            *(
                figure_interval(arm["scores"][setting]["pooled"]["centers"].get(center), decimals)
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
        f"{default} minus the best baseline ({best}): "
        f"{difference_interval(decision['difference'], metric_of(table).decimals)}; with a margin of "
        f"{table['margin']:g} it is {decision['verdict']}{', though worse' if apart else ''}."
    )


def summary_rows(table: Table) -> Iterator[str]:
    """A line an arm for the screen, with the first modality setting."""
    metric = metric_of(table)
    yield from declared_sentences(table)
    for setting in table["settings"][:1]:
        yield f"average test {metric.label} over centers, {label(setting)} ({table['formed_by']})"
        for arm in table["arms"].values():
            pooled = arm["scores"][setting]["pooled"]
            runs = f"{arm['runs']['complete']}/{arm['runs']['planned']} runs"
            average, forgetting = (figure_interval(pooled[key], metric.decimals) for key in ("average", "forgetting"))
            figures = f"{average:<24} forgetting {forgetting}"
            yield f"  {arm['label']:<44} {figures}  {runs}"
        yield decision_sentence(table, setting)
        yield from service_sentences(table, setting)


def _arm_row(arm: Table, order: str, figures: Table, decimals: int) -> tuple[str, ...]:
    worst = figures["worst_center"]
    return (
        arm["label"],
        order,
        str(figures["runs"]),
        figure_interval(figures["average"], decimals),
        UNDEFINED
        if worst is None or worst["center"] is None
        else f"{worst['center']} {figure_interval(worst, decimals)}",
        difference_interval(figures["backward_transfer"], decimals),
        difference_interval(figures["forgetting"], decimals),
        difference_interval(figures["forward_transfer"], decimals),
        difference(figures["gain"] and figures["gain"]["mean"], decimals),
        share(figures["no_harm_rate"]),
        figure(figures["cvar20"], decimals),
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
