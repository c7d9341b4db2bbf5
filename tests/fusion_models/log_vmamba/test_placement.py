"""Where global tokens stand: the layouts of the official code (arXiv 2408.14415), and what holds for all of them."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_models.log_vmamba.placement import PLACEMENTS, global_positions, local_positions

Runs = list[tuple[str, int]]


def runs(placement: str, local_count: int, global_count: int) -> Runs:
    """The sequence as runs of equal tokens: [("g", 2), ("l", 5), ...]."""
    at = set(global_positions(placement, local_count, global_count))
    letters = ("g" if t in at else "l" for t in range(local_count + global_count))
    return [(letter, len(list(group))) for letter, group in groupby(letters)]


@pytest.mark.parametrize(
    ("placement", "layout"),
    [
        ("head", "gggllllllllll"),
        ("middle", "lllllggglllll"),
        ("split", "glllllgglllll"),
        ("interleaved", "gllllgllllgll"),
    ],
)
def test_ten_locals_and_three_globals(placement: str, layout: str) -> None:
    assert "".join(letter * count for letter, count in runs(placement, 10, 3)) == layout


@pytest.mark.parametrize(("placement", "layout"), [("middle", "llgglll"), ("split", "gllglll")])
def test_of_an_odd_number_the_smaller_half_comes_first(placement: str, layout: str) -> None:
    assert "".join(letter * count for letter, count in runs(placement, 5, 2)) == layout


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((1024, 432), [("g", 91), ("l", 1), *[("g", 1), ("l", 3)] * 341]),
        ((4096, 432), [("g", 23), ("l", 10), *[("g", 1), ("l", 10)] * 408, ("g", 1), ("l", 6)]),
        ((16_384, 216), [*[("g", 1), ("l", 76)] * 215, ("g", 1), ("l", 44)]),
        ((960, 432), [("g", 113), ("l", 3), *[("g", 1), ("l", 3)] * 319]),
        ((32_768, 108), [*[("g", 1), ("l", 304)] * 107, ("g", 1), ("l", 240)]),
        ((4096, 216), [*[("g", 1), ("l", 19)] * 215, ("g", 1), ("l", 11)]),
        ((512, 128), [("g", 1), ("l", 4)] * 128),
    ],
)
def test_interleaved_layouts_of_the_papers_networks(counts: tuple[int, int], expected: Runs) -> None:
    assert runs("interleaved", *counts) == expected


@pytest.mark.parametrize(
    ("counts", "lead", "run"), [((3840, 432), 5, 9), ((15_360, 216), 3, 72), ((64, 40), 8, 2), ((960, 432), 113, 3)]
)
def test_surplus_globals_lead(counts: tuple[int, int], lead: int, run: int) -> None:
    found = runs("interleaved", *counts)
    assert found[0] == ("g", lead)
    assert max(count for letter, count in found if letter == "l") == run


@given(st.integers(1, 400), st.integers(1, 200))
def test_interleaved_is_the_smallest_head_before_every_period(local_count: int, global_count: int) -> None:
    """t is global where t < h or P divides t, h the smallest that makes the globals G."""
    total, period = local_count + global_count, -(-local_count // global_count) + 1

    def with_head(h: int) -> list[int]:
        return [t for t in range(total) if t < h or t % period == 0]

    expected = next(at for h in range(total) if len(at := with_head(h)) == global_count)
    assert global_positions("interleaved", local_count, global_count) == expected


@pytest.mark.parametrize("placement", PLACEMENTS)
@given(st.integers(1, 400), st.integers(1, 400))
def test_each_position_has_one_token(placement: str, local_count: int, global_count: int) -> None:
    total = local_count + global_count
    global_at = global_positions(placement, local_count, global_count)
    local_at = local_positions(global_at, total)
    assert (len(global_at), len(local_at)) == (global_count, local_count)
    assert sorted(global_at + local_at) == list(range(total))
    assert global_at == sorted(global_at)
    assert local_at == sorted(local_at)


def test_a_placement_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="one of head, middle, split, interleaved, found 'tail'"):
        global_positions("tail", 4, 2)


@pytest.mark.parametrize("counts", [(0, 3), (3, 0)])
def test_a_sequence_without_locals_or_globals_is_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"found {counts[0]} and {counts[1]}"):
        global_positions("head", *counts)
