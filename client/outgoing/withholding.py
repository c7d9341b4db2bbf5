"""Figures that stand on too few cases: each is withheld alone, and the coordinator finds it undefined, never zero.

    scores        the cases of a modality setting; its Dice and HD95 also the cases that define them
    loss          the training cases behind the payload, `max(support)`
    comparison    the validation cases that were compared
    diagnostics   the cases of the setting that they stand on, `protocol.messages.diagnostics.STANDS_ON`

Counts of cases leave whatever their size, those of validation and test cases too: the coordinator needs them to accept
a payload and to say why a column is empty, and a count says of no patient more than that there are few. What would
say something about the few, a score over them, is what stays.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from protocol.messages.diagnostics import STANDS_ON
from protocol.messages.reply import Reply
from protocol.messages.scores import Score
from protocol.tasks import metric_named

PLURALS = ("scores", "diagnostics")


def withhold(reply: Reply, minimum_cases: int) -> tuple[Reply, list[str]]:
    """Take the figures that stand on too few cases out of a reply; in words, what was taken.

    Args:
        reply: one without an error.
        minimum_cases: fewest cases that may stand behind a figure.
    """
    scores, reasons = {}, []
    for setting, score in reply.scores.items():
        few = list(_few_behind(score, minimum_cases))
        reasons += [_reason(f"{what} of setting '{setting}'", cases, minimum_cases) for what, cases, _ in few]
        if score.cases >= minimum_cases:
            withheld: dict[str, float | None] = dict.fromkeys((name for _, _, name in few), None)
            scores[setting] = replace(score, values={**score.values, **withheld})
    leaving = replace(reply, scores=scores) if reasons else reply
    for what, cases, without in _single_figures(reply):
        if cases < minimum_cases:
            leaving = replace(leaving, **without)
            reasons.append(_reason(what, cases, minimum_cases))
    return leaving, reasons


def _few_behind(score: Score, minimum_cases: int) -> Iterator[tuple[str, int, str]]:
    """What of a score stands on too few cases: in words, its cases, the metric; the whole score has no metric."""
    if score.cases < minimum_cases:
        yield "scores", score.cases, ""
        return
    for name, value in score.values.items():
        metric, cases = metric_named(name), score.behind(name)
        if metric.of != "count" and value is not None and cases < max(minimum_cases, metric.minimum_cases):
            yield metric.label, cases, name


def _single_figures(reply: Reply) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """What there is once in a reply: in words, the cases behind it, what the reply has without it."""
    if reply.loss is not None:
        yield "loss", 0 if reply.payload is None else max(reply.payload.support.values(), default=0), {"loss": None}
    if reply.comparison is not None:
        yield "comparison", reply.comparison.cases, {"comparison": None}
    if reply.diagnostics:
        scored = reply.scores.get(STANDS_ON)
        yield "diagnostics", scored.cases if scored else 0, {"diagnostics": {}}


def _reason(what: str, cases: int, minimum_cases: int) -> str:
    verb = "stand" if what.startswith(PLURALS) else "stands"
    return f"{what} {verb} on {cases} case(s), this center sends from {minimum_cases} on"
