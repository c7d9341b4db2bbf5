"""What a stage trains where its file does not say."""

import pytest

from protocol.modalities import SETTINGS
from protocol.stages import MODALITY_SHARES, SHARES_WITH_EHR, usual_groups, usual_shares


def test_groups_go_by_kind_and_task() -> None:
    assert usual_groups("adapt", "segmentation") == ("pet", "fusion", "peft")
    assert usual_groups("pretrain", "survival") == ("backbone", "ehr", "head")
    assert usual_groups("arrive", "survival") == ("peft",)


@pytest.mark.parametrize("shares", [*MODALITY_SHARES.values(), SHARES_WITH_EHR])
def test_shares_of_settings_add_up_to_1(shares: dict[str, float]) -> None:
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(shares) <= set(SETTINGS)


def test_ehr_has_a_share_where_it_is_offered_and_the_task_reads_it() -> None:
    assert usual_shares("adapt", "survival", ["ct", "ehr"]) == SHARES_WITH_EHR
    assert usual_shares("adapt", "segmentation", ["ct", "ehr"]) == {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}
    assert usual_shares("pretrain", "survival", ["ct", "ehr"]) == {"ct": 1.0}
