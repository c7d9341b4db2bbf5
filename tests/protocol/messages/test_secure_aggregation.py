"""How many centers must stand behind a sum."""

import pytest
from pydantic import ValidationError

from protocol.messages.secure_aggregation import SecureAggregation
from protocol.messages.settings import Model, StudySettings, settings_digest

PLAIN = StudySettings(study="s", seed=1, model=Model(name="m"))


def test_three_unless_the_study_says_more() -> None:
    assert SecureAggregation().fewest == 3


@pytest.mark.parametrize("fewest", [0, 2, 65])
def test_fewer_than_three_would_show_one_of_two_to_the_other(fewest: int) -> None:
    with pytest.raises(ValidationError):
        SecureAggregation(fewest=fewest)


def test_a_study_without_it_keeps_the_digest_that_it_had() -> None:
    assert "secure_aggregation" not in PLAIN.model_dump(mode="json")
    summed = PLAIN.model_copy(update={"secure_aggregation": SecureAggregation()})
    assert settings_digest(summed) != settings_digest(PLAIN)
