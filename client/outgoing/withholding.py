"""Figures that stand on too few cases: each is withheld, and the coordinator finds it suppressed, never zero.

    scores        the cases of a modality setting; each figure also the cases that define it, of which a metric of a
                  cohort and its counts need `minimum_cases` of their own (`protocol.tasks`) whatever the center's rule,
                  and one that tells outcomes apart `minimum_of_outcome` cases of the rarer
    loss          the training cases behind the payload, `max(support)`; to LOSS_DECIMALS where one case may not leave
    comparison    the validation cases that were compared; what the compared metric needs, on those cases
    diagnostics   the cases of the setting that they stand on, `protocol.messages.diagnostics.STANDS_ON`
    benefits      the test cases that both answered; what the primary metric needs, on those cases

What could be computed from the others goes with what is withheld: a figure stays where the count that weighs it does,
and a figure over endpoints is made anew of those that leave, so that no subtraction gives back one that stays.

Counts of cases leave whatever their size, those of validation and test cases too: the coordinator needs them to accept
a payload and to say why a column is empty, and a count says of no patient more than that there are few. What would
say something about the few, a score over them or how many of them had an event, is what stays.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from protocol.messages.benefit import Benefit
from protocol.messages.diagnostics import STANDS_ON
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from protocol.messages.suppression import Part, Suppressed
from protocol.modalities import ModalitySetting
from protocol.tasks import TASKS, TaskName, metric_named

LOSS_DECIMALS = 2
"""Rounds draw their cases anew, so that many exact losses could be solved for those of cases."""
PLURALS = ("scores", "diagnostics", "events", "comparable pairs")


def withhold(reply: Reply, minimum_cases: int, task: TaskName) -> tuple[Reply, list[str]]:
    """Take the figures that stand on too few cases out of a reply; in words, what was taken.

    Args:
        reply: one without an error.
        minimum_cases: fewest cases that may stand behind a figure; a metric may ask for more.
        task: whose primary metric a comparison is about.
    """
    scores, reasons = {}, []
    held = dict[ModalitySetting, tuple[str, ...]]()
    for setting, score in reply.scores.items():
        if score.cases < minimum_cases:
            held[setting] = tuple(sorted(score.values))
            reasons.append(_stands(f"scores of setting '{setting}'", score.cases, minimum_cases))
            continue
        withheld = _withheld(score, minimum_cases, f" of setting '{setting}'")
        reasons += withheld.values()
        values = over_endpoints_left({**score.values, **dict.fromkeys(withheld, None)}, withheld)
        gone = [name for name, value in score.values.items() if value is not None and values[name] is None]
        held |= {setting: tuple(sorted(gone))} if gone else {}
        scores[setting] = replace(score, values=values, rarest={}) if withheld or score.rarest else score
    leaving = replace(reply, scores=scores) if scores != reply.scores else reply
    parts = list[Part]()
    if reply.comparison is not None and reply.comparison.score is not None:
        leaving = replace(leaving, comparison=replace(reply.comparison, score=None))
    for part, what, without in _single_figures(reply, minimum_cases, task):
        leaving = replace(leaving, **without)
        reasons.append(what)
        parts.append(part)
    benefits, too_few = _benefits_left(reply.benefits, minimum_cases)
    reasons += too_few
    held_back = reply.suppressed.joined_with(Suppressed(held, tuple(parts)))
    leaving = replace(leaving, suppressed=held_back, benefits=benefits)
    loss = leaving.loss
    if minimum_cases > 1 and loss is not None and loss != round(loss, LOSS_DECIMALS):
        leaving = replace(leaving, loss=round(loss, LOSS_DECIMALS))
    return leaving, reasons


def _withheld(score: Score, minimum_cases: int, where: str = "") -> dict[str, str]:
    """The metrics of a score that may not leave, each with the reason."""
    defined = [name for name, value in score.values.items() if value is not None]
    found = {name: why for name in defined if (why := _too_few(score, name, minimum_cases, where))}
    weighed = [name for name in defined if name not in found and _weigher(name) in found]
    return found | {name: f"{_words(name)}{where} would tell of a figure that is withheld" for name in weighed}


def over_endpoints_left(values: Mapping[str, float | None], withheld: Collection[str]) -> dict[str, float | None]:
    """The same figures, those over all endpoints made of the endpoints that leave, where any endpoint's is withheld.

    A mean is weighed as its row says, and the count that weighs it adds up the endpoints that the mean is over; other
    counts add up what leaves.
    """
    if not any("/" in name for name in withheld):
        return dict(values)
    means = {name for name in values if "/" not in name and metric_named(name).per_endpoint}
    left = {name: [of for of in _endpoints(values, name) if values[of] is not None] for name in means}
    made: dict[str, float | None] = {}
    for name in means:
        weighed = [mean for mean in means if metric_named(mean).weight == name]
        counted = {of.replace(mean, name, 1) for mean in weighed for of in left[mean]}
        over = [of for of in left[name] if not weighed or of in counted]
        weights = [values.get(_weigher(of)) or 0.0 if _weigher(of) else 1.0 for of in over]
        total = math.fsum(weight * (values[of] or 0.0) for of, weight in zip(over, weights, strict=True))
        share = 1.0 if metric_named(name).of == "count" else math.fsum(weights)
        made[name] = total / share if over and share else None
    return {**values, **made}


def _endpoints(values: Iterable[str], metric: str) -> list[str]:
    return [name for name in values if name.startswith(f"{metric}/")]


def _too_few(score: Score, name: str, minimum_cases: int, where: str) -> str:
    """Why the cases behind a metric are too few; "" where they are not, or where a count is of nobody."""
    metric, cases, rarest = metric_named(name), score.behind(name), score.rarest.get(name, 0)
    fewest = max(minimum_cases, metric.minimum_cases)
    if cases < fewest and (cases or metric.of != "count"):
        return _stands(_words(name) + where, cases, fewest)
    if rarest < metric.minimum_of_outcome:
        return _stands(_words(name) + where, rarest, metric.minimum_of_outcome, "case(s) of the rarer outcome")
    return ""


def _weigher(name: str) -> str:
    """The count that weighs a metric, of the same endpoint; "" where there is none."""
    weight, (_, slash, endpoint) = metric_named(name).weight, name.partition("/")
    return f"{weight}{slash}{endpoint}" if weight else ""


def _words(metric: str) -> str:
    """A metric's label, and its endpoint where it has one."""
    _, _, endpoint = metric.partition("/")
    return f"{metric_named(metric).label} ({endpoint})" if endpoint else metric_named(metric).label


def _single_figures(reply: Reply, minimum_cases: int, task: TaskName) -> Iterator[tuple[Part, str, dict[str, Any]]]:
    """What there is once in a reply and may not leave: its name, the reason, and what the reply has without it."""
    trained = 0 if reply.payload is None else max(reply.payload.support.values(), default=0)
    if reply.loss is not None and trained < minimum_cases:
        yield "loss", _stands("loss", trained, minimum_cases), {"loss": None}
    if reply.comparison is not None and (why := _comparison_withheld(reply.comparison, minimum_cases, task)):
        yield "comparison", why, {"comparison": None}
    scored = reply.scores[STANDS_ON].cases if STANDS_ON in reply.scores else 0
    if reply.diagnostics and scored < minimum_cases:
        yield "diagnostics", _stands("diagnostics", scored, minimum_cases), {"diagnostics": {}}


def _benefits_left(benefits: Sequence[Benefit], minimum_cases: int) -> tuple[tuple[Benefit, ...], list[str]]:
    """The benefits without the comparisons that may not leave, and why they may not."""
    left, reasons = list[Benefit](), list[str]()
    for found in benefits:
        if found.comparison is None:
            left.append(found)
            continue
        why = _benefit_withheld(found, found.comparison, minimum_cases)
        reasons += [f"{found.against} beside '{found.setting}': {why}"] if why else []
        left.append(replace(found, comparison=None if why else replace(found.comparison, score=None)))
    return tuple(left), reasons


def _benefit_withheld(found: Benefit, comparison: Comparison, minimum_cases: int) -> str:
    """Why a benefit may not leave; that enough cases define none may be said."""
    fewest = max(minimum_cases, TASKS[found.task].metric(TASKS[found.task].primary).minimum_cases)
    if comparison.difference is None and found.cases >= fewest:
        return ""
    return _comparison_withheld(comparison, minimum_cases, found.task)


def _comparison_withheld(comparison: Comparison, minimum_cases: int, task: TaskName) -> str:
    """Why a comparison may not leave: its cases are too few, or its metric would be withheld; "" where it may."""
    primary = TASKS[task].metric(TASKS[task].primary)
    fewest = max(minimum_cases, primary.minimum_cases)
    if comparison.cases < fewest:
        return _stands("comparison", comparison.cases, fewest)
    if not primary.minimum_of_outcome or comparison.difference is None:
        return ""
    stands_on = comparison.score or Score(comparison.cases, {primary.name: 0.0})
    why = _too_few(stands_on, primary.name, minimum_cases, "")
    return f"comparison is withheld: {why}" if why else ""


def _stands(what: str, cases: int, fewest: int, of: str = "case(s)") -> str:
    verb = "stand" if what.startswith(PLURALS) else "stands"
    return f"{what} {verb} on {cases} {of}, this center sends from {fewest} on"
