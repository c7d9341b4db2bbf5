"""The cases that enter figures, by name."""

from client.data.blocks import Block
from client.data.cohort import EVERYBODY, Cohort

PAIR = Block({"k1": "p1", "k2": "p2"})
COHORT = Cohort((PAIR,), {"a": "k1", "b": "k2", "c": "k3"})


def test_a_block_is_kept_with_all_its_cases_or_not_at_all() -> None:
    assert COHORT.keep(["a", "b", "c"]) == {"a", "b"}
    assert COHORT.keep(["a", "c"]) == frozenset()
    assert COHORT.keep(["a", "b", "stranger"]) == {"a", "b"}


def test_where_one_case_may_leave_everybody_enters() -> None:
    assert EVERYBODY.keep(["a", "c"]) == {"a", "c"}
    assert EVERYBODY.waiting == ""


def test_those_that_wait_are_counted_and_not_named() -> None:
    assert COHORT.waiting.startswith("1 of 3 case(s) enter no figure")


def test_the_digest_is_of_the_cases_that_enter() -> None:
    fewer = Cohort((PAIR,), {"a": "k1", "b": "k2"})
    away = Cohort((PAIR,), {"a": "k1", "c": "k3"})
    assert fewer.digest == COHORT.digest != away.digest
