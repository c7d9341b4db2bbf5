"""What is summed of scores and comparisons: one row of numbers for each figure, and what the sum of the rows says.

    row of a figure m       (w m k, w, n / 2^20)                       its mean     sum w m / sum w
    row of a count c        (c / 2^20, w, n / 2^20)                    its sum      sum c
    row of a comparison     (w d k, w, n / 2^20, (w s)^2 k, h)         D = sum w d / sum w
                                                                       E = sqrt(sum (w s)^2) / sum w

w is the center's share of the heaviest weight of the plan, which everybody knows, n the cases behind the figure, k a
power of two that spends a word's digits on the figure's bounds. d is a difference, s its standard error, and h 1 where
the candidate harms the center, d + z s < limit. All numbers are 0 where the center has no such figure, so that it
neither aborts the sum nor dilutes the mean. D and E are what the no-harm gate makes of single comparisons
(`strategies.continual.gate`), with nobody left out.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from protocol.errors import SecureSumError
from protocol.messages.scores import Comparison, Score
from protocol.messages.secure_sum import Harm, SumPlan
from protocol.tasks import Metric, metric_named
from strategies.secure_sum.fixed_point import LARGEST, MODULUS_BITS, Values, Words
from strategies.secure_sum.layout import CASES_UNIT, SLACK

COMPARISON = "comparison"
FIGURE_NUMBERS, COMPARISON_NUMBERS = 3, 5
WORD_DIGITS = MODULUS_BITS // 4
FINEST = 2.0**10
"""k of a figure in [0, 1], of differences and of squared errors."""
CLOSE = 1e-9
"""Above what rounding to words moves a mean by."""


@dataclass(frozen=True)
class FigureSum:
    """A figure over centers. value: the mean with the plan's weights, of a count the sum. cases: behind it."""

    value: float
    cases: int


@dataclass(frozen=True)
class ComparisonSum:
    """What all centers of a sum say of a candidate.

    mean, error: D and its standard error. centers, harmed: how many compared, and how many of them it harms.
    """

    mean: float
    error: float
    cases: int
    centers: int
    harmed: int


def figure_name(setting: str, metric: str) -> str:
    """The row of a metric under a modality setting."""
    return f"{setting}/{metric}"


def parts_of_name(name: str) -> tuple[str, str]:
    """Setting and metric of a row of scores."""
    setting, _, metric = name.partition("/")
    return setting, metric


def numbers_in(name: str) -> int:
    """How many numbers a row has."""
    return COMPARISON_NUMBERS if name == COMPARISON else FIGURE_NUMBERS


def weight_in(plan: SumPlan, name: str, center: str) -> float:
    """w, above 0 and at most 1; 0 where the plan does not count the center behind the row."""
    weights = plan.weights[name]
    return weights.get(center, 0.0) / max(weights.values())


def figure_row(name: str, score: Score | None, weight: float) -> Values:
    """The row of a figure; of zeros where the center has none, or a count larger than can be summed.

    Raises:
        SecureSumError: no task has such a figure.
    """
    _, metric = parts_of_name(name)
    is_count = _is_count(name)
    value = None if score is None else score.value(metric)
    if score is None or value is None or not weight:
        return np.zeros(FIGURE_NUMBERS)
    first = value / CASES_UNIT if is_count else weight * value * _unit(name)
    if not abs(first) <= LARGEST:
        return np.zeros(FIGURE_NUMBERS)
    return np.array([first, weight, score.behind(metric) / CASES_UNIT])


def comparison_row(comparison: Comparison | None, weight: float, harm: Harm) -> Values:
    """The row of a comparison; of zeros where the center cannot judge."""
    if comparison is None or comparison.difference is None or comparison.standard_error is None:
        return np.zeros(COMPARISON_NUMBERS)
    if comparison.cases < 1 or not weight:
        return np.zeros(COMPARISON_NUMBERS)
    difference, error = comparison.difference, comparison.standard_error
    is_harmed = difference + harm.z * error < harm.limit
    spread = (weight * error) ** 2 * FINEST
    return np.array([weight * difference * FINEST, weight, comparison.cases / CASES_UNIT, spread, float(is_harmed)])


def figure_sum(name: str, total: Values) -> FigureSum:
    """What the sum of a figure's rows says.

    Raises:
        SecureSumError: it is a figure that no centers can have.
    """
    value = float(total[0]) * CASES_UNIT if _is_count(name) else float(total[0]) / (float(total[1]) * _unit(name))
    row = _metric_of(name)
    highest = math.inf if _is_count(name) else row.high
    if not row.low - CLOSE * highest <= value <= highest * (1 + CLOSE):
        raise SecureSumError(f"the sum of '{name}' gives a figure outside [{row.low:g}, {row.high:g}]")
    return FigureSum(min(max(value, row.low), highest), round(float(total[2]) * CASES_UNIT))


def comparison_sum(total: Values, centers: int) -> ComparisonSum:
    """What the sum of the comparisons of so many centers says.

    Raises:
        SecureSumError: no centers can have such ones.
    """
    weight, harmed = float(total[1]), round(float(total[4]))
    mean, spread = float(total[0]) / (weight * FINEST), float(total[3]) / FINEST
    if not (abs(mean) <= 1 + CLOSE and -CLOSE <= spread <= weight**2 + CLOSE and 0 <= harmed <= centers):
        raise SecureSumError(f"the sum of {centers} comparisons gives what no comparisons can")
    error = math.sqrt(max(0.0, spread)) / weight
    return ComparisonSum(mean, error, round(float(total[2]) * CASES_UNIT), centers, harmed)


def score_total_finding(plan: SumPlan, name: str, total: Values, behind: Collection[str]) -> str:
    """What of a row's total its centers cannot have sent; "" where nothing is.

    Args:
        plan: of the sum.
        name: of the row.
        total: of its numbers.
        behind: the centers that say that they stand behind the row.
    """
    expected = math.fsum(weight_in(plan, name, center) for center in behind)
    if not abs(float(total[1]) - expected) <= SLACK:
        return f"weights that add up to {float(total[1]):.6g}, expected {expected:.6g}"
    cases = round(float(total[2]) * CASES_UNIT)
    return f"{cases} cases, expected {len(behind)} or more" if cases < len(behind) else ""


def with_cases_registered(total: Values, behind: Mapping[str, int]) -> Values:
    """A row's total with no more cases than its centers registered with: some may have come since."""
    most = sum(behind.values()) / CASES_UNIT
    return np.concatenate([total[:2], [min(total[2], most)], total[3:]])


def to_hex(words: Words) -> str:
    """Words (n,) as text, 12 digits each."""
    return "".join(f"{int(word):0{WORD_DIGITS}x}" for word in words)


def from_hex(text: str) -> Words:
    """The words that `to_hex` wrote."""
    places = range(0, len(text), WORD_DIGITS)
    return np.array([int(text[place : place + WORD_DIGITS], 16) for place in places], dtype=np.uint64)


def _is_count(name: str) -> bool:
    return _metric_of(name).of == "count"


def _unit(name: str) -> float:
    """k of a figure: the largest power of two with which its bounds can be summed."""
    row = _metric_of(name)
    return float(2.0 ** math.floor(math.log2(LARGEST / max(abs(row.low), abs(row.high)))))


def _metric_of(name: str) -> Metric:
    setting, metric = parts_of_name(name)
    try:
        return metric_named(metric)
    except KeyError:
        raise SecureSumError(f"a sum of '{name}' was asked, and no task has such a figure under '{setting}'") from None
