"""Low resolution: means over larger voxels, spread again."""

import numpy as np
import torch

from client.augmentation.low_resolution import draw_zoom, simulate_low_resolution


def test_halves_are_means_of_pairs_interpolated() -> None:
    """0, 4, 8, 12 along x become 2 and 10, and from their middles 2, 4, 8, 10."""
    shown = torch.tensor([0.0, 4, 8, 12]).reshape(1, 1, 1, 1, 4)
    assert simulate_low_resolution(shown, 0.5).flatten().tolist() == [2, 4, 8, 10]


def test_all_voxels_kept_change_no_bit() -> None:
    shown = torch.rand((1, 1, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(simulate_low_resolution(shown, 1.0), shown)


def test_an_even_image_stays_so_and_keeps_its_size() -> None:
    shown = torch.full((1, 1, 1, 7, 5), 0.25)
    assert torch.equal(simulate_low_resolution(shown, 0.6), shown)


def test_at_least_half_of_the_voxels_stay() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_zoom(rng) for _ in range(200)]
    assert 0.5 <= min(drawn) < 0.51
    assert 0.99 < max(drawn) <= 1
