"""What a study tells its centers is checked whole, and its digest covers all of it."""

import pytest
from pydantic import ValidationError

from protocol.messages.settings import Adapter, Model, Preprocessing, Split, StudySettings, findings, settings_digest

SETTINGS = StudySettings(study="s", seed=1, model=Model(name="none"), adapter=Adapter(rank=4))


@pytest.mark.parametrize(
    ("changes", "same"),
    [({}, True), ({"adapter": Adapter(rank=8)}, False), ({"adapter": Adapter(alpha=8)}, False), ({"seed": 2}, False)],
)
def test_the_digest_covers_every_setting_the_rank_too(changes: dict[str, object], same: bool) -> None:
    assert (settings_digest(SETTINGS.model_copy(update=changes)) == settings_digest(SETTINGS)) is same


def test_windows_ascend() -> None:
    with pytest.raises(ValidationError, match=r"ct_window_hu must ascend, found \[250.0, -200.0\]"):
        Preprocessing(ct_window_hu=(250, -200))


def test_somebody_must_be_left_to_train() -> None:
    with pytest.raises(ValidationError, match=r"validation 0\.5 and test 0\.5 leave nobody to train on"):
        Split(validation=0.5, test=0.5)


def test_findings_say_where_and_what_without_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        StudySettings.model_validate({"study": "s", "seed": "DOE", "model": {"name": "none", "size": 1}})
    found = findings(caught.value)
    assert [line.partition(":")[0] for line in found] == ["seed", "model.size"]
    assert "DOE" not in "".join(found)
