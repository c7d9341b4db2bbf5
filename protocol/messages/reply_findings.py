"""What of a reply nobody asked for, or cannot be: read by the center before it sends, and by the coordinator after.

A reply may carry scores of the study's own metrics, each within its bounds (`protocol.tasks`), the loss, a comparison,
the diagnostics of `protocol.messages.diagnostics` and the facts of `protocol.messages.facts`; its tensors are read
against the study's elsewhere. The values stay out of the findings, since they may be a center's own.
"""

import math
from collections.abc import Collection, Iterator

from protocol.messages.benefit import benefit_findings
from protocol.messages.diagnostics import diagnostic_findings
from protocol.messages.facts import fact_findings
from protocol.messages.reply import LARGEST_LOSS, LONGEST_S, Reply
from protocol.messages.scores import Score, comparison_findings, score_findings
from protocol.messages.settings import StudySettings
from protocol.messages.suppression import suppression_findings
from protocol.modalities import SETTINGS
from protocol.plain_text import SHOWN_OF_A_NAME, shown
from protocol.tasks import metric_names


def metrics_of(settings: StudySettings) -> frozenset[str]:
    """The figures that a score may hold in a study."""
    return frozenset(metric_names(settings.tasks, settings.labels.endpoints))


def reply_findings(reply: Reply, metrics: Collection[str]) -> Iterator[str]:
    """What of a reply, its tensors aside, is not on the allow-list; `metrics` are those that it may hold."""
    for setting, score in reply.scores.items():
        yield from _score_findings(setting, score, metrics)
    yield from fact_findings(reply.facts)
    if reply.comparison is not None:
        for finding in comparison_findings(reply.comparison):
            yield f"comparison: {finding}"
    yield from benefit_findings(reply.benefits, frozenset(metrics))
    yield from suppression_findings(reply.suppressed, reply.scores)
    given = {"comparison": reply.comparison is not None, "diagnostics": bool(reply.diagnostics)}
    given["loss"] = reply.loss is not None
    for part in reply.suppressed.parts:
        if given.get(part):
            yield f"{part} is suppressed and given as well"
    yield from _group_findings(reply)
    for finding in diagnostic_findings(reply.diagnostics):
        yield f"diagnostics: {finding}"
    for name, number, low, high in (
        ("loss", reply.loss, -LARGEST_LOSS, LARGEST_LOSS),
        ("seconds", reply.seconds, 0.0, LONGEST_S),
    ):
        if number is not None and not math.isfinite(number):
            yield f"{name} is {number}, expected a finite number"
        elif number is not None and not low <= number <= high:
            yield f"{name} is not a number from {low:g} to {high:g}"


def _group_findings(reply: Reply) -> Iterator[str]:
    """Tensor groups that are suppressed and stood behind as well, or where no tensors are sent at all."""
    said = () if reply.secure is None or reply.secure.contribution is None else reply.secure.contribution.groups
    backed = {*said, *(() if reply.payload is None else reply.payload.support)}
    for group in reply.suppressed.groups:
        if group in backed:
            yield f"tensors of group '{shown(group, SHOWN_OF_A_NAME)}' are suppressed and given as well"
    if reply.suppressed.groups and reply.payload is None:
        yield f"{len(reply.suppressed.groups)} tensor group(s) are suppressed in a reply without tensors"


def _score_findings(setting: str, score: Score, metrics: Collection[str]) -> Iterator[str]:
    if setting not in SETTINGS:
        yield f"scores of setting '{shown(setting, SHOWN_OF_A_NAME)}', allowed: {list(SETTINGS)}"
    found = [f"scores of setting '{shown(setting, SHOWN_OF_A_NAME)}': {finding}" for finding in score_findings(score)]
    yield from found
    others = sum(1 for name in score.values if name not in metrics)
    if others and not found:
        yield f"scores of setting '{setting}' hold {others} figure(s) that the study's tasks do not have"
