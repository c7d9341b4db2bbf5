"""The no-harm gate on differences small enough to check by hand, and against voices that lie."""

from collections.abc import Mapping
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages.scores import Comparison
from protocol.messages.settings import Gate
from strategies.continual.gate import (
    Verdict,
    Voice,
    decide,
    decide_backbone,
    missing_voices,
    usable_voice,
)

GATE = Gate(tolerance=0.01, confidence=0.9)
STRICT = Gate(tolerance=0.01, confidence=0.9, liars=0)
Z = NormalDist().inv_cdf(0.9)
CANNOT_JUDGE = Comparison(cases=0, difference=None)
CASES = 10
HUGE = 10**9


def said(difference: float, error: float = 0.0, cases: int = CASES) -> Comparison:
    return Comparison(cases, difference, error)


def judge(
    comparisons: Mapping[str, Comparison | None],
    gate: Gate = GATE,
    earlier: "set[str] | None" = None,
    registered: Mapping[str, int] | None = None,
) -> Verdict:
    """The verdict, with all centers earlier ones, and each registered with ten cases."""
    known = dict.fromkeys(comparisons, CASES) if registered is None else registered
    return decide(comparisons, gate, earlier=set(comparisons) if earlier is None else earlier, registered=known)


def test_a_candidate_that_helps_everyone_is_promoted() -> None:
    verdict = judge({"mda": said(0.02), "hgj": said(0.04)})
    assert (verdict.promoted, verdict.provisional, verdict.unheard, verdict.harmed) == (True, False, (), ())
    assert verdict.worst == ("mda", 0.02)
    assert [verdict.mean, verdict.lower_bound] == pytest.approx([0.03, 0.03])
    assert verdict.differences == {"hgj": 0.04, "mda": 0.02}
    assert verdict.reason.startswith("promoted: worst center 'mda' +0.0200, 90 % lower bound of the mean")


def test_one_of_two_that_is_harmed_refuses_for_both() -> None:
    verdict = judge({"a": said(0.5), "hmr": said(-0.02)})
    assert (verdict.promoted, verdict.tolerated, verdict.harmed) == (False, 0, ("hmr",))
    assert verdict.reason == "refused: center 'hmr' changes by -0.0200, at least -0.0100 is asked"


@pytest.mark.parametrize("centers", [3, 4, 5])
def test_one_of_several_that_says_it_is_harmed_is_left_out_and_does_not_decide(centers: int) -> None:
    """The gains of all others are 0.05; f is 1, and the liar counts as the worst of the others."""
    verdict = judge({**{f"c{j}": said(0.05) for j in range(centers - 1)}, "liar": said(-1.0, 1.0, HUGE)})
    assert (verdict.promoted, verdict.tolerated, verdict.harmed) == (True, 1, ("liar",))
    assert verdict.mean == pytest.approx(0.05)
    assert verdict.worst == ("liar", -1.0)
    assert "not served, since it harms there: liar" in verdict.reason


@pytest.mark.parametrize("lies", [said(1.0), said(1.0, 0.0, HUGE), said(1.0, 1.0)])
@pytest.mark.parametrize("centers", [2, 3, 4, 6])
def test_praise_promotes_nothing_that_harms_the_others(centers: int, lies: Comparison) -> None:
    verdict = judge({**{f"c{j}": said(-0.02) for j in range(centers - 1)}, "liar": lies})
    assert verdict.promoted is False
    assert len(verdict.harmed) == centers - 1


def test_a_study_may_let_every_harmed_center_refuse_for_all() -> None:
    verdict = judge({**{f"c{j}": said(0.05) for j in range(5)}, "hmr": said(-0.02)}, STRICT)
    assert (verdict.promoted, verdict.tolerated) == (False, 0)


@pytest.mark.parametrize(("difference", "promoted"), [(-0.01, True), (0.79 - 0.80, True), (-0.0100001, False)])
def test_the_tolerance_itself_is_allowed(difference: float, *, promoted: bool) -> None:
    """0.79 - 0.80 is -0.010000000000000009 in binary and still passes."""
    assert judge({"a": said(difference), "b": said(0.1)}).promoted is promoted


@pytest.mark.parametrize(("error", "promoted"), [(0.01 / Z - 1e-9, True), (0.0079, False)])
def test_the_bound_alone_may_reach_the_tolerance(error: float, *, promoted: bool) -> None:
    """No change on average; z = 1.2816 standard errors below it lie -0.01."""
    verdict = judge({"a": said(0.0, error)})
    assert verdict.promoted is promoted
    assert "lower bound" in verdict.reason
    assert verdict.reason.startswith("promoted") is promoted


def test_the_bound_is_the_weighed_mean_less_its_standard_error() -> None:
    """Weights 3/8, 3/8, 2/8 of registered cases; mean 0.02 x 6/8 + 0.06 x 2/8; errors 0.03 each, times 0.586."""
    comparisons = {"a": said(0.02, 0.03), "b": said(0.02, 0.03), "c": said(0.06, 0.03)}
    verdict = judge(comparisons, STRICT, registered={"a": 9, "b": 9, "c": 6})
    assert verdict.mean == pytest.approx(0.03)
    assert verdict.lower_bound == pytest.approx(0.03 - Z * 0.03 * (2 * 0.375**2 + 0.25**2) ** 0.5)


def test_more_centers_narrow_the_bound() -> None:
    """With m equal centers the standard error of the mean falls as 1 / sqrt(m)."""
    bounds = [judge({f"c{j}": said(0.0, 0.01) for j in range(m)}, STRICT).lower_bound for m in (1, 4, 16)]
    assert bounds == pytest.approx([-Z * 0.01, -Z * 0.005, -Z * 0.0025])


@pytest.mark.parametrize("claimed", [0.0, 0.01, 1.0])
def test_one_voice_that_claims_to_know_nothing_or_everything_moves_the_bound_nowhere(claimed: float) -> None:
    """It counts as the next of the others, and the bound stays that of three centers."""
    honest = {f"c{j}": said(0.0, 0.01) for j in range(3)}
    assert judge({**honest, "liar": said(0.0, claimed)}).lower_bound == pytest.approx(-Z * 0.01 / 3**0.5)


def test_praise_counts_as_what_the_best_of_the_others_says() -> None:
    """Four equal weights: (0 + 0 + 0 + 0) / 4 and (0 + 0 + 0.3 + 0.3) / 4, though the last says 1."""
    assert judge({"a": said(0), "b": said(0), "c": said(0), "d": said(1)}).mean == 0
    assert judge({"a": said(0), "b": said(0), "c": said(0.3), "d": said(1)}).mean == pytest.approx(0.15)


@pytest.mark.parametrize("honest", [2, 3, 4, 6])
@pytest.mark.parametrize("error", [0.03, 0.01])
def test_praise_promotes_nothing_that_the_others_refuse_for_their_noise(honest: int, error: float) -> None:
    """A loss of 0.009 each is within the tolerance, but not with its noise; of seven the gate trusts five."""
    voices = {f"c{j}": said(-0.009, error) for j in range(honest)}
    strict = judge(voices, STRICT)
    praised = judge({**voices, "liar": said(1.0)})
    assert (strict.promoted, praised.promoted) == (False, False)
    assert praised.lower_bound is not None
    assert strict.lower_bound is not None
    assert praised.lower_bound <= strict.lower_bound + 1e-12


def test_two_of_a_hundred_promote_nothing_whatever_they_registered_with() -> None:
    honest = {f"c{j}": said(-0.3 if j < 30 else -0.009, 0.03, 20) for j in range(98)}
    liars = {"x": said(1.0, 0.0, HUGE), "y": said(1.0, 0.0, HUGE)}
    for claimed in (20, 10**6):
        registered = {**dict.fromkeys(honest, 20), **dict.fromkeys(liars, claimed)}
        assert judge({**honest, **liars}, registered=registered).promoted is False


def test_a_center_counts_with_the_cases_that_it_registered_with_and_with_half_of_all_at_most() -> None:
    verdict = judge(
        {"a": said(0.0, cases=HUGE), "b": said(0.1), "c": said(0.1)}, STRICT, registered={"a": 40, "b": 10, "c": 10}
    )
    assert verdict.weights == {"a": 0.5, "b": 0.25, "c": 0.25}
    verdict = judge({"a": said(0.0, cases=HUGE), "b": said(0.1)}, STRICT, registered={"a": 5, "b": 5})
    assert verdict.weights == {"a": 0.5, "b": 0.5}


def test_two_of_a_hundred_that_register_with_a_million_cases_weigh_as_four_others_each() -> None:
    """98 voices of 50 cases, two of 1,000,000, believed as 200: 400 of 5,300."""
    names = [f"h{i:02d}" for i in range(98)]
    said_by = {**{name: said(0.0, cases=50) for name in names}, "x": said(1, cases=HUGE), "y": said(1, cases=HUGE)}
    weights = judge(said_by, registered={**dict.fromkeys(names, 50), "x": 10**6, "y": 10**6}).weights
    assert weights["x"] + weights["y"] == pytest.approx(400 / 5300)


def test_one_case_has_no_scatter() -> None:
    verdict = judge({"hmr": said(-0.004, 0.0, 1)})
    assert verdict.promoted is True
    assert verdict.lower_bound == pytest.approx(-0.004)


def test_symmetric_noise_of_few_cases_is_refused_and_of_many_promoted() -> None:
    """Standard error 0.1 / sqrt(n): the bound is at -1.28 x 0.05 for 4 cases, -1.28 x 0.0025 for 1600."""
    few, many = (judge({"a": said(0.0, 0.1 / cases**0.5, cases)}) for cases in (4, 1600))
    assert (few.promoted, many.promoted) == (False, True)


def test_an_earlier_center_that_is_away_makes_the_promotion_provisional() -> None:
    verdict = judge({"a": said(0.0), "b": said(0.0), "chuv": None})
    assert (verdict.promoted, verdict.provisional, verdict.unheard) == (True, True, ("chuv",))
    assert verdict.away == ("chuv",)
    assert verdict.reason.endswith("; not heard: chuv")


def test_an_earlier_center_that_cannot_judge_follows() -> None:
    verdict = judge({"a": said(0.0), "few": CANNOT_JUDGE})
    assert (verdict.promoted, verdict.provisional, verdict.unheard, verdict.away) == (True, True, ("few",), ())


@pytest.mark.parametrize("heard", [{}, {"liar": said(1.0)}])
def test_praise_promotes_nothing_while_most_earlier_centers_are_away(heard: "dict[str, Comparison]") -> None:
    """One of two or none of two heard: ask again."""
    verdict = judge({"new": said(1.0), **heard}, earlier={"liar", "old", "older"} - ({"older"} if heard else set()))
    assert verdict.promoted is False
    assert "ask again" in verdict.reason


def test_who_is_gone_for_good_is_not_waited_for_and_not_served() -> None:
    verdict = decide({"a": said(0.0), "left": None}, GATE, earlier={"a", "left"}, registered={}, gone={"left"})
    assert (verdict.promoted, verdict.away) == (True, ("left",))


def test_a_newcomer_that_is_not_heard_leaves_the_promotion_final() -> None:
    verdict = judge({"old": said(0.1), "new": None}, earlier={"old"})
    assert (verdict.promoted, verdict.provisional, verdict.unheard, verdict.away) == (True, False, ("new",), ())


def test_a_refusal_is_never_provisional() -> None:
    verdict = judge({"a": said(-0.5), "few": CANNOT_JUDGE})
    assert (verdict.promoted, verdict.provisional) == (False, False)


def test_with_nobody_heard_nothing_speaks_for_the_candidate() -> None:
    verdict = judge({"chuv": CANNOT_JUDGE, "chum": CANNOT_JUDGE})
    assert (verdict.promoted, verdict.worst, verdict.mean, verdict.lower_bound) == (False, None, None, None)
    assert verdict.reason.startswith("refused: none of ['chum', 'chuv'] could be heard")


@pytest.mark.parametrize("comparisons", [{}, {"first": CANNOT_JUDGE}])
def test_without_an_earlier_center_nobody_can_be_harmed(comparisons: "dict[str, Comparison]") -> None:
    verdict = judge(comparisons, earlier=set())
    assert (verdict.promoted, verdict.provisional, verdict.unheard) == (True, False, tuple(comparisons))


def test_the_first_stage_is_judged_where_its_own_centers_are_heard() -> None:
    assert judge({"first": said(-0.2)}, earlier=set()).promoted is False


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison(2, None, 0.1),
        Comparison(2, 0.1, None),
        Comparison(0, 0.1, 0.1),
        Comparison(-5, 0.1, 0.1),
        Comparison(2, float("nan"), 0.1),
        Comparison(2, 0.1, float("nan")),
        Comparison(2, 1.5, 0.1),
        Comparison(2, 0.1, -0.1),
        Comparison(2, 0.1, 1e308),
        Comparison(2, float("inf"), 0.0),
    ],
)
def test_an_answer_that_is_no_comparison_is_not_heard(comparison: Comparison) -> None:
    assert usable_voice(comparison, CASES) is None
    assert judge({"odd": comparison, "a": said(0.0)}).unheard == ("odd",)


def test_a_voice_has_no_more_cases_than_its_center() -> None:
    assert usable_voice(said(0.1, 0.2, 10**30), 7) == Voice(0.1, 0.2, 7)
    assert usable_voice(said(0.1, 0.2, 3), 7) == Voice(0.1, 0.2, 3)
    assert usable_voice(said(0.1), -1) == Voice(0.1, 0.0, 1)


def test_equal_centers_name_the_first() -> None:
    assert judge({"b": said(0.0), "a": said(0.0)}).worst == ("a", 0.0)


def test_half_of_those_that_can_judge_away_is_too_many() -> None:
    assert missing_voices({"a": said(0.0), "b": None}, {"a", "b"}) == ("b",)
    assert missing_voices({"a": said(0.0), "b": None, "c": said(0.0)}, {"a", "b", "c"}) == ()
    assert missing_voices({"a": CANNOT_JUDGE, "b": None}, {"a", "b"}) == ("b",)
    assert missing_voices({"a": CANNOT_JUDGE}, {"a"}) == ()
    assert missing_voices({}, {"a"}) == ("a",)


def test_a_backbone_stands_unless_most_find_it_worse_beyond_their_noise() -> None:
    worse, noisy, better = said(-0.1, 0.01), said(-0.1, 0.09), said(0.3, 0.1)

    def stands(*told: Comparison | None) -> bool:
        return decide_backbone({f"c{j}": voice for j, voice in enumerate(told)}, GATE, registered={}).promoted

    assert [stands(better), stands(noisy), stands(worse)] == [True, True, False]
    assert [stands(worse, better), stands(worse, worse), stands(worse, worse, better)] == [True, False, False]
    assert stands(said(-1.0, 0.0, HUGE), better, better)
    assert not stands(said(1.0, 0.0, HUGE), worse, worse)
    assert [stands(), stands(CANNOT_JUDGE), stands(None, worse)] == [True, True, False]


def test_a_backbone_that_nobody_can_judge_stands_provisionally() -> None:
    verdict = decide_backbone({"a": CANNOT_JUDGE}, GATE, registered={})
    assert (verdict.promoted, verdict.provisional, verdict.unheard) == (True, True, ("a",))


DIFFERENCES = st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=7)
LIES = st.builds(Comparison, st.integers(1, 10**30), st.floats(-1, 1), st.floats(0, 1))


@given(DIFFERENCES, st.floats(0, 0.1))
def test_helping_more_never_turns_a_promotion_down(differences: "list[float]", gain: float) -> None:
    before, after = (judge({f"c{j}": said(d + extra) for j, d in enumerate(differences)}) for extra in (0.0, gain))
    assert after.promoted >= before.promoted


@given(st.integers(3, 9), st.data())
def test_a_third_of_liars_decides_nothing_where_the_others_agree(centers: int, data: st.DataObject) -> None:
    """All others gain 0.05, or all lose 0.05, each with a standard error of 0.01."""
    liars = {f"x{j}": data.draw(LIES) for j in range(centers // 3)}
    for difference in (0.05, -0.05):
        honest = {f"c{j}": said(difference, 0.01) for j in range(centers - centers // 3)}
        assert judge({**honest, **liars}).promoted is (difference > 0)


@given(st.integers(3, 9), st.data())
def test_the_mean_stays_within_what_the_others_say(centers: int, data: st.DataObject) -> None:
    honest = [data.draw(st.floats(-0.2, 0.2)) for _ in range(centers - centers // 3)]
    told = {f"c{j}": said(d, 0.01) for j, d in enumerate(honest)}
    verdict = judge({**told, **{f"x{j}": data.draw(LIES) for j in range(centers // 3)}})
    assert verdict.mean is not None
    assert verdict.lower_bound is not None
    assert min(honest) - 1e-12 <= verdict.mean <= max(honest) + 1e-12
    assert verdict.mean - verdict.lower_bound <= Z * 0.01 + 1e-12


@given(DIFFERENCES)
def test_where_no_center_is_harmed_no_center_is_left_out(differences: "list[float]") -> None:
    verdict = judge({f"c{j}": said(abs(d)) for j, d in enumerate(differences)})
    assert (verdict.promoted, verdict.harmed) == (True, ())
