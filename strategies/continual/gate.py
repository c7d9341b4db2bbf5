"""The no-harm gate: whether a stage's candidate may replace the shared adapter that was accepted before it.

    d_j        primary metric of the stage's task on center j's validation cases, candidate minus accepted: a mean of
               differences paired per case (Dice), or the difference of two figures of one cohort (AUC)
    d_j*(b)    the same over the b-th bootstrap resample of j's cases; centers resample independently
    D*(b)      mean over heard centers of d_j*(b): the center-stratified bootstrap of the mean over centers
    L          (1 - confidence) quantile of D*: the one-sided lower confidence bound of that mean

    promoted   iff  min_j d_j >= -tolerance  and  L >= -tolerance

Every center counts once in D*, however few its cases: a large center cannot outvote a small one that is harmed. L says
what the validation cases allow to say: many cases with a scattered outcome are needed before a small loss is noticed,
and one case alone has no scatter, L = d_j. A comparison against -tolerance forgives 1e-9, because 0.79 - 0.80 is not
exactly -0.01 in binary.

L needs replicates: a center is heard with at least FEWEST_REPLICATES of them (fewer where the gate asks for fewer), and
all heard centers count with as many as the one that sent fewest, at most `gate.replicates`.

Who was heard decides what the verdict is worth:

    no earlier center, nobody heard        promoted     nothing was accepted that could be harmed
    earlier centers, nobody heard          refused      nothing speaks for the candidate
    some heard, an earlier center unheard  by the rule  a promotion is provisional: what it does there is unknown
    all earlier centers heard              by the rule

Percentile bootstrap: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protocol.messages.scores import Comparison
from protocol.messages.settings import Gate

ROUNDING = 1e-9
FEWEST_REPLICATES = 100


@dataclass(frozen=True)
class Verdict:
    """What the gate decided and on what grounds.

    Attributes:
        promoted: whether the candidate becomes the shared adapter.
        worst: heard center with the lowest mean difference, and that difference; the first by name where equal.
        mean: mean over heard centers of their differences; None where nobody was heard.
        lower_bound: L; None where nobody was heard.
        differences: d_j of every heard center, by name.
        unheard: centers without a usable comparison: offline, no case defines the metric, or too few replicates.
        reason: the decision in words, with its numbers.
        provisional: promoted although an earlier center was not heard.
    """

    promoted: bool
    worst: tuple[str, float] | None
    mean: float | None
    lower_bound: float | None
    differences: Mapping[str, float] = field(default_factory=dict)
    unheard: tuple[str, ...] = ()
    reason: str = ""
    provisional: bool = False


def bootstrap_means(
    differences: NDArray[np.float64], *, replicates: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Means of resamples of the cases, drawn with replacement.

    Args:
        differences: one paired difference a case, (n,).
        replicates: number of resamples, at least 1.
        rng: where the draws come from.

    Returns:
        (replicates,), in the order drawn; (0,) where there is no case.

    Raises:
        ValueError: no replicate is asked for, the differences are not a vector, or one is not finite.
    """
    if replicates < 1 or differences.ndim != 1 or not np.isfinite(differences).all():
        raise ValueError(
            f"bootstrap needs finite differences in one axis and at least 1 replicate, found shape "
            f"{differences.shape}, {int((~np.isfinite(differences)).sum())} not finite, and {replicates} replicates; "
            "leave out cases that do not define the score"
        )
    cases = differences.size
    if cases == 0:
        return np.empty(0, dtype=np.float64)
    drawn = rng.integers(cases, size=(replicates, cases))
    return np.asarray(differences[drawn].mean(axis=1), dtype=np.float64)


def decide(
    comparisons: Mapping[str, Comparison | None], gate: Gate, *, earlier: Collection[str] | None = None
) -> Verdict:
    """Apply the rule of this module to the centers' comparisons.

    Args:
        comparisons: one for every center that should be heard, the stage's own and all earlier ones. A center that is
            offline has None, or a Comparison without a difference.
        gate: tolerance, confidence and the most replicates of a center that count.
        earlier: names of the centers whom an earlier stage served; None means all that are in `comparisons`. One that
            is missing from `comparisons` is unheard.
    """
    guarded = set(comparisons if earlier is None else earlier)
    heard = {name: found for name in sorted(comparisons) if (found := usable_figures(comparisons[name], gate))}
    unheard = tuple(sorted((guarded | set(comparisons)) - set(heard)))
    if not heard:
        return _unanimous_silence(guarded, unheard)
    differences = {name: difference for name, (difference, _) in heard.items()}
    worst = min(differences, key=lambda name: differences[name])
    bound = lower_bound([replicates for _, replicates in heard.values()], gate)
    limit = -gate.tolerance - ROUNDING
    promoted = differences[worst] >= limit and bound >= limit
    return Verdict(
        promoted=promoted,
        worst=(worst, differences[worst]),
        mean=float(np.mean(list(differences.values()))),
        lower_bound=bound,
        differences=differences,
        unheard=unheard,
        reason=_reason(worst, differences[worst], bound, gate, unheard),
        provisional=promoted and bool(guarded & set(unheard)),
    )


def usable_figures(comparison: Comparison | None, gate: Gate) -> tuple[float, tuple[float, ...]] | None:
    """A center's difference and replicates; None where they cannot be differences in [-1, 1], or are too few."""
    if comparison is None or comparison.difference is None:
        return None
    found = np.array([comparison.difference, *comparison.replicates], dtype=np.float64)
    enough = len(comparison.replicates) >= min(gate.replicates, FEWEST_REPLICATES)
    if not enough or not np.isfinite(found).all() or np.abs(found).max() > 1 + ROUNDING:
        return None
    return float(comparison.difference), comparison.replicates


def lower_bound(replicates: Sequence[tuple[float, ...]], gate: Gate) -> float:
    """L: the (1 - confidence) quantile, linearly interpolated, of the replicates' mean over centers.

    Args:
        replicates: d_j*(b) of each heard center; as many count as every center has, at most `gate.replicates`.
        gate: confidence and the most replicates that count.
    """
    count = min(gate.replicates, *(len(row) for row in replicates))
    over_centers = np.mean([row[:count] for row in replicates], axis=0)
    return float(np.quantile(over_centers, 1 - gate.confidence))


def _unanimous_silence(guarded: set[str], unheard: tuple[str, ...]) -> Verdict:
    """The verdict where nobody was heard."""
    reason = (
        f"refused: none of {list(unheard)} could be heard; ask again when one is online"
        if guarded
        else "promoted: no earlier center that the candidate could harm"
    )
    return Verdict(promoted=not guarded, worst=None, mean=None, lower_bound=None, unheard=unheard, reason=reason)


def _reason(worst: str, difference: float, bound: float, gate: Gate, unheard: tuple[str, ...]) -> str:
    """The decision in words: the first condition that fails, or the numbers with which both hold."""
    limit = -gate.tolerance - ROUNDING
    silent = f"; not heard: {', '.join(unheard)}" if unheard else ""
    if difference < limit:
        return (
            f"refused: center '{worst}' changes by {difference:+.4f}, at least {-gate.tolerance:+.4f} is asked{silent}"
        )
    level = f"{100 * gate.confidence:g} % lower bound of the mean over centers {bound:+.4f}"
    if bound < limit:
        return f"refused: {level}, at least {-gate.tolerance:+.4f} is asked{silent}"
    return f"promoted: worst center '{worst}' {difference:+.4f}, {level}{silent}"
