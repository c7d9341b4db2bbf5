"""The figures of one arm: means over its runs, with intervals, against training alone, and over patients."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from deploy.comparison.outcomes import Outcome
from protocol.errors import StudyError
from strategies.evaluation.fairness import conditional_value_at_risk, gains, mean, no_harm_rate, share_below
from strategies.evaluation.matrix import Floats
from strategies.evaluation.merged_folds import merge_folds
from strategies.evaluation.resampling import (
    Draws,
    Metric,
    average,
    backward_transfer,
    forgetting,
    forward_transfer,
    interval,
    matrices_of,
    over_runs,
)
from strategies.evaluation.run_scores import RunScores, mean_of

METRICS: Mapping[str, Metric] = {
    "average": average,
    "backward_transfer": backward_transfer,
    "forgetting": forgetting,
    "forward_transfer": forward_transfer,
}
OTHERS = ("worst_center", "gain", "no_harm_rate", "cvar20", "below_half")


def scores_under(outcomes: Iterable[Outcome], setting: str) -> list[RunScores]:
    """The scores of the runs that have any under a modality setting; those of an order and seed over folds as one.

    Raises:
        StudyError: the runs are not the folds of one cohort.
    """
    groups: dict[tuple[str, int], list[RunScores]] = {}
    for outcome in outcomes:
        if setting in outcome.scores:
            groups.setdefault((outcome.run.order, outcome.run.seed), []).append(outcome.scores[setting])
    return [_merge(runs, order) for (order, _), runs in groups.items()]


def _merge(runs: Sequence[RunScores], order: str) -> RunScores:
    try:
        return merge_folds(runs)
    except ValueError as error:
        raise StudyError(
            f"order {order}, seed {runs[0].seed}: {error}. Folds are dealt anew in each run, so that the data must not "
            "change between them; remove the runs that were made with other data and run them again"
        ) from error


def share_cells(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """Of two arms the runs whose seed and fold both have: what is compared is then of the same patients."""
    cells = {(item.run.seed, item.run.fold) for item in ours} & {(item.run.seed, item.run.fold) for item in theirs}
    first, second = ([item for item in arm if (item.run.seed, item.run.fold) in cells] for arm in (ours, theirs))
    return first, second


def figures_of(runs: Sequence[RunScores], local: Sequence[RunScores], draws: Draws) -> dict[str, Any]:
    """All figures of some runs of one arm; `local` are the runs of the local-only arm."""
    if not runs:
        return {"runs": 0, **dict.fromkeys((*METRICS, *OTHERS)), "centers": {}}
    seeds = [run.seed for run in runs]
    matrices = [matrices_of(run, draws) for run in runs]
    learned = [run.matrix.learned for run in runs]
    finals = over_runs([values[:, -1] for values in matrices], seeds, draws)
    centers = runs[0].matrix.centers
    gained = _gains(runs, local)
    patients = [_final_patients(run) for run in runs]
    return {
        "runs": len(runs),
        **{
            name: asdict(interval(over_runs([*map(metric, matrices, learned)], seeds, draws)))
            for name, metric in METRICS.items()
        },
        "worst_center": _worst(finals, centers),
        "centers": {center: asdict(interval(finals[:, column])) for column, center in enumerate(centers)},
        "gain": {"mean": mean(gained.values()), "centers": gained},
        "no_harm_rate": no_harm_rate(gained),
        "cvar20": mean(conditional_value_at_risk(scores) for scores in patients),
        "below_half": mean(share_below(scores) for scores in patients),
    }


def matrix_of(outcomes: Sequence[Outcome], setting: str, order: Sequence[str]) -> dict[str, Any] | None:
    """R, mean over seeds, with its columns in the order in which centers come, and what each row cost."""
    runs = scores_under(outcomes, setting)
    if not runs:
        return None
    first = runs[0].matrix
    values = mean_of(np.stack([run.matrix.values for run in runs]), axis=0)
    arrival = {center: place for place, center in enumerate(order)}
    columns = sorted(range(len(first.centers)), key=lambda j: arrival.get(first.centers[j], len(order)))
    return {
        "stages": list(first.stages),
        "centers": [first.centers[column] for column in columns],
        "learned": [first.learned[column] for column in columns],
        "values": [[_number(row[column]) for column in columns] for row in values],
        "average": [_number(value) for value in mean_of(values, axis=1)],
        "local_steps": list(next(outcome.steps for outcome in outcomes if setting in outcome.scores)),
    }


def _worst(finals: Floats, centers: Sequence[str]) -> dict[str, Any]:
    """The center with the lowest mean over runs; its interval is that of the lowest center, whichever it is."""
    defined = np.where(np.isnan(finals), np.inf, finals)
    lowest = np.where(np.isinf(defined.min(axis=1)), np.nan, defined.min(axis=1))
    found = interval(lowest)
    return {"center": None if found.value is None else centers[int(defined[0].argmin())], **asdict(found)}


def _gains(runs: Sequence[RunScores], local: Sequence[RunScores]) -> dict[str, float | None]:
    """Final score of each center over that of the local-only arm, over the seeds and cases that both have."""
    seeds = {run.seed for run in runs} & {run.seed for run in local}
    both = [run for run in (*runs, *local) if run.seed in seeds]
    return gains(_finals(runs, seeds, both), _finals(local, seeds, both))


def _finals(runs: Iterable[RunScores], seeds: set[int], both: Sequence[RunScores]) -> dict[str, float | None]:
    own = [run for run in runs if run.seed in seeds]
    return {center: mean(_final(run, center, both) for run in own) for center in (own[0].matrix.centers if own else ())}


def _final(run: RunScores, center: str, both: Sequence[RunScores]) -> float | None:
    """Final score of a center over the cases that all runs of this seed have scored; a cohort stands as it is."""
    if center in run.cohorts:
        return run.matrix.final[center]
    common = set.intersection(*(set(other.cases[center]) for other in both if other.seed == run.seed))
    return mean(
        float(score) for case, score in zip(run.cases[center], run.patients[center][-1], strict=True) if case in common
    )


def _final_patients(run: RunScores) -> list[float]:
    """Final score of every patient that has one."""
    found = np.concatenate([values[-1] for values in run.patients.values()])
    return [float(value) for value in found[~np.isnan(found)]]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
