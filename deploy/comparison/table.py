"""The content of benchmark.json: every arm, over all orders and order by order, and the default against the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from deploy.comparison.arm_figures import figures_of, matrix_of, scores_under
from deploy.comparison.outcomes import Missing, Outcome
from deploy.comparison.planner import NO_BACKBONE, Arm, Benchmark, Plan
from protocol.errors import StudyError
from protocol.tasks import TASKS
from reporting.formats import in_reading_order
from strategies.evaluation.fairness import mean
from strategies.evaluation.paired_tests import FEWEST_PATIENTS, Contrast, contrasts, verdict
from strategies.evaluation.resampling import DRAWS, LEVEL, Draws, Interval, draw_patients
from strategies.evaluation.run_scores import RunScores

SCHEMA = 2
Arms = Mapping[str, Sequence[Outcome]]
ArmScores = Mapping[str, Sequence[RunScores]]


def build_table(plan: Plan, found: Sequence[Outcome | Missing], *, draws: int = DRAWS) -> dict[str, Any]:
    """Everything docs/benchmark.md lists, ready for JSON; what is undefined is None.

    Raises:
        StudyError: two runs stand on different backbones.
    """
    outcomes = [outcome for outcome in found if isinstance(outcome, Outcome)]
    arms = {arm.name: [item for item in outcomes if item.run.arm == arm.name] for arm in plan.benchmark.arms}
    settings = in_reading_order(setting for outcome in outcomes for setting in outcome.scores)
    cases = {setting: _cases(scores_under(outcomes, setting)) for setting in settings}
    drawn = {setting: draw_patients(cases[setting], count=draws) for setting in settings}
    scores = {setting: {arm: scores_under(runs, setting) for arm, runs in arms.items()} for setting in settings}
    return {
        **_facts(plan),
        "backbone": _backbone(plan, outcomes),
        "bootstrap": {"draws": draws, "level": LEVEL},
        "fewest_patients": FEWEST_PATIENTS,
        "settings": settings,
        "centers": {
            name: {"patients": {setting: len(cases[setting].get(name, ())) for setting in settings}}
            for name, center in plan.runs[0].study.centers.items()
            if center.evaluated
        },
        "machine": {
            "threads": sorted({outcome.threads for outcome in outcomes if outcome.threads}),
            "devices": sorted({outcome.device for outcome in outcomes if outcome.device}),
        },
        "runs": [_run(item) for item in found],
        "arms": {arm.name: _arm(arm, plan, arms, drawn) for arm in plan.benchmark.arms},
        "contrasts": {name: _contrasts(plan.benchmark, scores[name], drawn[name]) for name in settings},
        "decision": {name: _decision(plan.benchmark, scores[name], drawn[name]) for name in settings},
    }


def _facts(plan: Plan) -> dict[str, Any]:
    """What stands in the benchmark file."""
    benchmark = plan.benchmark
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
        "metric": TASKS[plan.runs[0].study.tasks[0]].primary,
        "local_steps": sum(plan.runs[0].study.steps_by_center().values()),
    }


def _arm(arm: Arm, plan: Plan, arms: Arms, drawn: Mapping[str, Draws]) -> dict[str, Any]:
    outcomes, references = arms[arm.name], plan.benchmark.references
    local = {setting: scores_under(arms.get(references.lower, ()), setting) for setting in drawn}
    by_order = {order: [outcome for outcome in outcomes if outcome.run.order == order] for order in arm.orders}
    return {
        "label": arm.label,
        "schedule": arm.schedule,
        "orders": list(arm.orders),
        "role": next((role for role, name in references.model_dump().items() if name == arm.name), ""),
        "runs": {"complete": len(outcomes), "planned": len(plan.of_arm(arm.name))},
        "bytes_down": mean(float(outcome.bytes_down) for outcome in outcomes),
        "bytes_up": mean(float(outcome.bytes_up) for outcome in outcomes),
        "seconds": mean(outcome.seconds for outcome in outcomes),
        "scores": {
            setting: {
                "pooled": figures_of(scores_under(outcomes, setting), local[setting], draws),
                "by_order": {
                    order: {
                        **figures_of(scores_under(own, setting), local[setting], draws),
                        "matrix": matrix_of(own, setting, plan.benchmark.orders[order]),
                    }
                    for order, own in by_order.items()
                },
            }
            for setting, draws in drawn.items()
        },
    }


def _contrasts(benchmark: Benchmark, arms: ArmScores, draws: Draws) -> list[dict[str, Any]]:
    """The declared contrasts; no center below the fewest patients carries a claim."""
    found = contrasts(benchmark.references.default, arms, draws)
    return [
        {**asdict(contrast), "centers": {center: _center(contrast, center, draws) for center in contrast.centers}}
        for contrast in found.values()
    ]


def _center(contrast: Contrast, center: str, draws: Draws) -> dict[str, Any]:
    patients = len(draws.cases[center])
    return {**asdict(contrast.centers[center]), "patients": patients, "claim": patients >= FEWEST_PATIENTS}


def _decision(benchmark: Benchmark, arms: ArmScores, draws: Draws) -> dict[str, Any]:
    """Whether the default is not inferior to the best baseline: the best average of all arms but the upper bound."""
    roles = benchmark.references
    averages = {arm: mean(run.matrix.average for run in runs) for arm, runs in arms.items()}
    baselines = {
        arm: value for arm, value in averages.items() if value is not None and arm not in {roles.default, roles.upper}
    }
    if not baselines:
        none = Interval(None, None, None)
        return {"best_baseline": None, "difference": asdict(none), "worse": None, "verdict": "undefined"}
    best = max(baselines, key=lambda arm: baselines[arm])
    pair = {arm: arms[arm] for arm in (roles.default, best)}
    difference = contrasts(roles.default, pair, draws)[best].difference
    return {
        "best_baseline": best,
        "difference": asdict(difference),
        "worse": None if difference.high is None else difference.high < 0,
        "verdict": verdict(difference, benchmark.margin),
    }


def _cases(runs: Iterable[RunScores]) -> dict[str, tuple[str, ...]]:
    """Test cases of each center, of all runs together."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for center, names in run.cases.items():
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


def _backbone(plan: Plan, outcomes: Iterable[Outcome]) -> str | None:
    """The content hash that all runs share, None before one is complete; "none" where networks have no backbone."""
    if plan.backbone is None and plan.backbone_file is None:
        return NO_BACKBONE
    found = sorted({outcome.backbone for outcome in outcomes})
    if len(found) > 1:
        raise StudyError(f"runs stand on {len(found)} different backbones ({found}); compare runs on one backbone only")
    return found[0] if found else None
