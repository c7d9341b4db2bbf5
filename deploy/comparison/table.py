"""The content of benchmark.json: every arm, over all orders and order by order, and the default against the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from deploy.comparison.arm_figures import figures_of, matrix_of, scores_under
from deploy.comparison.benchmark_file import Arm, Benchmark
from deploy.comparison.declaration import Declaration, facts, questions
from deploy.comparison.declared_contrasts import answers, compare, service
from deploy.comparison.outcomes import Missing, Outcome
from deploy.comparison.planner import NO_BACKBONE, Plan
from protocol.errors import StudyError
from protocol.tasks import TASKS
from reporting.formats import in_reading_order
from strategies.evaluation.fairness import mean
from strategies.evaluation.paired_tests import FEWEST_PATIENTS, Contrast, holm, verdict
from strategies.evaluation.resampling import DRAWS, LEVEL, Draws, Interval, draw_patients
from strategies.evaluation.run_scores import RunScores

SCHEMA = 3
Arms = Mapping[str, Sequence[Outcome]]


def build_table(
    plan: Plan,
    found: Sequence[Outcome | Missing],
    *,
    draws: int = DRAWS,
    declared: Declaration | None = None,
) -> dict[str, Any]:
    """Everything docs/benchmark.md lists, ready for JSON; what is undefined is None.

    Raises:
        StudyError: two runs stand on different backbones.
    """
    outcomes = [outcome for outcome in found if isinstance(outcome, Outcome)]
    arms = {arm.name: [item for item in outcomes if item.run.arm == arm.name] for arm in plan.benchmark.arms}
    settings = in_reading_order(setting for outcome in outcomes for setting in outcome.scores)
    cases = {
        setting: _cases(outcome.scores[setting] for outcome in outcomes if setting in outcome.scores)
        for setting in settings
    }
    drawn = {setting: draw_patients(cases[setting], count=draws) for setting in settings}
    references = plan.benchmark.references
    alone = arms.get(references.lower, ())
    return {
        **_facts(plan),
        "declaration": facts(plan, declared),
        "declared_contrasts": answers(questions(plan.benchmark, declared), arms, drawn),
        "service": {
            name: service(arms[references.default], alone, name, drawn[name]) for name in settings if references.lower
        },
        "backbones": _backbones(plan, outcomes),
        "folds": _folds(plan, found),
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
        "contrasts": {name: _contrasts(plan.benchmark, arms, name, drawn[name]) for name in settings},
        "decision": {name: _decision(plan.benchmark, arms, name, drawn[name]) for name in settings},
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
        "local_steps": sum(next(run for run in plan.runs if run.on_backbone).study.steps_by_center().values()),
    }


def _arm(arm: Arm, plan: Plan, arms: Arms, drawn: Mapping[str, Draws]) -> dict[str, Any]:
    outcomes, references = arms[arm.name], plan.benchmark.references
    local = {setting: scores_under(arms.get(references.lower, ()), setting) for setting in drawn}
    by_order = {order: [outcome for outcome in outcomes if outcome.run.order == order] for order in arm.orders}
    return {
        "label": arm.label,
        "schedule": arm.schedule,
        "orders": list(arm.orders),
        "starts_from": arm.starts_from,
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


def _contrasts(benchmark: Benchmark, arms: Arms, setting: str, draws: Draws) -> list[dict[str, Any]]:
    """The default against every other arm; no center below the fewest patients carries a claim."""
    default = benchmark.references.default
    found = {arm: compare(arm, arms[default], runs, setting, draws) for arm, runs in arms.items() if arm != default}
    adjusted = holm({arm: contrast.p for arm, contrast in found.items()})
    return [
        {
            **asdict(contrast),
            "p_holm": adjusted[arm],
            "centers": {center: _center(contrast, center, draws) for center in contrast.centers},
        }
        for arm, contrast in found.items()
    ]


def _center(contrast: Contrast, center: str, draws: Draws) -> dict[str, Any]:
    patients = len(draws.cases[center])
    return {**asdict(contrast.centers[center]), "patients": patients, "claim": patients >= FEWEST_PATIENTS}


def _decision(benchmark: Benchmark, arms: Arms, setting: str, draws: Draws) -> dict[str, Any]:
    """Whether the default is not inferior to the best baseline: the best average of all arms but the upper bound."""
    roles = benchmark.references
    averages = {arm: mean(run.matrix.average for run in scores_under(runs, setting)) for arm, runs in arms.items()}
    baselines = {
        arm: value for arm, value in averages.items() if value is not None and arm not in {roles.default, roles.upper}
    }
    if not baselines:
        none = Interval(None, None, None)
        return {"best_baseline": None, "difference": asdict(none), "worse": None, "verdict": "undefined"}
    best = max(baselines, key=lambda arm: baselines[arm])
    difference = compare(best, arms[roles.default], arms[best], setting, draws).difference
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
        "fold": item.run.fold or None,
        "status": "missing" if missing else "complete",
        "reason": item.reason if isinstance(item, Missing) else "",
        "seconds": None if isinstance(item, Missing) else item.seconds,
        "threads": None if isinstance(item, Missing) else item.threads,
    }


def _backbones(plan: Plan, outcomes: Iterable[Outcome]) -> dict[str, str]:
    """The content hash that all runs of a fold share, by fold ("0" without folds); "none" where nothing is frozen."""
    if not plan.backbones and plan.backbone_file is None:
        return {"0": NO_BACKBONE}
    found: dict[str, set[str]] = {}
    for outcome in (outcome for outcome in outcomes if outcome.run.on_backbone):
        found.setdefault(str(outcome.run.fold), set()).add(outcome.backbone)
    for fold, hashes in found.items():
        if len(hashes) > 1:
            words = "" if fold == "0" else f" of fold {fold}"
            raise StudyError(
                f"runs{words} stand on {len(hashes)} different backbones ({sorted(hashes)}); compare runs on one "
                "backbone only"
            )
    return {fold: next(iter(hashes)) for fold, hashes in sorted(found.items())}


def _folds(plan: Plan, found: Iterable[Outcome | Missing]) -> dict[str, Any]:
    """How many folds there are, and of each seed those that every arm and order has completed."""
    missing = {(item.run.seed, item.run.fold) for item in found if isinstance(item, Missing)}
    numbers = range(1, plan.benchmark.folds + 1)
    return {
        "count": plan.benchmark.folds,
        "complete": {
            str(seed): [fold for fold in numbers if (seed, fold) not in missing] for seed in plan.benchmark.seeds
        },
    }
