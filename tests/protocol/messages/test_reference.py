import pytest
from pydantic import ValidationError

from protocol.messages.privacy import Privacy
from protocol.messages.reference import Reference, trains_alone
from protocol.messages.secure_aggregation import SecureAggregation
from protocol.messages.settings import Model, StudySettings, settings_digest

PLAIN = StudySettings(study="s", seed=0, model=Model(name="m"))
ALONE = Reference(local_only=True)


def test_a_center_trains_alone_where_the_study_says_so() -> None:
    assert [trains_alone(found) for found in (None, Reference(), ALONE)] == [False, False, True]


def test_a_study_that_does_not_ask_keeps_the_digest_that_centers_agreed_to() -> None:
    assert "reference" not in PLAIN.model_dump(mode="json")
    assert settings_digest(PLAIN.model_copy(update={"reference": ALONE})) != settings_digest(PLAIN)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("privacy", Privacy(epsilon=3, delta=1e-4, clip_norm=1.0), r"\[privacy\] guarantees something, without noise"),
        ("secure_aggregation", SecureAggregation(scores="summed"), "lets no center's own figure leave"),
    ],
)
def test_what_guarantees_more_refuses_it(field: str, value: object, why: str) -> None:
    table = {"study": "s", "seed": 0, "model": Model(name="m"), field: value}
    StudySettings.model_validate(table)
    with pytest.raises(ValidationError, match=why):
        StudySettings.model_validate({**table, "reference": ALONE})
