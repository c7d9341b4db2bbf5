"""Whole volumes by windows: no seam where windows meet, and mirror images turned back."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.window_mean import Weigh, gaussian, hat, mean_of_views, mean_of_windows
from fusion_models.contract import Fuser
from protocol.messages.recipe import Prediction
from tests.support.image_network import ImageNetwork

CROP = (4, 4, 8)


class OfWindow(ImageNetwork):
    """Says of every voxel how bright its whole window is: two windows say two things of a voxel of both."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def look(self, ct: Tensor | None, _pet: Tensor | None) -> Tensor:
        assert ct is not None
        return ct.mean((2, 3, 4), keepdim=True) + torch.zeros_like(ct)


class First(OfWindow):
    """1 in the first column along x of what it is shown."""

    def look(self, ct: Tensor | None, _pet: Tensor | None) -> Tensor:
        assert ct is not None
        lead = torch.zeros_like(ct)
        lead[..., 0] = 1
        return lead

    def mirror_axes(self) -> tuple[int, ...]:
        return (1, 2)


def ramp() -> PreparedCase:
    """CT that rises along x from 0 to 1 over 32 voxels."""
    return PreparedCase("p", np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32), (4, 4, 32)).copy())


def largest_step(weigh: Weigh, overlap: float) -> float:
    """Of the answer for a ramp, from one voxel to the next along x."""
    found = mean_of_windows(OfWindow(), ramp(), "ct", CROP, Prediction(overlap=overlap), weigh)
    assert found.shape == (1, 4, 4, 32)
    return float(found[0, 2, 2].diff().abs().max())


def test_where_windows_meet_hat_weights_leave_no_seam() -> None:
    """Windows of 8 every 4 voxels of a ramp to 1 over 31 differ by 4/31: each of the 4 voxels takes a quarter of it.

    Gaussian weights take three quarters of it in one voxel, windows side by side all of 8/31.
    """
    assert largest_step(hat, 0.5) == pytest.approx(1 / 31, rel=0.01)
    assert largest_step(gaussian, 0.5) > 0.7 * 4 / 31
    assert largest_step(hat, 0.0) == pytest.approx(8 / 31)


def test_hat_weights_are_highest_in_the_middle_and_above_0_everywhere() -> None:
    assert hat((1, 1, 4)).tolist() == [[[0.125, 0.375, 0.375, 0.125]]]
    assert hat((2, 4, 3)).shape == (2, 4, 3)


def test_mirror_images_are_turned_back_before_their_mean_is_taken() -> None:
    """Of three views two have the first column first, the third, mirrored along x, last: 2/3 and 1/3."""
    case = PreparedCase("p", np.zeros((4, 4, 8), np.float32))
    found = mean_of_views(First(), case, "ct", CROP, Prediction(), Tensor.float)
    np.testing.assert_allclose(found[0, 1, 1], [2 / 3, *[0] * 6, 1 / 3], atol=1e-6)


def test_what_is_read_of_each_view_is_what_is_averaged() -> None:
    case = PreparedCase("p", np.zeros((4, 4, 8), np.float32))
    found = mean_of_views(First(), case, "ct", CROP, Prediction(), lambda answer: 3 * answer)
    assert found[0, 1, 1, 0].item() == pytest.approx(2)


def test_a_fuser_is_asked_like_any_network_of_voxels() -> None:
    class Sum(Fuser):
        """PET minus a tenth of CT."""

        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
            assert ehr is None
            assert ct is not None
            assert pet is not None
            return pet - 0.1 * ct

        def fuse(self, features: Tensor) -> Tensor:
            return features

        def pool_features(self, ct: Tensor) -> Tensor:
            return ct.mean((2, 3, 4))

    case = PreparedCase("p", np.full((4, 4, 8), 1, np.float32), np.full((4, 4, 8), 0.5, np.float32))
    np.testing.assert_allclose(mean_of_windows(Sum(), case, "ct+pet", CROP), np.full((1, 4, 4, 8), 0.4), rtol=1e-6)
