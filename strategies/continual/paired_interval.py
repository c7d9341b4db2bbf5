"""How sure a difference is that a center told of its own cases: Student's interval.

    d, s    a difference of the primary metric over n cases, paired or of one cohort, and its standard error
    margin  t sqrt(n / (n - 1)) s,  t a quantile of Student's distribution with n - 1 degrees of freedom
    [d - margin, d + margin]    with t the (1 + LEVEL) / 2 quantile

s is the deviation of the n differences themselves, hence the factor (Student 1908, doi:10.1093/biomet/6.1.1). t in
place of z says how few the cases are. One case has no scatter, and what is undefined has no interval.
"""

from typing import Any

from scipy import stats

from protocol.messages.scores import Comparison
from strategies.continual.gate import usable_voice
from strategies.evaluation.resampling import LEVEL, Interval

FEWEST_CASES = 2


def margin_of(comparison: Comparison, quantile: float) -> float | None:
    """By how much the difference may be off, to one side, where nothing but chance of cases is at work.

    Args:
        comparison: of one center.
        quantile: of Student's distribution, in (0.5, 1).

    Returns:
        None where the difference is undefined, is no difference, or stands on one case.
    """
    voice = usable_voice(comparison, comparison.cases)
    if voice is None or voice.cases < FEWEST_CASES:
        return None
    cases = voice.cases
    widening = float(stats.t.ppf(quantile, cases - 1)) * (cases / (cases - 1)) ** 0.5
    return float(widening * voice.standard_error)


def interval_of(comparison: Comparison) -> Interval:
    """The difference with the ends of its 95 % interval; ends are None where the cases say nothing of their noise."""
    margin, value = margin_of(comparison, (1 + LEVEL) / 2), comparison.difference
    if margin is None or value is None:
        return Interval(value, None, None)
    return Interval(value, value - margin, value + margin)


def entry_of(comparison: Comparison | None, cases: int) -> dict[str, Any]:
    """What is told of a comparison, ready for JSON.

    Args:
        comparison: None where a center holds it back.
        cases: that both answered; those that define the difference are told where there is one.

    Returns:
        state ("known", "withheld" or "undefined"), cases, difference, standard_error, and the ends of the interval.
    """
    if comparison is None:
        nothing = dict.fromkeys(("difference", "standard_error", "low", "high"))
        return {"state": "withheld", "cases": cases, **nothing}
    interval, is_known = interval_of(comparison), comparison.difference is not None
    return {
        "state": "known" if is_known else "undefined",
        "cases": comparison.cases if is_known else cases,
        "difference": comparison.difference,
        "standard_error": comparison.standard_error,
        "low": interval.low,
        "high": interval.high,
    }
