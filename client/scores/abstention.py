"""From which uncertainty on a mask is for a person to review, and what that does to the risk of those that are kept.

    u            mean entropy near the predicted lesion (`client.tasks.margins`); none where nothing was predicted, and
                 then the mask is to be reviewed whatever the threshold
    threshold    u_(k), the k-th smallest of n validation cases, k = ceil(COVERAGE (n + 1)); a case is kept iff u <= it
    risk(k)      mean of 1 - Dice over the k test cases of the lowest u: at coverage k / n (selective risk,
                 arXiv 1705.08500, section 2)

The k-th smallest of n + 1 exchangeable values keeps the next case with a probability of COVERAGE at least (split
conformal prediction, arXiv 2107.07511, section 1); that says how many are kept, not how good they are. It needs
k <= n, so with COVERAGE = 0.8 four validation cases. No Dice enters the threshold: to aim at a risk would take more
cases than a center's validation part has.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.stats import spearmanr

from client.scores.calibration import Estimate

COVERAGE = 0.8
FEWEST_TO_RANK = 5


@dataclass(frozen=True)
class JudgedCase:
    """A test case: u, and Dice; None where undefined."""

    uncertainty: float | None
    dice: float | None


@dataclass(frozen=True)
class Part:
    """Cases on one side of a threshold: how many, and the mean Dice of those that define it."""

    cases: int
    dice: float | None


def choose_threshold(uncertainties: Sequence[float | None]) -> Estimate:
    """The threshold of validation cases; None and the reason where they are too few or too many predict nothing."""
    n = len(uncertainties)
    k = math.ceil(COVERAGE * (n + 1))
    if k > n:
        fewest = math.ceil(COVERAGE / (1 - COVERAGE) - 1e-9)
        return Estimate(None, f"{n} validation case(s); a threshold that keeps {COVERAGE:.0%} needs {fewest}")
    chosen = sorted(math.inf if u is None else u for u in uncertainties)[k - 1]
    if math.isinf(chosen):
        empty = sum(u is None for u in uncertainties)
        return Estimate(None, f"in {empty} of {n} validation cases no lesion was predicted")
    return Estimate(chosen)


def is_kept(uncertainty: float | None, threshold: float) -> bool:
    """Whether a mask need not be reviewed for its uncertainty."""
    return uncertainty is not None and uncertainty <= threshold


def part_cases(cases: Sequence[JudgedCase], threshold: float) -> tuple[Part, Part]:
    """The kept cases and those to be reviewed."""
    kept = [is_kept(case.uncertainty, threshold) for case in cases]
    return tuple(  # type: ignore[return-value]  # two, one a side
        _part([case for case, stays in zip(cases, kept, strict=True) if stays is side]) for side in (True, False)
    )


def risk_coverage(cases: Sequence[JudgedCase]) -> list[tuple[float, float]]:
    """(coverage, risk) for k = 1.. of the cases that define Dice; those without an uncertainty are kept last."""
    defined = [(case.uncertainty, case.dice) for case in cases if case.dice is not None]
    ordered = sorted(defined, key=lambda case: math.inf if case[0] is None else case[0])
    risks = [1 - dice for _, dice in ordered]
    return [(k / len(risks), fmean(risks[:k])) for k in range(1, len(risks) + 1)]


def rank_errors(cases: Sequence[JudgedCase]) -> Estimate:
    """Spearman's correlation of u with 1 - Dice: 1 where the less sure mask is always the worse one."""
    pairs = [(c.uncertainty, 1 - c.dice) for c in cases if c.uncertainty is not None and c.dice is not None]
    if len(pairs) < FEWEST_TO_RANK:
        return Estimate(None, f"{len(pairs)} test case(s) with both; ranking needs {FEWEST_TO_RANK}")
    columns = tuple(zip(*pairs, strict=True))
    if any(len(set(column)) == 1 for column in columns):
        return Estimate(None, "all test cases are alike in one of the two")
    return Estimate(float(spearmanr(*columns).statistic))


def _part(cases: Sequence[JudgedCase]) -> Part:
    dices = [case.dice for case in cases if case.dice is not None]
    return Part(len(cases), fmean(dices) if dices else None)
