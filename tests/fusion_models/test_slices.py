"""2D networks in the 3D platform: slices in, predictions stacked back."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.tasks.sliding_windows import predict_volume
from fusion_models.slices import SliceNetwork, SliceSegmenter, check_depth, input_channels, slices_of


class Recorder(SliceNetwork):
    """Two classes from the middle channel of what is there: (1 - s, s); remembers the shapes that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[tuple[int, ...] | None, ...]] = []
        self.bias = nn.Parameter(torch.zeros(()))

    def encode(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        self.seen.append(tuple(None if image is None else tuple(image.shape) for image in (ct, pet)))
        return torch.stack([image[:, image.shape[1] // 2] for image in (ct, pet) if image is not None]).sum(0)

    def decode(self, features: Tensor) -> Tensor:
        return torch.stack([1 - features, features], dim=1) + self.bias

    def pool_features(self, ct: Tensor) -> Tensor:
        return ct.mean((2, 3))


class DeepRecorder(Recorder):
    """A second output, of half the size."""

    def decode_scales(self, features: Tensor) -> list[Tensor]:
        full = self.decode(features)
        return [full, full[..., ::2, ::2]]


def seen_by(model: SliceSegmenter) -> list[tuple[tuple[int, ...] | None, ...]]:
    assert isinstance(model.network, Recorder)
    return model.network.seen


def ramp(b: int, z: int, y: int, x: int) -> Tensor:
    return torch.arange(b * z * y * x, dtype=torch.float32).reshape(b, 1, z, y, x)


def test_slices_come_back_in_their_places() -> None:
    model, ct = SliceSegmenter(Recorder()), ramp(2, 3, 4, 5)
    logits = model(ct, None)
    assert logits.shape == (2, 2, 3, 4, 5)
    assert torch.equal(logits[:, 1:], ct)
    assert seen_by(model) == [((6, 3, 4, 5), None)]


def test_both_modalities_arrive_and_an_absent_one_stays_absent() -> None:
    model, ct, pet = SliceSegmenter(Recorder()), ramp(1, 2, 4, 4), torch.ones(1, 1, 2, 4, 4)
    assert torch.equal(model(ct, pet)[:, 1:], ct + 1)
    assert torch.equal(model(None, pet)[:, 1:], pet)
    assert seen_by(model) == [((2, 3, 4, 4), (2, 3, 4, 4)), (None, (2, 3, 4, 4))]


def test_intensities_take_the_range_of_the_network() -> None:
    """3.2 x - 1.6 maps [0, 1] to [-1.6, 1.6]."""
    model = SliceSegmenter(Recorder(), intensity=(3.2, -1.6))
    volume = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 1, 3)
    assert model(volume, None)[0, 1].flatten().tolist() == pytest.approx([-1.6, 0.0, 1.6])


def test_without_neighbours_a_slice_is_copied_to_three_channels() -> None:
    slices = slices_of(ramp(1, 2, 1, 1), 0, range(2))
    assert slices[:, :, 0, 0].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert input_channels(0) == 3


def test_neighbours_are_the_slices_around_and_repeat_at_the_ends() -> None:
    slices = slices_of(ramp(2, 3, 1, 1), 1, range(3))
    assert slices[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2], [3, 3, 4], [3, 4, 5], [4, 5, 5]]
    assert slices_of(ramp(1, 5, 1, 1), 2, [2])[0, :, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert input_channels(2) == 5


def test_only_slices_with_all_their_neighbours_are_trained() -> None:
    """Of five slices with one neighbour on each side, the inner three."""
    ct = ramp(2, 5, 4, 4)
    (logits,) = SliceSegmenter(Recorder(), neighbours=1).scales(ct, None)
    assert torch.equal(logits[:, 1:], ct[:, :, 1:4])
    (logits,) = SliceSegmenter(Recorder()).scales(ct, None)
    assert torch.equal(logits[:, 1:], ct)


def test_every_scale_is_stacked_back() -> None:
    model, ct = SliceSegmenter(DeepRecorder()), ramp(2, 3, 4, 4)
    full, half = model.scales(ct, None)
    assert torch.equal(full, model(ct, None))
    assert torch.equal(half, full[..., ::2, ::2])


def test_portions_give_what_all_slices_at_once_give() -> None:
    """2^18 pixels are four slices of 256 x 256: ten slices go in three portions."""
    model, ct, pet = SliceSegmenter(Recorder(), neighbours=1), ramp(1, 10, 256, 256), torch.ones(1, 1, 10, 256, 256)
    with torch.no_grad():
        in_portions = model(ct, pet)
    assert torch.equal(in_portions, model(ct, pet))
    assert [seen[0] for seen in seen_by(model)] == [(n, 3, 256, 256) for n in (4, 4, 2, 10)]


def test_pooled_features_are_the_mean_over_slices() -> None:
    """Two cases of two slices: means 0.5 and 2.5 in each of three channels."""
    assert SliceSegmenter(Recorder()).pool_features(ramp(2, 2, 1, 1)).tolist() == [[0.5] * 3, [2.5] * 3]


@pytest.mark.parametrize(
    ("ct", "pet", "reason"),
    [
        (None, None, "needs CT, PET or both"),
        (
            torch.ones(1, 1, 2, 4, 4),
            torch.ones(1, 1, 2, 4, 5),
            r"pet must have shape \(b, 1, 2, 4, 4\), found \(1, 1, 2, 4, 5\)",
        ),
        (torch.ones(1, 2, 2, 4, 4), None, r"ct must have shape \(b, 1, 2, 4, 4\), found \(1, 2, 2, 4, 4\)"),
        (torch.ones(1, 1, 4, 4), None, r"must be volumes \(b, 1, z, y, x\), found \[\(1, 1, 4, 4\)\]"),
    ],
)
def test_volumes_that_do_not_fit_are_refused(ct: Tensor | None, pet: Tensor | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SliceSegmenter(Recorder())(ct, pet)


def test_a_crop_too_thin_for_its_neighbours_is_refused() -> None:
    check_depth((3, 64, 64), 1)
    check_depth((1, 64, 64), 0)
    with pytest.raises(ValueError, match=r"need a crop of at least 3 slices, found crop_zyx \(2, 64, 64\)"):
        check_depth((2, 64, 64), 1)
    with pytest.raises(ValueError, match="at least 0, found -1"):
        check_depth((2, 64, 64), -1)


def test_a_volume_is_predicted_slice_by_slice() -> None:
    """Single-slice windows of a 3 x 10 x 6 volume, wider than the window along y and narrower along x."""
    ct = np.random.default_rng(0).random((3, 10, 6), dtype=np.float32)
    predicted = predict_volume(SliceSegmenter(Recorder()), PreparedCase("case", ct), "ct", (1, 8, 8))
    assert np.array_equal(predicted, (ct > 0.5).astype(np.uint8))


class SeesNeighbours(Recorder):
    """Foreground where the slices before and after add up to three."""

    def encode(self, ct: Tensor | None, _pet: Tensor | None) -> Tensor:
        assert ct is not None
        return (ct[:, 0] + ct[:, -1] == 3).float()

    def decode(self, features: Tensor) -> Tensor:
        return torch.stack([0.5 - features, features - 0.5], dim=1) + self.bias


def test_the_neighbours_of_a_predicted_slice_are_the_volumes_own() -> None:
    """Slices of value 0, 1, 1, 2, 2, 3: around each lie 0+1, 0+1, 1+2, 1+2, 2+3, 2+3, whatever the crop's depth."""
    values = np.array([0, 1, 1, 2, 2, 3], np.float32)
    ct = np.broadcast_to(values[:, None, None], (6, 8, 8)).copy()
    predicted = predict_volume(
        SliceSegmenter(SeesNeighbours(), neighbours=1), PreparedCase("case", ct), "ct", (3, 8, 8)
    )
    assert predicted[:, 0, 0].tolist() == [0, 0, 1, 1, 0, 0]


def test_a_network_of_slices_predicts_all_slices_of_a_window_at_once() -> None:
    assert SliceSegmenter(Recorder()).window_zyx((40, 90, 70), (1, 64, 64)) == (40, 64, 64)
