"""Nothing that leaves depends on a figure that is withheld, so that no arithmetic on what left can give it back.

Random cohorts, endpoints and settings of a center: every figure and count that is withheld is given another value, the
figures over endpoints are made anew, and what leaves must be the same to the bit. A figure that followed from two
others would change one of them.
"""

import math
from dataclasses import dataclass, replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from client.outgoing.withholding import withhold
from protocol.messages.reply import Reply
from protocol.messages.scores import Score
from protocol.modalities import ModalitySetting
from protocol.tasks import metric_named

SHARES = st.integers(0, 20).map(lambda step: step / 20)
MEANS, COUNTS = ("concordance", "uno", "brier"), ("pairs", "events")


@dataclass(frozen=True)
class Endpoint:
    """What a center knows of one endpoint: how many cases, events among them, pairs, and the three figures."""

    known: int
    events: int
    pairs: int
    figures: tuple[float, float, float]


endpoints = st.builds(
    Endpoint,
    known=st.integers(0, 12),
    events=st.integers(0, 6),
    pairs=st.integers(1, 40),
    figures=st.tuples(SHARES, SHARES, SHARES),
)
cohorts = st.lists(endpoints, min_size=1, max_size=4)


def score_of(cohort: list[Endpoint], cases: int) -> Score:
    """The score that a center computes: every endpoint's figures, and those over all of them."""
    values: dict[str, float | None] = {}
    undefined, rarest = dict[str, int](), dict[str, int]()
    for number, found in enumerate(cohort):
        known = min(found.known, cases)
        named = dict(zip(MEANS, found.figures, strict=True)) | {"pairs": found.pairs, "events": found.events}
        for name, value in named.items():
            values[f"{name}/e{number}"] = value
            undefined[f"{name}/e{number}"] = cases - known
            rarest[f"{name}/e{number}"] = min(found.events, known - found.events) if known >= found.events else 0
    for name in (*MEANS, *COUNTS):
        values[name] = over_all(values, name, len(cohort))
        undefined[name], rarest[name] = 0, max(rarest[f"{name}/e{number}"] for number in range(len(cohort)))
    return Score(cases, values, undefined, rarest)


def over_all(values: dict[str, float | None], name: str, count: int) -> float:
    """The sum of a count; the mean of a figure, weighed by pairs where it is of pairs."""
    of = [values[f"{name}/e{number}"] or 0.0 for number in range(count)]
    if name in COUNTS:
        return math.fsum(of)
    weighed = metric_named(name).weight
    weights = [(values[f"pairs/e{number}"] or 0.0) if weighed else 1.0 for number in range(count)]
    return math.fsum(weight * value for weight, value in zip(weights, of, strict=True)) / math.fsum(weights)


def changed(cohort: list[Endpoint], other: list[Endpoint], held: tuple[str, ...]) -> list[Endpoint]:
    """The same cohort with the values of another where they are held back; the cases behind them stay."""
    made = []
    for number, (found, new) in enumerate(zip(cohort, other, strict=True)):
        figures = [
            new.figures[place] if f"{name}/e{number}" in held else found.figures[place]
            for place, name in enumerate(MEANS)
        ]
        pairs = new.pairs if f"pairs/e{number}" in held else found.pairs
        made.append(replace(found, pairs=pairs, figures=(figures[0], figures[1], figures[2])))
    return made


@given(cohort=cohorts, others=st.lists(endpoints, min_size=4, max_size=4), cases=st.integers(1, 14), data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_leaves_of_endpoints_is_the_same_whatever_the_withheld_figures_are(
    cohort: list[Endpoint], others: list[Endpoint], cases: int, data: st.DataObject
) -> None:
    minimum = data.draw(st.integers(1, 8))
    setting: ModalitySetting = data.draw(st.sampled_from(["ct", "pet", "ct+pet"]))
    score = score_of(cohort, cases)
    leaving, _ = withhold(Reply("a", "evaluate", scores={setting: score}), minimum, "survival")
    held = leaving.suppressed.scores.get(setting, ())
    assume(held)
    second = score_of(changed(cohort, others[: len(cohort)], held), cases)
    again, _ = withhold(Reply("a", "evaluate", scores={setting: second}), minimum, "survival")
    assert again == leaving


@given(
    dice=st.lists(SHARES, min_size=2, max_size=2),
    hd95=st.lists(SHARES, min_size=2, max_size=2),
    cases=st.integers(1, 12),
    undefined=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    minimum=st.integers(1, 8),
)
@settings(max_examples=100, deadline=None)
def test_what_leaves_of_cases_is_the_same_whatever_the_withheld_figures_are(
    dice: list[float], hd95: list[float], cases: int, undefined: tuple[int, int], minimum: int
) -> None:
    """A withheld figure leaves its name alone: neither a value nor, of a whole setting, its number of cases."""
    left = dict(zip(("dice", "hd95_mm"), (min(count, cases - 1) for count in undefined), strict=True))

    def leaves(place: dict[str, int]) -> Reply:
        values = {"dice": dice[place.get("dice", 0)], "hd95_mm": hd95[place.get("hd95_mm", 0)]}
        scores: dict[ModalitySetting, Score] = {"ct": Score(cases, values, left)}
        return withhold(Reply("a", "evaluate", scores=scores), minimum, "segmentation")[0]

    held = leaves({}).suppressed.scores.get("ct", ())
    assert leaves(dict.fromkeys(held, 1)) == leaves({})
    assert ("ct" in leaves({}).scores) == (cases >= minimum)
    assert all(leaves({}).scores["ct"].value(name) is None for name in held if cases >= minimum)
