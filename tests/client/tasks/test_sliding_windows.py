"""Prediction over whole volumes: what enters the network, and what comes of a case."""

import numpy as np
import pytest
from torch import nn

from client.data.preprocessing import PreparedCase
from client.tasks.sliding_windows import predict_probability, predict_volume
from fusion_models.slices import SliceSegmenter
from tests.support.masked_case import masked
from tests.support.threshold_network import Threshold

CROP = (4, 4, 4)


def case(side: int = 6) -> PreparedCase:
    """CT 1 in one corner, PET 1 in the opposite one, and a contour around the CT's."""
    ct, pet = np.zeros((side,) * 3, np.float32), np.zeros((side,) * 3, np.float32)
    ct[0, 0, :2], pet[-1, -1, -1] = 1, 1
    return masked("p", ct, pet, (ct > 0).astype(np.uint8))


@pytest.mark.parametrize(("setting", "voxels"), [("ct", 2), ("pet", 1), ("ct+pet", 3)])
def test_a_prediction_sees_the_images_of_its_setting_alone(setting: str, voxels: int) -> None:
    predicted = predict_volume(Threshold(), case(), setting, CROP)
    assert predicted.shape == (6, 6, 6)
    assert np.count_nonzero(predicted == 1) == predicted.sum() == voxels


def test_a_volume_smaller_than_the_window_keeps_its_size() -> None:
    assert predict_volume(Threshold(), case(3), "ct", CROP).shape == (3, 3, 3)


def test_a_network_of_slices_is_given_all_slices_at_once() -> None:
    """Windows of a crop's height and width; the network says how deep they are."""
    of_slices = SliceSegmenter(nn.Identity())  # type: ignore[arg-type]  # only its depth is asked for
    assert of_slices.window_zyx((9, 9, 9), CROP) == (9, 4, 4)
    assert Threshold().window_zyx((9, 9, 9), CROP) == CROP


def test_a_voxel_s_probability_is_the_softmax_of_its_logits_and_its_class_the_likelier() -> None:
    """Logits 0 and 1 - 0.5 where the CT is 1, 0 and -0.5 elsewhere: 1 / (1 + e^-0.5) = 0.622, and 0.378."""
    probability = predict_probability(Threshold(), case(), "ct", CROP)
    np.testing.assert_allclose(probability[0, 0, :3], [0.6225, 0.6225, 0.3775], atol=1e-4)
    np.testing.assert_array_equal(probability > 0.5, predict_volume(Threshold(), case(), "ct", CROP))
