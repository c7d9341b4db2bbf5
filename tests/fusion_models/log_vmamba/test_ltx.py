"""Local tokens: a grouped convolution and the neighbourhood of each position (arXiv 2408.14415)."""

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.log_vmamba.ltx import LTX, GroupedConv, unfold
from tests.support.model_measures import weights_of


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_two_axes_unfold_as_torch_does() -> None:
    m = drawn(2, 4, 5, 3)
    expected = F.unfold(m.permute(0, 3, 1, 2), 3, padding=1).transpose(1, 2)
    assert torch.equal(unfold(m).flatten(1, 2), expected)


def test_three_axes_unfold_as_27_shifts_channel_by_channel() -> None:
    m = drawn(2, 3, 4, 5, 2)
    padded = F.pad(m, (0, 0, 1, 1, 1, 1, 1, 1))
    shifts = [padded[:, z : z + 3, y : y + 4, x : x + 5] for z, y, x in product(range(3), repeat=3)]
    found = unfold(m)
    assert found.shape == (2, 3, 4, 5, 54)
    for c, s in product(range(2), range(27)):
        assert torch.equal(found[..., c * 27 + s], shifts[s][..., c])


@pytest.mark.parametrize(("size", "center", "r"), [((4, 5), 4, 9), ((3, 4, 5), 13, 27)])
def test_the_center_neighbour_is_the_map(size: tuple[int, ...], center: int, r: int) -> None:
    m = drawn(1, *size, 2)
    assert torch.equal(unfold(m)[..., center::r], m)


def test_outside_of_the_map_is_zero() -> None:
    """A corner of a 2D map has four neighbours inside, itself among them."""
    assert float(unfold(torch.ones(1, 3, 3, 1))[0, 0, 0].sum()) == 4


@pytest.mark.parametrize(("size", "weights"), [((4, 4), 2 * (4 * 9 + 1)), ((4, 4, 4), 2 * (4 * 27 + 1))])
def test_only_the_convolution_has_weights(size: tuple[int, ...], weights: int) -> None:
    ltx = LTX(8, 2, axes=len(size))
    assert weights_of(ltx) == weights
    assert set(ltx.state_dict()) == {"conv.weight", "conv.bias"}
    assert ltx(drawn(2, *size, 8)).shape == (2, *size, 2 * 3 ** len(size))


@pytest.mark.parametrize("axes", [2, 3])
def test_each_output_channel_sums_its_own_consecutive_inputs(axes: int) -> None:
    """Kernels that read the position itself: channels 1 + 2 = 3 and 3 + 4 = 7, plus a bias of 1, through SiLU."""
    conv: Any = GroupedConv(4, 2, axes=axes)
    center: Any = (slice(None), slice(None), *[1] * axes)
    with torch.no_grad():
        nn.init.zeros_(conv.conv.weight)[center] = 1
        nn.init.ones_(conv.conv.bias)
        found = conv(torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(1, *[3] * axes, 4))
    assert torch.equal(found, F.silu(torch.tensor([4.0, 8.0])).expand(1, *[3] * axes, 2))


@pytest.mark.parametrize(("axes", "changed"), [(2, 25), (3, 125)])
def test_a_token_sees_five_positions_along_each_axis(axes: int, changed: int) -> None:
    ltx = LTX(4, 2, axes=axes)
    a = drawn(1, *[7] * axes, 4)
    moved = a.clone()
    moved[(0, *[3] * axes)] += 1
    with torch.no_grad():
        assert int((ltx(a) != ltx(moved)).any(-1).sum()) == changed


def test_gradients_of_the_unfold_agree_with_finite_differences() -> None:
    assert torch.autograd.gradcheck(unfold, drawn(1, 2, 3, 2).double().requires_grad_())
    assert torch.autograd.gradcheck(unfold, drawn(1, 2, 2, 3, 1).double().requires_grad_())
