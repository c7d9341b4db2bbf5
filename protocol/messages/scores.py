"""Scores as they travel: figures over cases, never of one, and what of them cannot be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from protocol.messages.facts import MAXIMUM_CASES, is_case_count
from protocol.plain_text import SHOWN_OF_A_NAME, shown
from protocol.tasks import MAXIMUM_ENDPOINTS, TASKS, Metric, metric_named, metric_names

MAXIMUM_METRICS = len(list(metric_names(TASKS, (f"e{number}" for number in range(MAXIMUM_ENDPOINTS)))))
"""Every figure of every task, with as many endpoints as a study may have."""


@dataclass(frozen=True)
class Score:
    """Figures of one modality setting over cases, by the names of `protocol.tasks`; None where nothing defines one.

    cases: those that were scored. undefined: how many of them a figure does not stand on. rarest: how many have the
    rarer outcome, of a figure that tells outcomes apart; stays at the center.
    """

    cases: int
    values: Mapping[str, float | None] = field(default_factory=dict)
    undefined: Mapping[str, int] = field(default_factory=dict)
    rarest: Mapping[str, int] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """A figure; None where it is undefined or was not asked for."""
        return self.values.get(name)

    def behind(self, name: str) -> int:
        """Cases that a figure stands on."""
        return self.cases - self.undefined.get(name, 0)


def score_findings(score: Score) -> Iterator[str]:
    """What of a score cannot be: an unknown metric, a value outside its bounds, a count that is none.

    The values stay out of the findings, since they may be a center's own.
    """
    if not is_case_count(score.cases):
        yield f"cases is not a count of at most {MAXIMUM_CASES}"
        return
    if max(map(len, (score.values, score.undefined, score.rarest))) > MAXIMUM_METRICS:
        yield f"has more than {MAXIMUM_METRICS} figures"
        return
    if any(name not in score.values or not is_case_count(count) for name, count in score.rarest.items()):
        yield "rarest holds something else than counts of the figures' cases"
    for name, count in score.undefined.items():
        if name not in score.values or not is_case_count(count) or count > score.cases:
            yield f"undefined of '{shown(name, SHOWN_OF_A_NAME)}' is not a count of at most the cases"
    for name, value in score.values.items():
        try:
            metric = metric_named(name)
        except KeyError:
            yield f"metric '{shown(name, SHOWN_OF_A_NAME)}' is not in the table of tasks"
            continue
        if value is not None and not (type(value) in {int, float} and metric.low <= value <= metric.high):
            yield f"'{name}' is not a number in [{metric.low:g}, {metric.high:g}]"
        elif value is not None:
            yield from _unfounded(score, name, metric, value)


def _unfounded(score: Score, name: str, metric: Metric, value: float) -> Iterator[str]:
    """A figure that its cases cannot give: one of no case, or a count above what so many have."""
    cases = score.behind(name)
    if metric.of != "count" and cases < 1:
        yield f"'{name}' has a value and no case that defines it"
    if metric.of == "count":
        endpoints = 1 if "/" in name else max(1, sum(other.startswith(f"{name}/") for other in score.values))
        most = endpoints * metric.most_of(cases)
        if value > most:
            yield f"'{name}' is above {most:g}, the most that {cases} case(s) have"


@dataclass(frozen=True)
class Comparison:
    """Primary metric of a candidate minus that of the reference, over the same cases, each under its fullest setting.

    difference: over `cases`; None where they do not define it. standard_error: of the difference, over the center's own
    cases; None where they are too few to tell. score: of the candidate over the same cases, where the metric is of a
    cohort; it says what the comparison stands on, and stays at the center.
    """

    cases: int
    difference: float | None
    standard_error: float | None = None
    score: Score | None = None


def comparison_findings(comparison: Comparison) -> Iterator[str]:
    """What of a comparison cannot be: a count below 0, a difference outside [-1, 1], a standard error outside [0, 1].

    A metric within [0, 1] allows no other. The values stay out of the findings, since they may be a center's own.
    """
    if not is_case_count(comparison.cases):
        yield f"cases is not a count of at most {MAXIMUM_CASES}"
    if comparison.difference is not None and not _lies_within(comparison.difference, -1):
        yield "difference is not a number in [-1, 1]"
    if comparison.standard_error is not None and not _lies_within(comparison.standard_error, 0):
        yield "standard_error is not a number in [0, 1]"


def _lies_within(value: float, low: float) -> bool:
    return type(value) in {int, float} and low <= value <= 1
