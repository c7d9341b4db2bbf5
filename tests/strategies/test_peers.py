"""How far one answer may stand out among others."""

from hypothesis import given
from hypothesis import strategies as st

from strategies.peers import scales_by_peers, upper_median

SIZES = st.floats(0, 1e30)


def test_of_two_medians_the_larger_counts() -> None:
    assert [upper_median([3, 1, 2]), upper_median([4, 1]), upper_median([5])] == [2, 4, 5]


def test_what_is_ten_times_the_others_is_scaled_to_twice() -> None:
    assert scales_by_peers({"a": 1, "b": 1, "liar": 10}, {}, 2) == {"a": 1, "b": 1, "liar": 0.2}


def test_one_peer_alone_cannot_say_who_is_wrong() -> None:
    assert scales_by_peers({"a": 1, "b": 1e9}, {}, 2) == {"a": 1, "b": 1}


def test_a_center_that_sends_next_to_nothing_shrinks_nobody() -> None:
    assert scales_by_peers({"a": 1, "b": 1.5, "liar": 1e-30}, {}, 2) == {"a": 1, "b": 1, "liar": 1}


def test_earlier_answers_are_peers_and_nobody_is_its_own() -> None:
    """The liar's own earlier 100 is no peer of its 100 now."""
    assert scales_by_peers({"liar": 100}, {"a": 1, "b": 1, "liar": 100}, 2) == {"liar": 0.02}
    assert scales_by_peers({"liar": 100}, {"a": 1, "liar": 100}, 2) == {"liar": 1}


@given(st.lists(st.floats(1e-30, 1e30), min_size=3, max_size=7), st.floats(1, 100), SIZES)
def test_one_liar_among_honest_centers_stays_within_factor_times_their_largest(
    honest: "list[float]", factor: float, lie: float
) -> None:
    sizes = {str(place): size for place, size in enumerate(honest)} | {"liar": lie}
    scales = scales_by_peers(sizes, {}, factor)
    assert all(0 <= scale <= 1 for scale in scales.values())
    assert scales["liar"] * lie <= factor * max(honest) * (1 + 1e-9)


@given(st.lists(st.floats(1, 2), min_size=2, max_size=7), SIZES)
def test_honest_centers_that_differ_by_less_than_the_factor_are_never_scaled(honest: "list[float]", lie: float) -> None:
    sizes = {str(place): size for place, size in enumerate(honest)} | {"liar": lie}
    scales = scales_by_peers(sizes, {}, 2)
    assert all(scales[name] == 1 for name in sizes if name != "liar")


def test_who_saw_nothing_is_no_peer() -> None:
    """Two centers without PET have no gradient of PET's modules, and so no opinion of the third's."""
    assert scales_by_peers({"a": 0.0, "b": 0.0, "c": 5.0}, {}, 2) == {"a": 1, "b": 1, "c": 1}
