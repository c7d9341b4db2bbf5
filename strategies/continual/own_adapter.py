"""Whether a center is served what it trained alone in place of what federation serves it.

The rule by which the gate judges a backbone, for one center and its n validation cases of each task:

    d    primary metric of what federation serves minus that of what the center trained alone, each case under its
         fullest setting (`strategies.continual.gate`)
    s    its standard error
    U    d + t sqrt(n / (n - 1)) s,  t the `confidence` quantile of Student's distribution with n - 1 degrees of freedom

    its own   iff  U < -tolerance in every task that its stages trained for

The margin is the gate's: a center that is asked to bear a loss of `tolerance` from a stage is not sent its own way for
as much. The loss must exceed the noise as well, since cases are few and the better of two noisy figures is no better on
new cases; t in place of the gate's z says how few. s is the deviation of the n differences themselves, hence the factor
(Student 1908, doi:10.1093/biomet/6.1.1). One case has no scatter, and what is undefined loses against nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.messages.scores import Comparison
from protocol.messages.settings import Gate
from protocol.tasks import TaskName
from strategies.continual.gate import ROUNDING
from strategies.continual.paired_interval import margin_of


@dataclass(frozen=True)
class Choice:
    """What serves a center better, and why.

    own: what it trained alone.
    bounds: U by task; None where the comparison says nothing of its noise.
    """

    own: bool
    reason: str
    bounds: Mapping[TaskName, float | None]


def choose(comparisons: Mapping[TaskName, Comparison], gate: Gate) -> Choice:
    """Apply the rule of this module to a center's comparisons, of what federation serves minus its own.

    Args:
        comparisons: one for each task that the center's stages trained for.
        gate: tolerance and confidence.
    """
    bounds = {task: upper_bound(comparison, gate.confidence) for task, comparison in comparisons.items()}
    limit = -gate.tolerance - ROUNDING
    kept = [task for task, bound in bounds.items() if bound is None or bound >= limit]
    if not comparisons:
        return Choice(own=False, reason="federated: nothing was compared", bounds=bounds)
    decisive = kept[0] if kept else next(iter(bounds))
    of_task = f"{decisive}: " if len(bounds) > 1 else ""
    said = _reason(comparisons[decisive], bounds[decisive], gate)
    return Choice(own=not kept, reason=f"{'federated' if kept else 'its own'}: {of_task}{said}", bounds=bounds)


def upper_bound(comparison: Comparison, confidence: float) -> float | None:
    """U; None where the difference is undefined, is no difference, or stands on one case."""
    margin = margin_of(comparison, confidence)
    return None if margin is None or comparison.difference is None else comparison.difference + margin


def _reason(comparison: Comparison, bound: float | None, gate: Gate) -> str:
    """The decision in words, with its numbers."""
    cases, difference = comparison.cases, comparison.difference
    if difference is None:
        return "no validation case defines the difference"
    on_cases = f"on {cases} validation case{'s' if cases != 1 else ''}"
    changes = f"federation changes by {difference:+z.4f} {on_cases}"
    if bound is None:
        return f"{changes}, which say nothing of their noise"
    if difference >= -gate.tolerance - ROUNDING:
        return f"{changes}, at least {-gate.tolerance:+z.4f} is asked"
    level = f"{100 * gate.confidence:g} % upper bound {bound:+z.4f}"
    if bound >= -gate.tolerance - ROUNDING:
        return f"{changes}, within their noise ({level}, below {-gate.tolerance:+z.4f} is asked)"
    return f"{changes}, beyond their noise ({level}, below {-gate.tolerance:+z.4f})"
