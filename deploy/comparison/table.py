"""The content of benchmark.json: every arm, over all orders and order by order, and the default against the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from deploy.comparison.outcomes import Floats, Missing, Outcome, mean_of
from deploy.comparison.planner import Arm, Benchmark, Plan
from protocol.errors import StudyError
from strategies.evaluation.fairness import conditional_value_at_risk, gains, mean, no_harm_rate, share_below
from strategies.evaluation.paired_tests import FEWEST_PATIENTS, Contrast, contrasts, verdict
from strategies.evaluation.resampling import (
    DRAWS,
    LEVEL,
    Draws,
    Interval,
    Metric,
    average,
    backward_transfer,
    draw_patients,
    forgetting,
    forward_transfer,
    interval,
    matrices_of,
    over_runs,
)

SCHEMA = 1
READING_ORDER = ("ct+pet", "ct", "pet")
METRICS: Mapping[str, Metric] = {
    "average": average,
    "backward_transfer": backward_transfer,
    "forgetting": forgetting,
    "forward_transfer": forward_transfer,
}
Arms = Mapping[str, Sequence[Outcome]]


def build_table(plan: Plan, found: Sequence[Outcome | Missing], *, draws: int = DRAWS) -> dict[str, Any]:
    """Everything docs/benchmark.md lists, ready for JSON; what is undefined is None.

    Raises:
        StudyError: two runs stand on different backbones.
    """
    benchmark = plan.benchmark
    outcomes = [outcome for outcome in found if isinstance(outcome, Outcome)]
    arms = {arm.name: [outcome for outcome in outcomes if outcome.run.arm == arm.name] for arm in benchmark.arms}
    settings = [name for name in READING_ORDER if any(name in outcome.scores for outcome in outcomes)]
    cases = {setting: _cases(outcomes, setting) for setting in settings}
    drawn = {setting: draw_patients(cases[setting], count=draws) for setting in settings}
    evaluated = [name for name, center in plan.runs[0].study.centers.items() if center.evaluated]
    return {
        "schema": SCHEMA,
        "name": benchmark.name,
        "title": benchmark.title,
        "formed_by": benchmark.formed_by,
        "synthetic": plan.synthetic,
        "seeds": list(benchmark.seeds),
        "orders": {name: list(order) for name, order in benchmark.orders.items()},
        "references": benchmark.references.model_dump(),
        "margin": benchmark.margin,
        "local_steps": sum(plan.runs[0].study.steps_by_center().values()),
        "backbone": _backbone(outcomes),
        "bootstrap": {"draws": draws, "level": LEVEL},
        "fewest_patients": FEWEST_PATIENTS,
        "settings": settings,
        "centers": {
            center: {"patients": {setting: len(cases[setting].get(center, ())) for setting in settings}}
            for center in evaluated
        },
        "machine": {
            "threads": sorted({outcome.threads for outcome in outcomes if outcome.threads}),
            "devices": sorted({outcome.device for outcome in outcomes if outcome.device}),
        },
        "runs": [_run(item) for item in found],
        "arms": {arm.name: _arm(benchmark, arm, plan, arms, drawn) for arm in benchmark.arms},
        "contrasts": {setting: _contrasts(benchmark, arms, setting, drawn[setting]) for setting in settings},
        "decision": {setting: _decision(benchmark, arms, setting, drawn[setting]) for setting in settings},
    }


def _arm(benchmark: Benchmark, arm: Arm, plan: Plan, arms: Arms, drawn: Mapping[str, Draws]) -> dict[str, Any]:
    outcomes = arms[arm.name]
    roles = benchmark.references.model_dump()
    local = arms.get(benchmark.references.lower, ())
    return {
        "label": arm.label,
        "schedule": arm.schedule,
        "orders": list(arm.orders),
        "role": next((role for role, name in roles.items() if name == arm.name), ""),
        "runs": {"complete": len(outcomes), "planned": len(plan.of_arm(arm.name))},
        "bytes_down": mean(float(outcome.bytes_down) for outcome in outcomes),
        "bytes_up": mean(float(outcome.bytes_up) for outcome in outcomes),
        "seconds": mean(outcome.seconds for outcome in outcomes),
        "scores": {
            setting: {
                "pooled": _figures(outcomes, local, setting, draws),
                "by_order": {
                    order: {
                        **_figures(own := _with_order(outcomes, order), local, setting, draws),
                        "matrix": _matrix(own, setting, benchmark.orders[order]),
                    }
                    for order in arm.orders
                },
            }
            for setting, draws in drawn.items()
        },
    }


def _figures(outcomes: Sequence[Outcome], local: Sequence[Outcome], setting: str, draws: Draws) -> dict[str, Any]:
    """All figures of some runs of one arm."""
    able = [outcome for outcome in outcomes if setting in outcome.scores]
    if not able:
        undefined = dict.fromkeys((*METRICS, "worst_center", "gain", "no_harm_rate", "cvar20", "below_half"))
        return {"runs": 0, **undefined, "centers": {}}
    matrices = [matrices_of(outcome.scores[setting], draws) for outcome in able]
    learned = [outcome.scores[setting].matrix.learned for outcome in able]
    figures = {
        name: asdict(interval(over_runs([*map(metric, matrices, learned)], able, draws)))
        for name, metric in METRICS.items()
    }
    finals = over_runs([values[:, -1] for values in matrices], able, draws)
    names = able[0].scores[setting].matrix.centers
    gained = _gains(able, local, setting)
    patients = [_patients(outcome, setting) for outcome in able]
    return {
        "runs": len(able),
        **figures,
        "worst_center": _worst(finals, names),
        "centers": {center: asdict(interval(finals[:, column])) for column, center in enumerate(names)},
        "gain": {"mean": mean(gained.values()), "centers": gained},
        "no_harm_rate": no_harm_rate(gained),
        "cvar20": mean(conditional_value_at_risk(scores) for scores in patients),
        "below_half": mean(share_below(scores) for scores in patients),
    }


def _worst(finals: Floats, names: Sequence[str]) -> dict[str, Any]:
    """The center with the lowest mean over runs; its interval is that of the lowest center, whichever it is."""
    defined = np.where(np.isnan(finals), np.inf, finals)
    lowest = np.where(np.isinf(defined.min(axis=1)), np.nan, defined.min(axis=1))
    found = interval(lowest)
    return {"center": None if found.value is None else names[int(defined[0].argmin())], **asdict(found)}


def _gains(outcomes: Sequence[Outcome], local: Sequence[Outcome], setting: str) -> dict[str, float | None]:
    """Final Dice of each center over that of the local-only arm, over the seeds that both have."""
    seeds = {outcome.run.seed for outcome in outcomes} & {outcome.run.seed for outcome in local}
    return gains(_finals(outcomes, setting, seeds), _finals(local, setting, seeds))


def _finals(outcomes: Iterable[Outcome], setting: str, seeds: set[int]) -> dict[str, float | None]:
    used = [outcome for outcome in outcomes if outcome.run.seed in seeds and setting in outcome.scores]
    finals = [outcome.scores[setting].matrix.final for outcome in used]
    return {center: mean(final[center] for final in finals) for center in (finals[0] if finals else ())}


def _patients(outcome: Outcome, setting: str) -> list[float]:
    """Final Dice of every patient of one run that has one."""
    found = np.concatenate([values[-1] for values in outcome.scores[setting].patients.values()])
    return [float(value) for value in found[~np.isnan(found)]]


def _with_order(outcomes: Iterable[Outcome], order: str) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.run.order == order]


def _matrix(outcomes: Sequence[Outcome], setting: str, order: Sequence[str]) -> dict[str, Any] | None:
    """R, mean over seeds, with its columns in the order in which centers come, and what each row cost."""
    able = [outcome for outcome in outcomes if setting in outcome.scores]
    if not able:
        return None
    first = able[0].scores[setting].matrix
    values = mean_of(np.stack([outcome.scores[setting].matrix.values for outcome in able]), axis=0)
    arrival = {center: place for place, center in enumerate(order)}
    columns = sorted(range(len(first.centers)), key=lambda j: arrival.get(first.centers[j], len(order)))
    return {
        "stages": list(first.stages),
        "centers": [first.centers[column] for column in columns],
        "learned": [first.learned[column] for column in columns],
        "dice": [[_number(row[column]) for column in columns] for row in values],
        "average": [_number(value) for value in mean_of(values, axis=1)],
        "local_steps": list(able[0].steps),
    }


def _contrasts(benchmark: Benchmark, arms: Arms, setting: str, draws: Draws) -> list[dict[str, Any]]:
    """The declared contrasts; no center below the fewest patients carries a claim."""
    found = contrasts(benchmark.references.default, arms, setting, draws)
    return [
        {**asdict(contrast), "centers": {center: _center(contrast, center, draws) for center in contrast.centers}}
        for contrast in found.values()
    ]


def _center(contrast: Contrast, center: str, draws: Draws) -> dict[str, Any]:
    patients = len(draws.cases[center])
    return {**asdict(contrast.centers[center]), "patients": patients, "claim": patients >= FEWEST_PATIENTS}


def _decision(benchmark: Benchmark, arms: Arms, setting: str, draws: Draws) -> dict[str, Any]:
    """Whether the default is not inferior to the best baseline: the best average of all arms but the upper bound."""
    roles = benchmark.references
    baselines = {name: runs for name, runs in arms.items() if name not in {roles.default, roles.upper}}
    finals = {name: _average(runs, setting) for name, runs in baselines.items()}
    scored = {name: value for name, value in finals.items() if value is not None}
    if not scored:
        none = Interval(None, None, None)
        return {"best_baseline": None, "difference": asdict(none), "worse": None, "verdict": "undefined"}
    best = max(scored, key=lambda name: scored[name])
    difference = contrasts(roles.default, {name: arms[name] for name in (roles.default, best)}, setting, draws)[
        best
    ].difference
    return {
        "best_baseline": best,
        "difference": asdict(difference),
        "worse": None if difference.high is None else difference.high < 0,
        "verdict": verdict(difference, benchmark.margin),
    }


def _average(outcomes: Sequence[Outcome], setting: str) -> float | None:
    return mean(outcome.scores[setting].matrix.average for outcome in outcomes if setting in outcome.scores)


def _cases(outcomes: Iterable[Outcome], setting: str) -> dict[str, tuple[str, ...]]:
    """Test cases of each center under one setting, of all runs together."""
    found: dict[str, set[str]] = {}
    for outcome in outcomes:
        if setting in outcome.scores:
            for center, names in outcome.scores[setting].cases.items():
                found.setdefault(center, set()).update(names)
    return {center: tuple(sorted(names)) for center, names in sorted(found.items())}


def _run(item: Outcome | Missing) -> dict[str, Any]:
    missing = isinstance(item, Missing)
    return {
        "arm": item.run.arm,
        "order": item.run.order,
        "seed": item.run.seed,
        "status": "missing" if missing else "complete",
        "reason": item.reason if isinstance(item, Missing) else "",
        "seconds": None if isinstance(item, Missing) else item.seconds,
        "threads": None if isinstance(item, Missing) else item.threads,
    }


def _backbone(outcomes: Iterable[Outcome]) -> str | None:
    found = sorted({outcome.backbone for outcome in outcomes})
    if len(found) > 1:
        raise StudyError(f"runs stand on {len(found)} different backbones ({found}); compare runs on one backbone only")
    return found[0] if found else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
