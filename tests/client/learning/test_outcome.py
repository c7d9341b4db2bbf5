"""What a round at a center comes to."""

from dataclasses import replace

from client.home.draw_key import PUBLIC
from client.learning.outcome import round_generator, support_of
from client.learning.training import Trained
from protocol.messages.instruction import Instruction
from protocol.messages.settings import Model, StudySettings


def test_a_rounds_randomness_is_its_own_and_repeats() -> None:
    settings = StudySettings(study="s", seed=5, model=Model(name="none"))
    asked = Instruction("train", settings, "adapt", 3)
    others = [
        (asked, "center-b"),
        (replace(asked, server_round=4), "center-a"),
        (replace(asked, stage="arrive"), "center-a"),
        (replace(asked, settings=settings.model_copy(update={"seed": 6})), "center-a"),
    ]
    draws = [round_generator(*pair, PUBLIC).integers(2**62) for pair in [(asked, "center-a"), *others]]
    assert len(set(draws)) == 5
    assert round_generator(asked, "center-a", PUBLIC).integers(2**62) == draws[0]


def test_a_centers_own_key_draws_what_nobody_else_can_and_repeats() -> None:
    asked = Instruction("train", StudySettings(study="s", seed=5, model=Model(name="none")), "adapt", 3)
    draws = [round_generator(asked, "a", key).integers(2**62) for key in (PUBLIC, b"k" * 32, b"l" * 32, b"k" * 32)]
    assert len(set(draws)) == 3
    assert draws[1] == draws[3]


def test_support_counts_pet_cases_for_the_pet_pathway_and_leaves_out_zero() -> None:
    """a ran with CT, b with both, c with PET: three cases behind the adapter, two the pathway, one the fusion."""
    used = {"ct": frozenset({"a", "b"}), "pet": frozenset({"c"}), "ct+pet": frozenset({"b"})}
    assert support_of(Trained(0.0, used), ["pet", "fusion", "peft"]) == {"pet": 2, "fusion": 1, "peft": 3}
    assert support_of(Trained(0.0, {"ct": frozenset("a")}), ["pet", "fusion", "peft"]) == {"peft": 1}


def test_support_of_ehr_counts_the_cases_that_ran_with_it() -> None:
    used = {"ct": frozenset({"a", "b"}), "ehr": frozenset({"c"}), "ct+ehr": frozenset({"b"})}
    assert support_of(Trained(0.0, used), ["ehr", "head"]) == {"ehr": 2, "head": 3}
    assert support_of(Trained(0.0, {"ct": frozenset("a")}), ["ehr", "head"]) == {"head": 1}


def test_a_bank_counts_the_cases_of_its_modalities() -> None:
    """a ran with CT, b with both, c with PET: CT's bank has two cases, PET's two, that of both one."""
    used = {"ct": frozenset({"a", "b"}), "pet": frozenset({"c"}), "ct+pet": frozenset({"b"})}
    assert support_of(Trained(0.0, used), ["peft.ct", "peft.pet", "peft.fusion"]) == {
        "peft.ct": 2,
        "peft.pet": 2,
        "peft.fusion": 1,
    }
