"""Multi-Krum, on numbers."""

from strategies.robust.multi_krum import fewest, scores, weigh
from tests.support.updates_in_a_plane import compared

FIVE = [(0,), (1,), (2,), (3,), (100,)]
"""Of five with one liar, two nearest neighbours count and two updates are taken."""


def test_scores_are_the_squares_to_the_nearest_neighbours() -> None:
    """0: 1 + 4, 1: 1 + 1, 2: 1 + 1, 3: 1 + 4, 100: 97^2 + 98^2."""
    assert scores(compared(FIVE)).tolist() == [5, 2, 2, 5, 97**2 + 98**2]


def test_the_two_of_the_lowest_scores_are_taken_by_their_shares() -> None:
    assert weigh(compared(FIVE)).weights.tolist() == [0, 0.5, 0.5, 0, 0]


def test_the_rare_scanner_goes_with_the_liar() -> None:
    """Of seven, four are taken: not the honest one at 5, though the liar at -40 is farther."""
    found = weigh(compared([(0,), (0.1,), (0.2,), (0.3,), (0.4,), (5,), (-40,)])).weights
    assert found[5] == found[6] == 0


def test_ties_go_to_the_first() -> None:
    assert weigh(compared([(1,)] * 5)).weights.tolist() == [0.5, 0.5, 0, 0, 0]


def test_how_many_it_takes() -> None:
    assert [fewest(liars) for liars in (1, 2)] == [5, 7]
