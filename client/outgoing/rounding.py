"""Figures that leave carry no more digits than they mean.

    scores         one decimal more than the metric is shown with (`protocol.tasks`): Dice 1e-4, HD95 0.01 mm
    comparison     difference to 1e-4; standard error up to the next 1e-3, and not 0 where the difference is not
    benefits       as a comparison
    diagnostics    to 1e-4
    loss, seconds  to 1e-4, to 0.01 s

A mean of five Dice in full has 52 bits. The Dice of a case under a network that its sender chose, one that answers
"lesion everywhere", is 2T / (N + T) of a lesion of T voxels: whoever knows the sizes of the images finds the five T
among their multiples, since 52 bits are more than five such numbers have. 13 bits are not. A standard error in full
beside its mean says whether one case alone changed, and then by how much; up to the next 1e-3 it leaves many answers,
and errs towards caution: it costs the no-harm gate at most z * 1e-3 of its bound, a tenth of the usual tolerance.
Counts are of cases, and stay whole. What is rounded is an answer: the center's own files keep all digits.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from protocol.tasks import metric_named

DECIMALS = 4
SECONDS_DECIMALS = 2
ERROR_STEP = 1e-3
EXACT = 1e-9
"""What adding up in binary may leave of a standard error that is 0, or of a whole step."""


def round_figures(reply: Reply) -> Reply:
    """The reply with every figure at the digits that may leave."""
    return replace(
        reply,
        scores={setting: _round_score(score) for setting, score in reply.scores.items()},
        comparison=None if reply.comparison is None else _round_comparison(reply.comparison),
        benefits=tuple(
            found if found.comparison is None else replace(found, comparison=_round_comparison(found.comparison))
            for found in reply.benefits
        ),
        diagnostics={name: round(value, DECIMALS) for name, value in reply.diagnostics.items()},
        loss=None if reply.loss is None else round(reply.loss, DECIMALS),
        seconds=round(reply.seconds, SECONDS_DECIMALS),
    )


def _round_score(score: Score) -> Score:
    values: Mapping[str, float | None] = {
        name: value
        if value is None or (metric := metric_named(name)).of == "count"
        else round(value, metric.decimals_leaving)
        for name, value in score.values.items()
    }
    return replace(score, values=values)


def _round_comparison(comparison: Comparison) -> Comparison:
    if comparison.difference is None:
        return replace(comparison, standard_error=None)
    error = comparison.standard_error
    if error is not None:
        steps = math.ceil(error / ERROR_STEP - EXACT)
        error = min(1.0, round(ERROR_STEP * (steps or (1 if comparison.difference else 0)), 3))
    return replace(comparison, difference=round(comparison.difference, DECIMALS), standard_error=error)
