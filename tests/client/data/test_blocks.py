"""Blocks: whatever comes, goes or changes, no combination of figures is of fewer patients than a block has."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.blocks import PART, Block, Unit, arrange, keep_whole, usable
from client.data.outcomes import outcomes_of_one

TEST, TRAIN = PART + "test", PART + "train"


def units(**kinds: str) -> dict[str, Unit]:
    """Cases of patients of their own: name -> qualities, joined by "+"."""
    return {name: Unit(name, frozenset({TEST, *kind.split("+")})) for name, kind in kinds.items()}


def named(count: int, kind: str = "ct", start: int = 0) -> dict[str, Unit]:
    return units(**{f"p{number:02d}": kind for number in range(start, start + count)})


def sizes(blocks: Sequence[Block]) -> list[int]:
    return [len(block.members) for block in blocks]


def test_cases_that_come_together_fill_blocks_and_the_last_takes_the_rest() -> None:
    assert sizes(arrange((), named(13), 5)) == [5, 8]
    assert sizes(arrange((), named(4), 5)) == []


def test_new_cases_wait_until_they_are_enough_and_never_join_a_block() -> None:
    """Six after five would tell of the sixth."""
    first = arrange((), named(5), 5)
    assert arrange(first, named(6), 5) == first
    assert sizes(arrange(first, named(10), 5)) == [5, 5]


def test_cases_of_other_qualities_have_blocks_of_their_own() -> None:
    """CT over six minus CT and PET over five would be the one without PET."""
    found = arrange((), named(5, "ct+pet") | named(1, "ct", start=5), 5)
    assert [set(block.members) for block in found] == [{f"p0{number}" for number in range(5)}]


def test_those_left_over_enter_together_where_they_share_a_modality() -> None:
    found = arrange((), named(3, "ct+pet") | named(2, "ct", start=3), 5)
    assert sizes(found) == [5]
    assert sizes(arrange((), named(3, "pet") | named(2, "ct", start=3), 5)) == []


def test_a_block_is_of_patients_whose_cases_alike_stay_together() -> None:
    twice = {f"{name}-{visit}": unit for name, unit in named(4).items() for visit in (1, 2)}
    assert arrange((), twice, 5) == ()
    (block,) = arrange((), twice | named(1, start=9), 5)
    assert (block.patients, len(block.members)) == (5, 9)


def test_a_block_whose_case_is_away_enters_nothing_until_it_is_back() -> None:
    (block,) = arrange((), named(5), 5)
    everybody = set(block.members)
    assert keep_whole((block,), everybody - {"p03"}) == frozenset()
    assert arrange((block,), {name: unit for name, unit in named(9).items() if name != "p03"}, 5) == (block,)
    assert keep_whole((block,), everybody) == everybody


def test_blocks_that_are_too_small_for_a_higher_minimum_join_whole() -> None:
    small = arrange((), named(6), 3)
    assert sizes(small) == [3, 3]
    assert usable(small, 5) == ()
    assert sizes(arrange(small, named(6), 5)) == [6]


def test_a_lower_minimum_takes_no_block_apart() -> None:
    first = arrange((), named(5), 5)
    assert sizes(arrange(first, named(7), 1)) == [5, 1, 1]


def classes(**of_cases: str) -> dict[str, Unit]:
    """Cases of one kind with the class that each has."""
    return {name: Unit(name, frozenset({TEST, "ct"}), frozenset({found})) for name, found in of_cases.items()}


@pytest.mark.parametrize(
    ("rare", "others", "expected"),
    [(6, 9, [5, 10]), (2, 8, [5, 5]), (4, 7, [5, 6]), (1, 12, [5, 8]), (1, 5, [6]), (1, 4, [5]), (0, 10, [5, 5])],
)
def test_no_block_has_one_patient_of_an_outcome_where_there_are_more(
    rare: int, others: int, expected: list[int]
) -> None:
    """Nobody waits longer for it; a single patient of an outcome keeps one block from telling outcomes apart."""
    there = classes(
        **{f"r{number}": "rare" for number in range(rare)}, **{f"o{number}": "other" for number in range(others)}
    )
    blocks = arrange((), there, 5)
    assert sorted(sizes(blocks)) == expected
    counts = [sum(name.startswith("r") for name in block.members) for block in blocks]
    assert counts.count(1) == (rare == 1)


MINIMUM = 3
KINDS = ("ct", "ct+pet", "ct+gtv", "pet+gtv", "ct+pet+gtv")
WANTED = [frozenset(kinds) for kinds in product(("ct", "pet"), ("gtv", ""))]
PATIENTS = 14
days = st.lists(
    st.dictionaries(
        st.integers(0, PATIENTS - 1),
        st.tuples(st.sampled_from(KINDS), st.sampled_from([TEST, TRAIN])),
        max_size=PATIENTS,
    ),
    min_size=1,
    max_size=5,
)


def cohorts_of(blocks: Sequence[Block], there: Mapping[str, Unit]) -> list[frozenset[str]]:
    """Every cohort that a figure of a day can stand on: one for each part and wish."""
    able = (
        {name for name, unit in there.items() if {part, *(wish - {""})} <= unit.qualities}
        for part in (TEST, TRAIN)
        for wish in WANTED
    )
    return [keep_whole(usable(blocks, MINIMUM), names) for names in able]


@given(days)
@settings(max_examples=150, deadline=None)
def test_no_combination_of_released_cohorts_is_of_fewer_patients_than_a_block(
    history: list[dict[int, tuple[str, str]]],
) -> None:
    """Cases come, go, change abilities and parts from day to day; all cohorts of all days are released.

    Two cases that are always in the same cohorts cannot be told apart by any linear combination; whoever is in some
    cohort shares that with MINIMUM - 1 others or more, so that every combination which is not zero is of MINIMUM.
    """
    blocks: tuple[Block, ...] = ()
    released: list[frozenset[str]] = []
    for day in history:
        there = {
            f"p{number:02d}": Unit(f"p{number:02d}", frozenset({part, *kind.split("+")}))
            for number, (kind, part) in day.items()
        }
        blocks = arrange(blocks, there, MINIMUM)
        released += cohorts_of(blocks, there)
    rows = np.array([[f"p{number:02d}" in cohort for cohort in released] for number in range(PATIENTS)])
    in_some = rows[rows.any(axis=1)]
    _, counts = np.unique(in_some, axis=0, return_counts=True)
    assert (counts >= MINIMUM).all()


@given(days)
@settings(max_examples=50, deadline=None)
def test_blocks_only_grow_and_no_case_is_in_two(history: list[dict[int, tuple[str, str]]]) -> None:
    blocks: tuple[Block, ...] = ()
    for day in history:
        there = {f"p{number}": Unit(f"p{number}", frozenset({part, kind})) for number, (kind, part) in day.items()}
        before, blocks = blocks, arrange(blocks, there, MINIMUM)
        assert blocks[: len(before)] == before
        members = [case for block in blocks for case in block.members]
        assert len(members) == len(set(members))


patients = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(["", "local", "distant", "local+distant"]), st.integers(0, 2)),
    min_size=3,
    max_size=PATIENTS,
)


@given(patients)
@settings(max_examples=50, deadline=None)
def test_no_combination_of_figures_that_tell_outcomes_apart_is_of_one_patient(
    found: list[tuple[str, str, int]],
) -> None:
    """Cases come on three days; of every cohort of every day the outcomes are told that its blocks can hide.

    Every figure is a row, summed over the cases of an outcome; without the column of one patient the rank stays.
    """
    blocks: tuple[Block, ...] = ()
    there: dict[str, Unit] = {}
    rows: list[set[str]] = []
    for day in range(3):
        there |= {
            f"p{number:02d}": Unit(
                f"p{number:02d}", frozenset({TEST, *kind.split("+")}), frozenset(had.split("+")) - {""}
            )
            for number, (kind, had, came) in enumerate(found)
            if came == day
        }
        blocks = arrange(blocks, there, MINIMUM)
        told = {
            case: there[case].outcomes
            - outcomes_of_one({name: there[name].outcomes for name in block.members}, block.members)
            for block in usable(blocks, MINIMUM)
            for case in block.members
        }
        for cohort in cohorts_of(blocks, there):
            rows += [{name for name in cohort if outcome in told[name]} for outcome in ("local", "distant")]
    names = sorted(there)
    matrix = np.array([[name in row for name in names] for row in rows], dtype=float)
    whole = np.linalg.matrix_rank(matrix)
    assert all(np.linalg.matrix_rank(np.delete(matrix, place, axis=1)) == whole for place in range(len(names)))
