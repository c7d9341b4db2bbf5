"""What a plan says of a round, and what its digest covers."""

import pytest

from protocol.enrolment.plan import (
    PlannedRounds,
    PlannedStage,
    StudyPlan,
    agreed_digest,
    check_digest,
    is_planned,
    rounded_rate,
)
from protocol.messages.settings import Adapter, Model, StudySettings, Training

SETTINGS = StudySettings(study="s", seed=1, model=Model(name="none"), adapter=Adapter(rank=4))
TRAINING = Training(groups=("peft",), local_steps=3, learning_rate=1.0, batch_size=2, modality_shares={"ct": 1.0})
STAGE = PlannedStage(
    name="adapt",
    task="segmentation",
    first_round=3,
    last_round=5,
    rounds=(PlannedRounds(training=TRAINING, numbers=(3, 5), rates=(0.1, 0.01)),),
    observed=("gram", "prototype"),
)
PLAN = StudyPlan(stages=(STAGE,), compares=True, scored=True)


def test_a_round_of_a_plan_has_its_own_rate_and_other_rounds_have_none() -> None:
    found = PLAN.training_of("adapt", 5)
    assert found is not None
    assert (found.learning_rate, found.local_steps) == (0.01, 3)
    assert PLAN.training_of("adapt", 4) is None
    assert PLAN.training_of("arrive", 3) is None


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"learning_rate": 1.0 + 1e-9}, True),
        ({"learning_rate": 1.001}, False),
        ({"batch_size": 3000}, False),
        ({"groups": ("backbone",)}, False),
        ({"roles": ("lora_a",)}, False),
        ({"terms": {"ditto": 1.0}}, False),
        ({"local_steps": 4}, False),
        ({"weight_decay": 0.0}, False),
        ({"modality_shares": {"pet": 1.0}}, False),
        ({"validate_first": False}, False),
    ],
)
def test_every_field_of_a_training_is_planned(changes: dict[str, object], same: bool) -> None:
    assert is_planned(TRAINING.model_copy(update=changes), TRAINING) is same


def test_the_digest_covers_rank_batch_groups_and_statistics() -> None:
    other_batch = TRAINING.model_copy(update={"batch_size": 3})
    other_rounds = STAGE.rounds[0].model_copy(update={"training": other_batch})
    plans = [
        PLAN,
        PLAN.model_copy(update={"stages": (STAGE.model_copy(update={"observed": ("gram", "fisher")}),)}),
        PLAN.model_copy(update={"stages": (STAGE.model_copy(update={"rounds": (other_rounds,)}),)}),
        PLAN.model_copy(update={"further_stages": 0}),
        PLAN.model_copy(update={"scored": False}),
    ]
    ranked = SETTINGS.model_copy(update={"adapter": Adapter(rank=5)})
    assert len({*(agreed_digest(SETTINGS, plan) for plan in plans), agreed_digest(ranked, PLAN)}) == 6


def test_a_plan_survives_its_json_with_its_digest() -> None:
    again = StudyPlan.model_validate_json(PLAN.model_dump_json())
    assert agreed_digest(SETTINGS, again) == agreed_digest(SETTINGS, PLAN)


def test_a_plan_counts_what_it_asks() -> None:
    """Two rounds, three at the end of the stage, two of each of 32 further stages, and the row before the first."""
    assert PLAN.questions == 2 + 3 + 2 * 32 + 1
    beside = PLAN.model_copy(update={"stages": (STAGE.model_copy(update={"beside": ("gram",)}),)})
    assert beside.questions == PLAN.questions + 2


def test_a_rate_is_kept_to_nine_digits() -> None:
    assert rounded_rate(1 / 3) == 0.333333333


def test_settings_and_plan_are_held_against_what_was_agreed_to() -> None:
    check_digest(SETTINGS, PLAN, agreed_digest(SETTINGS, PLAN))
    with pytest.raises(ValueError, match=f"agreed to are {'0' * 12}"):
        check_digest(SETTINGS, PLAN, "0" * 64)
