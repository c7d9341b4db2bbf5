"""The table of local terms: what it says, and what a study may weigh."""

import math

import numpy as np
import pytest

from strategies.continual.terms import (
    OF_ONE_STAGE,
    REMEMBERED,
    RETURNED,
    SERVED,
    TERMS,
    Remembers,
    check_weights,
    terms_with_weight,
)


def test_every_term_has_a_weight_and_the_switch_is_one() -> None:
    assert check_weights({}) == dict.fromkeys(TERMS, 0)
    assert check_weights({"scaffold": True, "ewc": 2})["scaffold"] is True
    assert check_weights({"ewc": 2})["ewc"] == 2.0
    assert list(check_weights({"ditto": 1, "proximal": 1})) == list(TERMS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fedmagic": 1}, r"'fedmagic' is no local term; known: \[.*'proximal', "),
        ({"ewc": -1}, "ewc: Input should be greater than or equal to 0"),
        ({"ewc": math.nan}, "ewc: Input should be a finite number"),
        ({"scaffold": 0.5}, "scaffold: Input should be a valid boolean"),
        ({"ewc": -1, "fedmagic": 1}, "'fedmagic' is no local term.*; ewc: Input"),
    ],
)
def test_what_cannot_be_weighed_is_refused_whole(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_weights(given)


def test_only_terms_that_weigh_anything_are_asked_for() -> None:
    assert list(terms_with_weight({"ewc": 0.5, "scaffold": True, "proximal": 0})) == [TERMS["scaffold"], TERMS["ewc"]]


def test_what_travels_for_the_terms() -> None:
    assert {"@control", "@own"} <= set(RETURNED)
    assert "@own" in SERVED
    assert "@control" not in SERVED
    assert {"@control", "@shared-control"} <= set(OF_ONE_STAGE)
    assert not {"@own", "@gram", "@fisher"} & set(OF_ONE_STAGE)
    assert TERMS["scaffold"].memory_endings == ("@shared-control",)
    assert TERMS["gram_anchor"].memory_endings == ("@gram", "@gram-mass")


@pytest.mark.parametrize("column", REMEMBERED, ids=lambda column: column.name)
def test_what_is_observed_is_remembered_under_its_name(column: Remembers) -> None:
    """One center: its row of a sketch, or its diagonals, are all there is; before them there was nothing."""
    key, seen = f"m@{column.name}", np.array([[3, 4]], np.float32)
    merged = column.merge({}, [(5, {key: seen})], 0.5, 2)
    assert set(merged) == {key}
    np.testing.assert_allclose(merged[key], seen)


def test_terms_that_remember_one_statistic_merge_it_alike() -> None:
    assert len({column.name for column in REMEMBERED}) == len(set(REMEMBERED))
    assert {"gram", "fisher"} == {column.name for column in REMEMBERED}


@pytest.mark.parametrize("name", sorted(TERMS))
def test_a_row_does_not_contradict_itself(name: str) -> None:
    """Nothing can be made of, or served from, what no center returns; what folds also compares with what it folded."""
    term = TERMS[name]
    assert term.returns or not (term.shares or term.serves or term.of_one_stage)
    assert term.compares or not (term.folds or term.remembers)
    assert term.fixed_gauge or not term.returns


def test_no_two_terms_return_under_one_name() -> None:
    names = [term.returns for term in TERMS.values() if term.returns]
    assert len(set(names)) == len(names)
