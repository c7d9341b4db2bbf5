"""What a round at a center comes to."""

from dataclasses import replace

from client.home.draw_key import PUBLIC
from client.learning.outcome import round_generator
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
