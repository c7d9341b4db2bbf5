"""What a stage trains and on which modalities: what its kind says, unless it says so itself."""

import pytest
from pydantic import ValidationError

from server.study.stage import Center, Stage


def stage(**changes: object) -> Stage:
    fields = {"name": "s", "kind": "adapt", "centers": ("a",), "rounds": 3, "local_steps": 1, "learning_rate": 1e-3}
    return Stage.model_validate({**fields, **changes})


def test_the_kind_says_what_is_trained() -> None:
    assert stage().trained == ("pet", "fusion", "peft")
    assert stage(kind="pretrain").trained == ("backbone",)
    assert stage(groups=("pet",)).trained == ("pet",)


def test_the_shares_of_the_kind_are_replaced_whole() -> None:
    assert stage().shares == {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}
    assert stage(modality_shares={"pet": 1.0}).shares == {"pet": 1.0}


def test_personal_rounds_count() -> None:
    """2 + 3 + 1."""
    assert stage(warm_up_rounds=2, settle_rounds=1).all_rounds == 6


def test_a_center_offers_both_modalities_unless_it_says_otherwise_and_at_least_one() -> None:
    assert Center().modalities == ("ct", "pet")
    with pytest.raises(ValidationError, match="at least 1 item"):
        Center(modalities=())
