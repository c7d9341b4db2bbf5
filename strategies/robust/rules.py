"""The table of robust rules: how many centers each needs, what each of their updates weighs.

A new rule is one file in this folder and one row of `RULES`; the contract tests run over every row. A rule that says
what each center weighs needs no arithmetic of its own: its weights go through the exact mean of the scheme.
"""

from collections.abc import Callable
from dataclasses import dataclass

from strategies.aggregation.running_mean import Average
from strategies.robust import fltrust, geometric_median, multi_krum, trimmed_mean
from strategies.robust.contract import Weigh


@dataclass(frozen=True)
class Rule:
    """One way to hold liars off.

    weigh: the updates of a group -> what each weighs.
    fewest: liars -> the fewest centers for which the rule holds what it promises.
    advised: liars -> the fewest centers that a study may name for a group, where that is more.
    average: liars -> what takes the place of the mean in the coordinates of a scheme; None where the mean stays.
    one_factor: whether it needs a scheme in which one factor of an adapter at most trains in a round.
    referenced: whether one center's update is what the others are held against.
    """

    weigh: Weigh
    fewest: Callable[[int], int]
    advised: Callable[[int], int]
    average: Callable[[int], Average] | None = None
    one_factor: bool = False
    referenced: bool = False


RULES: dict[str, Rule] = {
    "geometric-median": Rule(geometric_median.weigh, geometric_median.fewest, geometric_median.advised),
    "multi-krum": Rule(multi_krum.weigh, multi_krum.fewest, multi_krum.fewest),
    "trimmed-mean": Rule(
        trimmed_mean.weigh,
        trimmed_mean.fewest,
        trimmed_mean.fewest,
        average=trimmed_mean.TrimmedMean,
        one_factor=True,
    ),
    "fltrust": Rule(fltrust.weigh, fltrust.fewest, fltrust.fewest, one_factor=True, referenced=True),
}
