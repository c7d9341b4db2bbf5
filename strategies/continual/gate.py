"""The no-harm gate: whether a stage's candidate may replace the shared adapter that was accepted before it.

Each of K heard centers has a voice, of which up to f may be false:

    d_j   primary metric of the stage's task on center j's validation cases, candidate minus accepted: a mean of
          differences paired per case (Dice), or the difference of two figures of one cohort (AUC)
    s_j   its standard error: s / sqrt(n) of the paired differences, or the bootstrap's standard deviation
    w_j   share of the validation cases that the centers registered with, of which no more count than
          `strategies.shares` believes, none above one half of all
    f     floor(liars * K); d_(1) <= ... <= d_(K) and s_(1) <= ... <= s_(K) are in order

    D     sum_j w_j min(max(d_j, d_(f+1)), d_(K-f))
    E     sqrt(K / (K - f) sum_j (w_j min(max(s_j, s_(f+1)), s_(K-f)))^2)
    L     D - z E,  z the `confidence` quantile of the standard normal

    promoted   iff  d_(f+1) >= -tolerance  and  L >= -tolerance

No f voices decide against what all others say: they count in D and E as the next, whatever they claim, and help
nothing where more than f are harmed; E is that of K - f voices, so that f more do not sharpen it. Where the others say
the same and all weigh alike, the verdict is theirs; where they differ, f can tip it as the best or worst of them would
with f voices more. Of two voices f = 0: all must be unharmed. A center that the candidate harms, d_j < -tolerance, is
never served it, nor is one that was served before and is away (`server.rounds.transitions`). A comparison against
-tolerance forgives 1e-9, because 0.79 - 0.80 is not exactly -0.01 in binary.

Who was heard decides what the verdict is worth:

    away          did not answer, or with an error
    cannot judge  has too few cases, may not be asked, or answered with what is no comparison; it follows

    no earlier center, nobody heard                      promoted     nothing was accepted that could be harmed
    half or more of the earlier ones able to judge away  refused      ask again: liars may be all that is there
    an earlier center was not heard                      by the rule  a promotion is provisional: it may do harm there

A stage that trains the backbone has another rule, since nobody was served it before, and nobody can keep another:

    stands     iff  at most K / 2 of the voices have d_j + z s_j < -tolerance

Sources: trimming f of K, Yin et al. (2018), Byzantine-robust distributed learning, arXiv 1803.01498; clipping what is
trimmed (winsorising) and the standard error of a mean, Huber and Ronchetti (2009), Robust Statistics, chapter 1.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

from protocol.messages.scores import Comparison
from protocol.messages.settings import Gate
from strategies.shares import believed_cases, capped_shares

ROUNDING = 1e-9


@dataclass(frozen=True)
class Verdict:
    """What the gate decided and on what grounds.

    Attributes:
        promoted: whether the candidate becomes the shared adapter.
        worst: heard center with the lowest difference, and that difference; the first by name where equal.
        mean: D; None where nobody was heard.
        lower_bound: L; None where nobody was heard.
        differences: d_j of every heard center, by name.
        unheard: centers without a usable comparison: away, or unable to judge.
        reason: the decision in words, with its numbers.
        provisional: promoted although an earlier center was not heard.
        standard_errors, weights: s_j and w_j of every heard center, by name.
        tolerated: f.
        harmed: heard centers with d_j < -tolerance, which are not served the candidate.
        away: earlier centers that did not answer; they are not served the candidate either.
    """

    promoted: bool
    worst: tuple[str, float] | None
    mean: float | None
    lower_bound: float | None
    differences: Mapping[str, float] = field(default_factory=dict)
    unheard: tuple[str, ...] = ()
    reason: str = ""
    provisional: bool = False
    standard_errors: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    tolerated: int = 0
    harmed: tuple[str, ...] = ()
    away: tuple[str, ...] = ()


@dataclass(frozen=True)
class Voice:
    """What a center says: difference, its standard error, and the validation cases that it counts with."""

    difference: float
    standard_error: float
    cases: int


def decide(
    comparisons: Mapping[str, Comparison | None],
    gate: Gate,
    *,
    earlier: Collection[str],
    registered: Mapping[str, int],
    gone: Collection[str] = (),
) -> Verdict:
    """Apply the rule of this module to the centers' comparisons.

    Args:
        comparisons: one for every center that should be heard, the stage's own and all earlier ones. A center that is
            away has None, one that cannot judge a Comparison without a difference.
        gate: tolerance, confidence and the share of voices that may be false.
        earlier: names of the centers whom an earlier stage served. One that is missing from `comparisons` is away.
        registered: most validation cases that count of each center; one that is missing counts with one.
        gone: earlier centers that will not come back, and are not waited for.
    """
    voices, unheard = _hear(comparisons, earlier, registered)
    away = tuple(sorted(center for center in earlier if comparisons.get(center) is None))
    if lacking := missing_voices(comparisons, set(earlier) - set(gone)):
        return _refuse_unasked(lacking, unheard, away)
    if not voices:
        return _unanimous_silence(set(earlier), unheard)
    weighed = _weigh(voices, gate)
    limit = -gate.tolerance - ROUNDING
    rank = sorted(voices, key=lambda name: (voices[name].difference, name))
    decisive = rank[weighed.tolerated]
    promoted = voices[decisive].difference >= limit and weighed.lower_bound >= limit
    return _verdict(
        voices,
        weighed,
        promoted=promoted,
        unheard=unheard,
        away=away,
        harmed=tuple(name for name in voices if voices[name].difference < limit),
        reason=_reason(decisive, voices, weighed, gate, unheard),
        provisional=promoted and bool(set(earlier) & set(unheard)),
    )


def decide_backbone(
    comparisons: Mapping[str, Comparison | None], gate: Gate, *, registered: Mapping[str, int]
) -> Verdict:
    """Whether a backbone that a stage has trained stands: unless most voices say that it harms, beyond their noise.

    Args:
        comparisons: of the stage's centers, as for `decide`; the reference is the backbone that the stage began with.
        gate: tolerance and confidence.
        registered: validation cases that each center registered with.
    """
    voices, unheard = _hear(comparisons, (), registered)
    if not voices:
        reason = f"promoted: none of {list(unheard)} can judge a backbone" if unheard else "promoted: nobody to ask"
        return Verdict(
            promoted=True,
            worst=None,
            mean=None,
            lower_bound=None,
            unheard=unheard,
            reason=reason,
            provisional=bool(unheard),
        )
    z, limit = NormalDist().inv_cdf(gate.confidence), -gate.tolerance - ROUNDING
    harmed = tuple(name for name, voice in voices.items() if voice.difference + z * voice.standard_error < limit)
    stands = 2 * len(harmed) <= len(voices)
    who = f": {', '.join(harmed)}" if harmed else ""
    reason = (
        f"{'promoted' if stands else 'refused'}: {len(harmed)} of {len(voices)} center(s) find the backbone worse than "
        f"the one before by more than {gate.tolerance:.4f} and their noise{who}{_silence(unheard)}"
    )
    weighed = _weigh(voices, gate)
    return _verdict(voices, weighed, promoted=stands, unheard=unheard, harmed=harmed, reason=reason)


def missing_voices(comparisons: Mapping[str, Comparison | None], expected: Collection[str]) -> tuple[str, ...]:
    """The expected centers that are away, where they are half or more of those that can judge; nobody otherwise."""
    found = {center: comparisons.get(center) for center in sorted(expected)}
    away = tuple(center for center, comparison in found.items() if comparison is None)
    heard = sum(comparison is not None and usable_voice(comparison, 1) is not None for comparison in found.values())
    return away if away and heard <= len(away) else ()


def usable_voice(comparison: Comparison, registered: int) -> Voice | None:
    """What a comparison says, with no more cases than its center registered with; None where it is no comparison.

    A difference lies in [-1, 1], a standard error in [0, 1], and both are numbers.
    """
    difference, error = comparison.difference, comparison.standard_error
    if difference is None or error is None or comparison.cases < 1:
        return None
    if not (abs(difference) <= 1 + ROUNDING and 0 <= error <= 1 + ROUNDING):
        return None
    return Voice(float(difference), float(error), max(1, min(comparison.cases, registered)))


@dataclass(frozen=True)
class _Weighed:
    """f, the weights, D and L."""

    tolerated: int
    weights: Mapping[str, float]
    mean: float
    lower_bound: float


def _weigh(voices: Mapping[str, Voice], gate: Gate) -> _Weighed:
    count = len(voices)
    tolerated = math.floor(gate.liars * count + ROUNDING)
    differences = _clipped({name: voice.difference for name, voice in voices.items()}, tolerated)
    errors = _clipped({name: voice.standard_error for name, voice in voices.items()}, tolerated)
    weights = capped_shares(believed_cases({name: voice.cases for name, voice in voices.items()}))
    mean = math.fsum(weights[name] * difference for name, difference in differences.items())
    error = (
        math.hypot(*(weights[name] * error for name, error in errors.items())) * (count / (count - tolerated)) ** 0.5
    )
    return _Weighed(tolerated, weights, mean, mean - NormalDist().inv_cdf(gate.confidence) * error)


def _clipped(values: Mapping[str, float], ends: int) -> dict[str, float]:
    """The values with so many at either end pulled to the next: of 1, 2, 5 with one at either end, 2, 2, 2."""
    ranked = sorted(values.values())
    low, high = ranked[ends], ranked[len(ranked) - 1 - ends]
    return {name: min(max(value, low), high) for name, value in values.items()}


def _hear(
    comparisons: Mapping[str, Comparison | None], earlier: Collection[str], registered: Mapping[str, int]
) -> tuple[dict[str, Voice], tuple[str, ...]]:
    """The voices, by name, and who has none."""
    found = {
        name: usable_voice(comparison, registered.get(name, 1))
        for name, comparison in sorted(comparisons.items())
        if comparison is not None
    }
    voices = {name: voice for name, voice in found.items() if voice is not None}
    return voices, tuple(sorted((set(earlier) | set(comparisons)) - set(voices)))


def _verdict(
    voices: Mapping[str, Voice],
    weighed: _Weighed,
    *,
    promoted: bool,
    unheard: tuple[str, ...],
    harmed: tuple[str, ...],
    reason: str,
    away: tuple[str, ...] = (),
    provisional: bool = False,
) -> Verdict:
    worst = min(voices, key=lambda name: voices[name].difference)
    return Verdict(
        promoted=promoted,
        worst=(worst, voices[worst].difference),
        mean=weighed.mean,
        lower_bound=weighed.lower_bound,
        differences={name: voice.difference for name, voice in voices.items()},
        unheard=unheard,
        reason=reason,
        provisional=provisional,
        standard_errors={name: voice.standard_error for name, voice in voices.items()},
        weights=weighed.weights,
        tolerated=weighed.tolerated,
        harmed=harmed,
        away=away,
    )


def _refuse_unasked(lacking: tuple[str, ...], unheard: tuple[str, ...], away: tuple[str, ...]) -> Verdict:
    """The verdict where too many earlier centers are away."""
    reason = f"refused: earlier center(s) {list(lacking)} are away, half or more of those that can judge; ask again"
    return Verdict(promoted=False, worst=None, mean=None, lower_bound=None, unheard=unheard, reason=reason, away=away)


def _unanimous_silence(guarded: set[str], unheard: tuple[str, ...]) -> Verdict:
    """The verdict where nobody was heard."""
    reason = (
        f"refused: none of {list(unheard)} could be heard; ask again when one is online"
        if guarded
        else "promoted: no earlier center that the candidate could harm"
    )
    return Verdict(promoted=not guarded, worst=None, mean=None, lower_bound=None, unheard=unheard, reason=reason)


def _reason(decisive: str, voices: Mapping[str, Voice], weighed: _Weighed, gate: Gate, unheard: tuple[str, ...]) -> str:
    """The decision in words: the first condition that fails, or the numbers with which both hold."""
    limit, difference = -gate.tolerance - ROUNDING, voices[decisive].difference
    harmed = [name for name, voice in voices.items() if voice.difference < limit]
    if difference < limit:
        others = f", and {len(harmed) - 1} more change(s) by less than is asked" if len(harmed) > 1 else ""
        return (
            f"refused: center '{decisive}' changes by {difference:+z.4f}, at least {-gate.tolerance:+z.4f} is asked"
            f"{others}{_silence(unheard)}"
        )
    level = f"{100 * gate.confidence:g} % lower bound of the mean over centers {weighed.lower_bound:+z.4f}"
    if weighed.lower_bound < limit:
        return f"refused: {level}, at least {-gate.tolerance:+z.4f} is asked{_silence(unheard)}"
    worst = min(voices, key=lambda name: voices[name].difference)
    aside = f"; not served, since it harms there: {', '.join(harmed)}" if harmed else ""
    return f"promoted: worst center '{worst}' {voices[worst].difference:+z.4f}, {level}{aside}{_silence(unheard)}"


def _silence(unheard: tuple[str, ...]) -> str:
    return f"; not heard: {', '.join(unheard)}" if unheard else ""
