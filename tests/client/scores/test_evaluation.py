"""Prediction over whole volumes: what enters the network, and what comes of a case."""

import numpy as np
import pytest

from client.data.preprocessing import PreparedCase
from client.scores.evaluation import predict, score_case, window_of
from tests.support.smallest_models import built
from tests.support.threshold_network import Threshold

CROP = (4, 4, 4)


def case(side: int = 6) -> PreparedCase:
    """CT 1 in one corner, PET 1 in the opposite one, and a contour around the CT's."""
    ct, pet = np.zeros((side,) * 3, np.float32), np.zeros((side,) * 3, np.float32)
    ct[0, 0, :2], pet[-1, -1, -1] = 1, 1
    return PreparedCase("p", ct, pet, (ct > 0).astype(np.uint8))


@pytest.mark.parametrize(("setting", "voxels"), [("ct", 2), ("pet", 1), ("ct+pet", 3)])
def test_a_prediction_sees_the_images_of_its_setting_alone(setting: str, voxels: int) -> None:
    predicted = predict(Threshold(), case(), setting, CROP)
    assert predicted.shape == (6, 6, 6)
    assert np.count_nonzero(predicted == 1) == predicted.sum() == voxels


def test_a_volume_smaller_than_the_window_keeps_its_size() -> None:
    assert predict(Threshold(), case(3), "ct", CROP).shape == (3, 3, 3)


def test_a_case_is_scored_against_its_contour() -> None:
    """CT and PET find both voxels of the contour and one more: Dice 2 * 2 / (3 + 2)."""
    score, predicted = score_case(Threshold(), case(), "ct+pet", crop_zyx=CROP, spacing_zyx_mm=(1, 1, 1))
    assert (score.case, score.modalities, score.dice) == ("p", "ct+pet", 0.8)
    assert predicted.sum() == 3


def test_a_case_without_a_contour_is_refused() -> None:
    bare = PreparedCase("p", case().ct, None, None)
    with pytest.raises(ValueError, match="case 'p' has no contour"):
        score_case(Threshold(), bare, "ct", crop_zyx=CROP, spacing_zyx_mm=(1, 1, 1))


@pytest.mark.parametrize(("name", "window"), [("pemma-unetr-tiny", CROP), ("vmambax-tiny", (9, 4, 4))])
def test_the_window_is_the_networks_own(name: str, window: tuple[int, ...]) -> None:
    assert window_of(built(name), (9, 9, 9), CROP) == window
