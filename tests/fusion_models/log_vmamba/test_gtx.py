"""Global tokens: a strided convolution, then a linear layer over space (arXiv 2408.14415)."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion_models.log_vmamba.gtx import GTX
from tests.support.model_measures import weights_of


def filled(gtx: Any, kernel: float) -> Any:
    """Constant kernels and no bias."""
    nn.init.constant_(gtx.conv.weight, kernel)
    nn.init.zeros_(gtx.conv.bias)
    nn.init.zeros_(gtx.mix.bias)
    return gtx


def impulse(size: tuple[int, ...], *at: int) -> Tensor:
    m = torch.zeros(1, *size, 1)
    m[(0, *at)] = 1
    return m


@pytest.mark.parametrize(
    ("size", "stride", "window", "positions"),
    [
        ((8, 6), 1, (1, 1, 0), 48),
        ((32, 32), 2, (3, 1, 1), 256),
        ((24, 40), 2, (3, 1, 1), 240),
        ((128, 128), 4, (5, 1, 2), 1024),
        ((96, 160), 4, (5, 1, 2), 960),
        ((64, 64), 16, (17, 1, 8), 16),
        ((5, 7), 2, (3, 1, 1), 12),
        ((8, 8, 8), 1, (1, 1, 0), 512),
        ((16, 16, 16), 2, (3, 1, 1), 512),
        ((32, 32, 32), 4, (3, 2, 2), 512),
        ((16, 24, 32), 8, (5, 2, 3), 24),
    ],
)
def test_windows_and_coarse_positions(
    size: tuple[int, ...], stride: int, window: tuple[int, int, int], positions: int
) -> None:
    """Window: kernel, dilation, pad. Positions: ceil(size / K) along each axis."""
    gtx = GTX(2, size=size, stride=stride, squeeze=1)
    found = [each[0] for each in (gtx.conv.kernel_size, gtx.conv.dilation, gtx.conv.padding)]
    assert found == list(window)
    assert gtx.mix.in_features == positions
    assert gtx(torch.zeros(1, *size, 2)).shape == (1, 2, 2)


def test_a_token_by_hand() -> None:
    """Ones through 3 x 3 windows of stride 2 on 4 x 4: 4, 6, 6, 9 positions inside, two channels each, so 8 .. 18.

    Feature 0 adds the four coarse positions: 50. Feature 1 takes the last: 18. SiLU(x) = x sigmoid(x).
    """
    gtx = filled(GTX(2, size=(4, 4), stride=2, squeeze=2), 1.0)
    with torch.no_grad():
        gtx.mix.weight.copy_(torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]]))
        found = gtx(torch.ones(1, 4, 4, 2))
    expected = torch.tensor([[[50 / (1 + math.exp(-50)), 18 / (1 + math.exp(-18))]]])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("at", "reads"), [((2, 2, 2), 8), ((0, 4, 4), 1), ((1, 2, 2), 0)])
def test_a_dilated_window_reads_every_other_voxel(at: tuple[int, int, int], reads: int) -> None:
    """K = 4 on 8^3: the two positions of an axis read -2, 0, 2 and 2, 4, 6."""
    gtx = filled(GTX(1, size=(8, 8, 8), stride=4, squeeze=1), 1.0)
    with torch.no_grad():
        assert int(gtx.conv(impulse((8, 8, 8), *at).movedim(-1, 1)).sum()) == reads


@pytest.mark.parametrize(("squeeze", "tokens", "weights"), [(1, 6, 6 * 10), (2, 3, 3 * 19), (6, 1, 1 * 55)])
def test_squeezing_mixes_consecutive_channels_into_fewer_tokens(squeeze: int, tokens: int, weights: int) -> None:
    gtx = GTX(6, size=(4, 4), stride=2, squeeze=squeeze)
    assert weights_of(gtx.conv) == weights
    m = torch.zeros(1, 4, 4, 6)
    moved = m.clone()
    moved[0, 1, 1, 0] = 1
    with torch.no_grad():
        changed = (gtx(m) != gtx(moved)).any(-1)[0]
    assert changed.tolist() == [True, *[False] * (tokens - 1)]


def test_rows_and_columns_keep_their_order() -> None:
    """Only the coarse position (1, 0) of a 4 x 6 map speaks: number 3 in raster order."""
    gtx = filled(GTX(1, size=(4, 6), stride=2, squeeze=1), 0.0)
    with torch.no_grad():
        gtx.conv.weight[:, :, 1, 1] = 1
        gtx.mix.weight.zero_()[0, 3] = 1
        assert float(gtx(impulse((4, 6), 2, 0))) == pytest.approx(1 / (1 + math.exp(-1)))
        assert float(gtx(impulse((4, 6), 0, 2))) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"squeeze": 4}, "squeeze must divide the 6 channels .* found 4"),
        ({"squeeze": 0}, "squeeze must divide .* found 0"),
        ({"stride": 3}, "2D maps must be 1 or even, found 3"),
        ({"stride": 0}, "2D maps must be 1 or even, found 0"),
        ({"size": (4, 4, 4), "stride": 3}, r"3D maps must be one of \(1, 2, 4, 8\), found 3"),
        ({"size": (2, 2, 2), "stride": 8}, r"stride 8 needs a larger map, found \(2, 2, 2\)"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GTX(6, **{"size": (4, 4), "stride": 2, "squeeze": 1, **options})
