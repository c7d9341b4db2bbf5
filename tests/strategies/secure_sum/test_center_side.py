"""What a center gives out takes the mask off a sum and never both masks off one center's numbers."""

from dataclasses import replace

import pytest

from protocol.errors import SecureSumError
from protocol.messages.secure_sum import SumPlan
from strategies.secure_sum.center_side import OwnSecrets, open_boxes, open_groups, reveal, share_secrets

CENTERS = "abcd"
SECRETS = {center: OwnSecrets() for center in CENTERS}
PLAN = SumPlan(
    study="drawn",
    stage="adapt",
    server_round=1,
    state="00" * 32,
    scheme="fedit",
    exponent=1.0,
    keys={center: secrets.keys for center, secrets in SECRETS.items()},
    weights={"peft": dict.fromkeys(CENTERS, 1.0), "pet": dict.fromkeys("abc", 1.0)},
)


@pytest.mark.parametrize(("weight", "opened"), [(4.0, ("peft",)), (4.1, ())])
def test_a_group_of_which_one_that_stayed_has_two_thirds_stays_masked(weight: float, opened: tuple[str, ...]) -> None:
    """4 of 8 by the plan; 4 of 6 without center d."""
    plan = replace(PLAN, weights={"peft": {"a": weight, "b": 1.0, "c": 1.0, "d": 2.0}})
    assert open_groups(plan, dict.fromkeys("abc", ("peft",)), 3) == opened


def test_a_threshold_is_more_than_two_thirds() -> None:
    assert PLAN.threshold == 3


def test_of_one_that_stayed_its_own_masks_and_of_one_that_left_its_pairs() -> None:
    held = {center: {"pairs": b"p" * 16, "own:peft": b"o" * 16, "own:pet": b"q" * 16} for center in CENTERS}
    found = reveal(held, "abc", ["peft"])
    assert {center: set(parts) for center, parts in found.items()} == {
        **{name: {"own:peft"} for name in "abc"},
        "d": {"pairs"},
    }


@pytest.mark.parametrize(("behind", "opened"), [("abc", ("peft", "pet")), ("abd", ("peft",)), ("ab", ("peft",))])
def test_a_group_is_opened_by_three_whose_cases_may_reach_it(behind: str, opened: tuple[str, ...]) -> None:
    """Center d has no PET by the plan: what it says of it does not count."""
    groups = {center: ("peft", "pet") if center in behind else ("peft",) for center in CENTERS}
    assert open_groups(PLAN, groups, 3) == opened


def test_a_box_that_does_not_open_leaves_its_sender_out_of_what_is_given_out() -> None:
    assert reveal({"a": {}, "b": {"pairs": b"p" * 16}}, "a", ["peft"]) == {"a": {}, "b": {"pairs": (b"p" * 16).hex()}}


def test_secrets_of_groups_tell_nothing_of_each_other() -> None:
    assert SECRETS["a"].own("peft") != SECRETS["a"].own("pet")
    assert SECRETS["a"].own("peft") == SECRETS["a"].own("peft")


def test_a_box_is_for_its_receiver_and_its_sum() -> None:
    boxes, own = share_secrets(SECRETS["a"], "a", PLAN)
    assert set(boxes) == set("bcd")
    assert set(own) == {"pairs", "own:peft", "own:pet"}
    assert set(open_boxes(SECRETS["b"], "b", PLAN, {"a": boxes["b"]})["a"]) == set(own)
    assert open_boxes(SECRETS["c"], "c", PLAN, {"a": boxes["b"]}) == {"a": {}}
    assert open_boxes(SECRETS["b"], "b", replace(PLAN, server_round=2), {"a": boxes["b"]}) == {"a": {}}
    with pytest.raises(SecureSumError, match="stranger"):
        open_boxes(SECRETS["b"], "b", PLAN, {"stranger": boxes["b"]})


def test_no_secret_stands_in_what_is_printed() -> None:
    assert "b'" not in repr(SECRETS["a"])
