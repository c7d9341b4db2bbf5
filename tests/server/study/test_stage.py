"""What a stage trains and on which modalities: what its kind says, unless it says so itself."""

import pytest
from pydantic import ValidationError

from protocol.modalities import SETTINGS
from server.study.stage import Center, Stage


def stage(**changes: object) -> Stage:
    fields = {"name": "s", "kind": "adapt", "centers": ("a",), "rounds": 3, "local_steps": 1, "learning_rate": 1e-3}
    return Stage.model_validate({**fields, **changes})


def test_the_kind_says_what_is_trained() -> None:
    assert stage().trained == ("pet", "fusion", "peft")
    assert stage(kind="pretrain").trained == ("backbone",)
    assert stage(groups=("pet",)).trained == ("pet",)


@pytest.mark.parametrize("task", ["classification", "survival"])
def test_a_stage_also_trains_what_its_task_adds_but_not_where_a_center_arrives(task: str) -> None:
    assert stage(task=task).trained == ("pet", "fusion", "peft", "ehr", "head")
    assert stage(kind="pretrain", task=task).trained == ("backbone", "ehr", "head")
    assert stage(kind="arrive", task=task).trained == ("peft",)
    assert stage(groups=("head",), task=task).trained == ("head",)


IMAGES, ALL = frozenset({"ct", "pet"}), frozenset({"ct", "pet", "ehr"})


def test_the_shares_of_the_kind_are_replaced_whole() -> None:
    assert stage().shares_with(IMAGES) == {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}
    assert stage(modality_shares={"pet": 1.0}, task="survival").shares_with(ALL) == {"pet": 1.0}


def test_ehr_has_a_share_where_it_is_offered_and_the_task_reads_it() -> None:
    with_ehr = stage(task="survival").shares_with(ALL)
    assert set(with_ehr) == set(SETTINGS)
    assert sum(with_ehr.values()) == pytest.approx(1.0)
    assert stage(kind="arrive", task="survival").shares_with(ALL) == with_ehr
    assert stage(task="survival").shares_with(IMAGES) == stage().shares_with(IMAGES)
    assert stage().shares_with(ALL) == stage().shares_with(IMAGES)
    assert stage(kind="pretrain", task="survival").shares_with(ALL) == {"ct": 1.0}


def test_personal_rounds_count() -> None:
    """2 + 3 + 1."""
    assert stage(warm_up_rounds=2, settle_rounds=1).all_rounds == 6


def test_a_center_offers_both_modalities_unless_it_says_otherwise_and_at_least_one() -> None:
    assert Center().modalities == ("ct", "pet")
    with pytest.raises(ValidationError, match="at least 1 item"):
        Center(modalities=())
