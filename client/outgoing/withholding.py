"""Figures that stand on too few cases: each is withheld alone, and the coordinator finds it undefined, never zero.

    scores        the cases of a modality setting; each figure also the cases that define it, of which a metric of a
                  cohort needs `minimum_cases` of its own (`protocol.tasks`) whatever the center's rule
    loss          the training cases behind the payload, `max(support)`
    comparison    the validation cases that were compared; as many as the compared metric needs
    diagnostics   the cases of the setting that they stand on, `protocol.messages.diagnostics.STANDS_ON`

Counts of cases leave whatever their size, those of validation and test cases too: the coordinator needs them to accept
a payload and to say why a column is empty, and a count says of no patient more than that there are few. What would
say something about the few, a score over them, is what stays. Counts in a score (events, pairs) go or stay with it.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from protocol.messages.diagnostics import STANDS_ON
from protocol.messages.reply import Reply
from protocol.messages.scores import Score
from protocol.tasks import TASKS, TaskName, metric_named

PLURALS = ("scores", "diagnostics")


def withhold(reply: Reply, minimum_cases: int, task: TaskName) -> tuple[Reply, list[str]]:
    """Take the figures that stand on too few cases out of a reply; in words, what was taken.

    Args:
        reply: one without an error.
        minimum_cases: fewest cases that may stand behind a figure; a metric may ask for more.
        task: whose primary metric a comparison is about.
    """
    scores, reasons = {}, []
    for setting, score in reply.scores.items():
        few = {name: cases for name, cases in _behind(score) if cases < _fewest(name, minimum_cases)}
        if score.cases < minimum_cases:
            reasons.append(_reason(f"scores of setting '{setting}'", score.cases, minimum_cases))
            continue
        reasons += [
            _reason(f"{_words(name)} of setting '{setting}'", cases, _fewest(name, minimum_cases))
            for name, cases in few.items()
        ]
        scores[setting] = replace(score, values={**score.values, **dict.fromkeys(few, None)})
    leaving = replace(reply, scores=scores) if reasons else reply
    for what, cases, fewest, without in _single_figures(reply, minimum_cases, task):
        if cases < fewest:
            leaving = replace(leaving, **without)
            reasons.append(_reason(what, cases, fewest))
    return leaving, reasons


def _behind(score: Score) -> Iterator[tuple[str, int]]:
    """The metrics of a score that have a value and are no count, each with the cases behind it."""
    for name, value in score.values.items():
        if value is not None and metric_named(name).of != "count":
            yield name, score.behind(name)


def _fewest(metric: str, minimum_cases: int) -> int:
    """Fewest cases behind a metric that leaves: what the center asks for, and what the metric does."""
    return max(minimum_cases, metric_named(metric).minimum_cases)


def _words(metric: str) -> str:
    """A metric's label, and its endpoint where it has one."""
    _, _, endpoint = metric.partition("/")
    return f"{metric_named(metric).label} ({endpoint})" if endpoint else metric_named(metric).label


def _single_figures(reply: Reply, minimum_cases: int, task: TaskName) -> Iterator[tuple[str, int, int, dict[str, Any]]]:
    """What there is once in a reply: in words, its cases, the fewest it needs, what the reply has without it."""
    if reply.loss is not None:
        trained = 0 if reply.payload is None else max(reply.payload.support.values(), default=0)
        yield "loss", trained, minimum_cases, {"loss": None}
    if reply.comparison is not None:
        fewest = _fewest(TASKS[task].primary, minimum_cases)
        yield "comparison", reply.comparison.cases, fewest, {"comparison": None}
    if reply.diagnostics:
        scored = reply.scores.get(STANDS_ON)
        yield "diagnostics", scored.cases if scored else 0, minimum_cases, {"diagnostics": {}}


def _reason(what: str, cases: int, minimum_cases: int) -> str:
    verb = "stand" if what.startswith(PLURALS) else "stands"
    return f"{what} {verb} on {cases} case(s), this center sends from {minimum_cases} on"
