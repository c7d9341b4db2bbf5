"""Prediction over whole volumes: what enters the network, and what comes of a case."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.sliding_windows import predict_logits, predict_volume
from fusion_models.slices import SliceSegmenter
from protocol.messages.recipe import Prediction
from tests.support.image_network import ImageNetwork
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
    probability = predict_logits(Threshold(), case(), "ct", CROP).probability
    np.testing.assert_allclose(probability[0, 0, :3], [0.6225, 0.6225, 0.3775], atol=1e-4)
    np.testing.assert_array_equal(probability > 0.5, predict_volume(Threshold(), case(), "ct", CROP))


def test_the_margin_is_the_logit_of_the_lesion_minus_that_of_the_background() -> None:
    found = predict_logits(Threshold(), case(), "ct", CROP)
    np.testing.assert_allclose(found.margin[0, 0, :3], [0.5, 0.5, -0.5], atol=1e-6)
    np.testing.assert_array_equal(found.classes, predict_volume(Threshold(), case(), "ct", CROP))


FLIPS = Prediction(flips=True)


class Ramp(ImageNetwork):
    """Logit of class 1: 8 in the first column along x of what it is shown, -1 elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.calls = 0

    def look(self, ct: Tensor | None, _pet: Tensor | None) -> Tensor:
        assert ct is not None
        self.calls += 1
        lead = torch.full_like(ct, -1.0)
        lead[..., 0] = 8.0
        return torch.cat([torch.zeros_like(lead), lead], dim=1)


def test_flips_average_the_probabilities_of_the_volume_and_of_three_mirror_images() -> None:
    """First column: three views say 1 / (1 + e^-8) and the one along x 1 / (1 + e); the last column the other way."""
    sure, unsure = 1 / (1 + np.exp(-8)), 1 / (1 + np.exp(1))
    probability = predict_logits(Ramp(), case(4), "ct", CROP, FLIPS).probability
    np.testing.assert_allclose(probability[2, 1], [*[(3 * sure + unsure) / 4], *[unsure] * 2, (sure + 3 * unsure) / 4])
    assert predict_volume(Ramp(), case(4), "ct", CROP, FLIPS)[0, 0].tolist() == [1, 0, 0, 0]
    margin = predict_logits(Ramp(), case(4), "ct", CROP, FLIPS).margin[0, 0]
    np.testing.assert_allclose(margin, np.log(probability[0, 0] / (1 - probability[0, 0])), rtol=1e-5)


def test_a_network_that_sees_alike_in_a_mirror_predicts_alike_with_flips() -> None:
    plain, mirrored = (
        predict_logits(Threshold(), case(), "ct+pet", CROP, how).probability for how in (Prediction(), FLIPS)
    )
    np.testing.assert_allclose(mirrored, plain, atol=1e-6)


def test_flips_take_four_passes_and_the_overlap_is_the_study_s() -> None:
    """Volumes of 7, windows of 4: starts 0 and 3 with an overlap of 1, 0 to 3 with one of 3; two windows at once."""
    calls = []
    for how in (Prediction(), FLIPS, Prediction(overlap=0.75)):
        network = Ramp()
        predict_volume(network, case(7), "ct", CROP, how)
        calls.append(network.calls)
    assert calls == [4, 16, 32]


def test_slices_are_mirrored_within_the_slice_and_along_z_where_they_have_neighbours() -> None:
    assert SliceSegmenter(nn.Identity()).mirror_axes() == (1, 2)  # type: ignore[arg-type]  # only its axes are asked for
    assert SliceSegmenter(nn.Identity(), neighbours=1).mirror_axes() == (0, 1, 2)  # type: ignore[arg-type]
