"""Networks and rounds that cannot be private are refused by name."""

import pytest
from torch import nn

from client.learning.private_study import check_private_study, mixes
from protocol.errors import PrivacyError
from protocol.messages.labels import Classes, Labels
from protocol.messages.privacy import Privacy
from protocol.messages.settings import Model, StudySettings
from tests.support.small_training import stage

PRIVACY = Privacy(epsilon=8, delta=1e-3, clip_norm=1.0)


def settings(privacy: Privacy | None = PRIVACY) -> StudySettings:
    return StudySettings(study="lungs", seed=0, model=Model(name="pemma-unetr-tiny"), privacy=privacy)


def classifying(privacy: Privacy | None = PRIVACY, **options: str) -> StudySettings:
    classes = Classes(column="metastasis", weights=(0.5, 0.5))
    model = Model(name="multistage-tiny", options=dict(options))
    labels = Labels(classes=classes)
    return StudySettings(study="lungs", seed=0, model=model, tasks=("classification",), labels=labels, privacy=privacy)


def test_a_network_that_normalises_over_a_batch_is_refused_with_its_layers() -> None:
    with pytest.raises(
        PrivacyError, match=r"center 'north': study 'lungs' cannot keep its \[privacy\]: model "
    ) as told:
        check_private_study(classifying(norm="batch"), "north", [])
    assert "(BatchNorm3d)" in str(told.value)
    assert "choose a norm of single images" in str(told.value)


def test_the_same_network_is_accepted_without_privacy_or_with_another_norm() -> None:
    check_private_study(classifying(None, norm="batch"), "north", [])
    check_private_study(classifying(), "north", [])


def test_what_a_round_asks_is_named_once() -> None:
    with pytest.raises(PrivacyError) as told:
        check_private_study(settings(), "north", [stage(terms={"ditto": 1.0}), stage(terms={"ditto": 1.0})])
    assert str(told.value).count("local term 'ditto'") == 1


@pytest.mark.parametrize(
    ("module", "mixing"),
    [
        (nn.BatchNorm2d(2), True),
        (nn.BatchNorm3d(2, track_running_stats=False), True),
        (nn.InstanceNorm3d(2, track_running_stats=True), True),
        (nn.InstanceNorm3d(2), False),
        (nn.GroupNorm(1, 2), False),
        (nn.LayerNorm(2), False),
    ],
)
def test_norms_of_single_images_may_stay(module: nn.Module, *, mixing: bool) -> None:
    assert mixes(module) is mixing
