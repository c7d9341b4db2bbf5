"""A figure is known, suppressed, undefined or absent, and never two of them."""

import pytest

from protocol.messages.reply import Reply
from protocol.messages.scores import Score
from protocol.messages.suppression import (
    NOTHING_SUPPRESSED,
    Suppressed,
    figure_name,
    of_figure,
    settings_suppressed,
    state_of,
    suppression_findings,
)
from protocol.messages.text import from_text, to_text
from protocol.modalities import ModalitySetting

SCORES: dict[ModalitySetting, Score] = {"ct": Score(6, {"dice": 0.5, "hd95_mm": None}, {"hd95_mm": 6})}


def test_the_four_states_are_told_apart() -> None:
    held = Suppressed({"pet": ("dice",)})
    assert state_of(SCORES, held, "ct", "dice") == "known"
    assert state_of(SCORES, held, "pet", "dice") == "suppressed"
    assert state_of(SCORES, held, "ct", "hd95_mm") == "undefined"
    assert state_of(SCORES, held, "ct+pet", "dice") == "absent"
    assert state_of({"ct": Score(0)}, NOTHING_SUPPRESSED, "ct", "dice") == "absent"


def test_a_setting_that_stays_holds_back_every_figure_defined_or_not() -> None:
    """Which of a few cases' figures are defined would tell of them."""
    assert settings_suppressed(SCORES, ()) == Suppressed({"ct": ("dice", "hd95_mm")})
    assert settings_suppressed(SCORES, ["ct"]) == NOTHING_SUPPRESSED


def test_two_reasons_to_hold_back_are_one() -> None:
    one, other = Suppressed({"ct": ("dice",)}, ("loss",)), Suppressed({"ct": ("hd95_mm",)}, ("comparison", "loss"))
    both = one.joined_with(other)
    assert both == Suppressed({"ct": ("dice", "hd95_mm")}, ("comparison", "loss"))
    assert both.names() == ("comparison", "loss", "ct/dice", "ct/hd95_mm")


def test_what_is_suppressed_and_given_or_unknown_or_twice_is_found() -> None:
    assert list(suppression_findings(Suppressed({"ct": ("hd95_mm",)}, ("loss",)), SCORES)) == []
    assert list(suppression_findings(Suppressed({"ct": ("dice",)}), SCORES)) == [
        "1 figure(s) of setting 'ct' are suppressed and given as well"
    ]
    assert list(suppression_findings(Suppressed({"ct": ("weight",)}), SCORES)) == [
        "suppressed figure 'weight' is no metric"
    ]
    assert "one of them twice" in next(suppression_findings(Suppressed({"ct": ("dice", "dice")}), SCORES))
    assert "once" in next(suppression_findings(Suppressed(parts=("loss", "loss")), SCORES))


def test_tensor_groups_are_joined_and_have_names_of_no_setting() -> None:
    both = Suppressed(groups=("pet", "fusion")).joined_with(Suppressed(groups=("pet", "peft.pet")))
    assert both.groups == ("fusion", "peft.pet", "pet")
    assert both.names() == ("tensors.fusion", "tensors.peft.pet", "tensors.pet")
    assert of_figure("tensors.peft.pet") == ("", "tensors.peft.pet")


@pytest.mark.parametrize("groups", [("pet", "pet"), ("nobody",), ("peft.nobody",)])
def test_a_tensor_group_that_there_is_not_or_twice_is_found(groups: tuple[str, ...]) -> None:
    (found,) = suppression_findings(Suppressed(groups=groups), SCORES)
    assert found.startswith("suppressed tensor groups are not each one of ['backbone', 'pet',")
    assert list(suppression_findings(Suppressed(groups=("pet", "peft.pet")), SCORES)) == []


def test_tensor_groups_survive_the_text() -> None:
    reply = Reply("a", "train", suppressed=Suppressed(groups=("pet",)))
    assert from_text(Reply, to_text(reply)) == reply


def test_a_name_says_setting_and_figure_and_a_part_has_no_setting() -> None:
    assert of_figure(figure_name("ct+pet", "concordance/death")) == ("ct+pet", "concordance/death")
    assert of_figure("loss") == ("", "loss")
