"""The answers to what a benchmark file asks: declared contrasts first, whom training alone serves better beside them.

A contrast is answered by its interval and by p, adjusted by Holm over everything that was declared before the first
run, withdrawn questions counted too. What was added later has its p alone and no part in the adjustment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from deploy.comparison.arm_figures import scores_under, share_cells
from deploy.comparison.benchmark_file import DeclaredContrast
from deploy.comparison.declaration import Question
from deploy.comparison.outcomes import Outcome
from strategies.evaluation.paired_tests import FEWEST_PATIENTS, Contrast, contrast, holm, verdict
from strategies.evaluation.resampling import Draws, Interval

SIGNIFICANCE = 0.05
Arms = Mapping[str, Sequence[Outcome]]


def answers(asked: Sequence[Question], arms: Arms, drawn: Mapping[str, Draws]) -> list[dict[str, Any]]:
    """An entry a question, in order; undefined where its arms share no run."""
    found = [_compare(question, arms, drawn) for question in asked]
    counted = {
        str(place): item.p
        for place, (question, item) in enumerate(zip(asked, found, strict=True))
        if question.status != "added later"
    }
    adjusted = holm(counted)
    return [
        _entry(question, item, adjusted.get(str(place)), drawn)
        for place, (question, item) in enumerate(zip(asked, found, strict=True))
    ]


def service(default: Sequence[Outcome], alone: Sequence[Outcome], setting: str, draws: Draws) -> dict[str, Any]:
    """Default minus training alone at every center, and which of the two serves it better.

    serve: `default` unless the difference lies below 0, then `own`. sure: the interval does not hold 0.
    """
    found = compare("", default, alone, setting, draws)
    return {center: _service(difference, len(draws.cases[center])) for center, difference in found.centers.items()}


def compare(
    other: str,
    ours: Sequence[Outcome],
    theirs: Sequence[Outcome],
    setting: str,
    draws: Draws,
    *,
    margin: float | None = None,
) -> Contrast:
    """One arm minus another over the seeds and folds that both have."""
    first, second = (scores_under(runs, setting) for runs in share_cells(ours, theirs))
    return contrast(first, other, second, draws, margin=margin)


def answer(asked: DeclaredContrast, difference: Interval, p: float | None) -> str:
    """What interval and p say together."""
    if p is None or difference.low is None or difference.high is None:
        return "undefined"
    if asked.margin is not None:
        said = verdict(difference, asked.margin)
        return "not decided" if said == "not inferior" and p >= SIGNIFICANCE else said
    if p >= SIGNIFICANCE or difference.low <= 0 <= difference.high:
        return "no difference shown"
    return "better" if difference.low > 0 else "worse"


def _compare(question: Question, arms: Arms, drawn: Mapping[str, Draws]) -> Contrast:
    asked, setting = question.contrast, question.endpoint.setting
    if setting not in drawn:
        return Contrast(asked.b, (), 0, 0, Interval(None, None, None), None, None, {})
    runs = arms.get(asked.a, ()), arms.get(asked.b, ())
    return compare(asked.b, *runs, setting, drawn[setting], margin=asked.margin)


def _entry(question: Question, found: Contrast, p_holm: float | None, drawn: Mapping[str, Draws]) -> dict[str, Any]:
    asked, setting = question.contrast, question.endpoint.setting
    p = found.p if question.status == "added later" else p_holm
    return {
        **asked.model_dump(),
        "endpoint": question.endpoint.model_dump(),
        "status": question.status,
        "seeds": list(found.seeds),
        "patients": found.patients,
        "moved": found.moved,
        "difference": asdict(found.difference),
        "p": found.p,
        "p_holm": p_holm,
        "answer": answer(asked, found.difference, p),
        "centers": {
            center: {**asdict(difference), "patients": len(drawn[setting].cases[center])}
            for center, difference in found.centers.items()
        },
    }


def _service(difference: Interval, patients: int) -> dict[str, Any]:
    defined = difference.value is not None and difference.low is not None and difference.high is not None
    return {
        **asdict(difference),
        "patients": patients,
        "claim": patients >= FEWEST_PATIENTS,
        "serve": None if difference.value is None else ("own" if difference.value < 0 else "default"),
        "sure": None if not defined else not (difference.low <= 0 <= difference.high),  # type: ignore[operator]
    }
