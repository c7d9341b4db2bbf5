"""The no-harm gate where comparisons are summed: the rule of `strategies.continual.gate` with nobody left out, f = 0.

    D, E        of the sum (`strategies.secure_sum.score_rows`);  L = D - z E
    promoted    iff  the candidate harms no center of the sum, and L >= -tolerance

Whether it harms a center is that center's own word, masked: the sum tells how many, not which. So no center keeps a
branch, whatever is decided, and nobody is served anything else than the others. Of a trained backbone:

    stands      iff  at most half of the centers find it worse by more than the tolerance and their noise
"""

from collections.abc import Collection
from statistics import NormalDist

from protocol.messages.secure_sum import Harm
from protocol.messages.settings import Gate
from strategies.continual.gate import ROUNDING, Verdict
from strategies.secure_sum.score_rows import ComparisonSum


def harm_of(gate: Gate, *, of_backbone: bool) -> Harm:
    """When a center of the sum counts as harmed."""
    return Harm(-gate.tolerance - ROUNDING, NormalDist().inv_cdf(gate.confidence) if of_backbone else 0.0)


def decide_sum(found: ComparisonSum, gate: Gate, *, unheard: Collection[str], earlier: Collection[str]) -> Verdict:
    """Apply the rule of this module to a sum of comparisons.

    Args:
        found: what the sum says.
        gate: tolerance and confidence; the study file is refused where liars are to be left out.
        unheard: centers that could not judge.
        earlier: the centers whom an earlier stage served.
    """
    lower, asked = _lower_bound(found, gate), f"at least {-gate.tolerance:+z.4f} is asked"
    promoted = found.harmed == 0 and lower >= -gate.tolerance - ROUNDING
    level = f"{100 * gate.confidence:g} % lower bound of the mean over {found.centers} centers {lower:+z.4f}"
    if found.harmed:
        reason = f"refused: {found.harmed} of {found.centers} center(s) of the sum change by less, {asked}"
    else:
        reason = f"promoted: {level}, none of them is harmed" if promoted else f"refused: {level}, {asked}"
    provisional = promoted and bool(set(earlier) & set(unheard))
    return _verdict(found, lower, promoted=promoted, unheard=unheard, reason=reason, provisional=provisional)


def decide_backbone_sum(found: ComparisonSum, gate: Gate, *, unheard: Collection[str]) -> Verdict:
    """Whether a backbone stands; `found.harmed` counts those that find it worse beyond their noise."""
    stands = 2 * found.harmed <= found.centers
    reason = (
        f"{'promoted' if stands else 'refused'}: {found.harmed} of {found.centers} center(s) of the sum find the "
        f"backbone worse than the one before by more than {gate.tolerance:.4f} and their noise"
    )
    return _verdict(found, _lower_bound(found, gate), promoted=stands, unheard=unheard, reason=reason)


def _lower_bound(found: ComparisonSum, gate: Gate) -> float:
    return found.mean - NormalDist().inv_cdf(gate.confidence) * found.error


def _verdict(
    found: ComparisonSum,
    lower: float,
    *,
    promoted: bool,
    unheard: Collection[str],
    reason: str,
    provisional: bool = False,
) -> Verdict:
    silence = f"; not heard: {', '.join(sorted(unheard))}" if unheard else ""
    return Verdict(
        promoted=promoted,
        worst=None,
        mean=found.mean,
        lower_bound=lower,
        unheard=tuple(sorted(unheard)),
        reason=reason + silence,
        provisional=provisional,
    )
