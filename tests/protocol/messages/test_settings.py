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


def test_folds_decide_how_many_test_and_come_back_from_json_as_they_were() -> None:
    split = Split(fold=2, folds=5)
    assert split.test == 0.2
    assert Split.model_validate_json(split.model_dump_json()) == split


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fold": 6, "folds": 5}, r"fold 6 of 5 folds: give both, fold from 1 to folds"),
        ({"fold": 1}, r"fold 1 of None folds: give both"),
        ({"folds": 5}, r"fold None of 5 folds: give both"),
        ({"fold": 1, "folds": 5, "test": 0.3}, r"test 0\.3 and 5 folds: folds decide who tests; leave test out"),
        ({"fold": 1, "folds": 1}, r"folds"),
        ({"fold": 1, "folds": "five"}, r"folds"),
    ],
)
def test_a_fold_is_one_of_its_folds(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Split.model_validate(values)


def test_findings_say_where_and_what_without_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        StudySettings.model_validate({"study": "s", "seed": "DOE", "model": {"name": "none", "size": 1}})
    found = findings(caught.value)
    assert [line.partition(":")[0] for line in found] == ["seed", "model.size"]
    assert "DOE" not in "".join(found)


def test_banks_by_modality_are_lora_alone() -> None:
    assert Adapter(routing="modality").method == "lora"
    assert Adapter().routing == "shared"
    with pytest.raises(ValidationError, match="DoRA scales W and one adapter together"):
        Adapter(method="dora", routing="modality")
