"""DCIM: its windows, its closed form, the official code's numbers, and rectangles, which that code cannot take."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion_models.vmambax.dcim import Dcim, DcimBlock, DcimStem, cut_windows, join_windows
from fusion_models.vmambax.norms import group_norm
from fusion_models.vmambax.official_names import official_name
from tests.support.model_measures import gradient, weights_of
from tests.support.official_weights import assert_golden, inp, load_golden

WIDTH = 16
NORMS = pytest.mark.parametrize("norm", [nn.BatchNorm2d, group_norm])


def maps(batch: int = 2, size_yx: tuple[int, int] = (8, 12)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, WIDTH, *size_yx)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def seeded(norm: Callable[[int], nn.Module] = group_norm) -> Dcim:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Dcim(WIDTH, state=4, norm=norm)


def window_by_window(block: DcimBlock, pixels: Tensor, tokens: Tensor) -> Tensor:
    """The block of one case as the paper says it: pixels (y, x, c), tokens (y/4, x/4, c)."""
    tokens = tokens + block.regional(block.regional_norm(tokens[None]))[0]
    found = torch.empty_like(pixels)
    for row in range(tokens.shape[0]):
        for column in range(tokens.shape[1]):
            place = slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
            window = pixels[place]
            flat = torch.cat([window[y, x] for y in range(4) for x in range(4)])
            normed = block.local_norm(flat).reshape(1, 4, 4, -1)
            found[place] = window + block.local(normed)[0] + tokens[row, column]
    return found


@pytest.mark.parametrize(
    ("width", "inner", "stem", "block"),
    [
        (96, 41_832, 71_406, 213_696),
        (192, 166_608, 284_076, 685_440),
        (384, 664_992, 1_133_208, 2_403_072),
        (768, 2_657_088, 4_526_640, 8_934_912),
    ],
)
def test_parameters_by_hand(width: int, inner: int, stem: int, block: int) -> None:
    with torch.device("meta"):
        dcim = Dcim(width, state=16, norm=nn.BatchNorm2d)
    assert (weights_of(dcim.stem.inner), weights_of(dcim.stem), weights_of(dcim.block)) == (inner, stem, block)
    assert inner == 4.5 * width**2 + 3.75 * width
    assert stem - inner == (9 / 16 + 9 / 128 + 9 / 32 + 9 / 4) * width**2 + 4.3125 * width


def test_the_stem_has_six_batch_norms_of_the_official_kind() -> None:
    norms = [module for module in seeded(nn.BatchNorm2d).modules() if isinstance(module, nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [4, 16, 1, 2, 4, 16]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}


def golden_stem() -> tuple[Tensor, Tensor]:
    stem = DcimStem(WIDTH, norm=nn.BatchNorm2d).eval()
    load_golden(stem, lambda key: official_name(f"interactions.0.stem.{key}"))
    with torch.no_grad():
        pixels, tokens = stem(inp(0, (1, 16, 8, 8)), inp(1, (1, 16, 8, 8)))
    return pixels, tokens


def test_the_stem_of_the_official_code_gives_the_same_numbers() -> None:
    pixels, tokens = golden_stem()
    inner, outer = cut_windows(pixels).flatten(), tokens.flatten()
    found = [inner.mean(), inner[1], inner[inner.numel() // 2], outer.mean(), outer[0], outer[-1]]
    expected = (0.159970, 0.063038, 0.245898, 0.068928, 0.072408, 0.416357)
    assert [float(value) for value in found] == pytest.approx(expected, abs=1e-5)


def test_the_block_of_the_official_code_gives_the_same_numbers() -> None:
    block = DcimBlock(WIDTH, state=16).eval()
    load_golden(block, lambda key: official_name(f"interactions.0.block.{key}"))
    with torch.no_grad():
        y = block(*golden_stem())
    assert y.shape == (1, 8, 8, 16)
    assert_golden(y, (0.299718, 0.617742, 0.450216, 0.135204, 1.849061, 0.071841, 1.096468), atol=1e-5)


def test_windows_are_cut_row_by_row() -> None:
    """On a 4 x 8 map that counts 0..31 by rows, the second window begins at 4 and its second row at 12."""
    windows = cut_windows(torch.arange(32.0).reshape(1, 4, 8, 1))
    assert windows.shape == (2, 4, 4, 1)
    assert windows[1, :2, :, 0].tolist() == [[4, 5, 6, 7], [12, 13, 14, 15]]


@pytest.mark.parametrize("size_yx", [(8, 8), (4, 8), (12, 4)])
def test_joining_undoes_cutting(size_yx: tuple[int, int]) -> None:
    pixels = torch.randn(2, *size_yx, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(join_windows(cut_windows(pixels), (size_yx[0] // 4, size_yx[1] // 4)), pixels)


@pytest.mark.parametrize("grid_yx", [(4, 8), (8, 4), (2, 2), (1, 1)])
def test_the_block_is_the_papers_loop_over_windows_on_rectangles_too(grid_yx: tuple[int, int]) -> None:
    dcim = seeded().double()
    nn.init.uniform_(dcim.block.local_norm.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        pair = (each.double() for each in maps(2, (4 * grid_yx[0], 4 * grid_yx[1])))
        pixels, tokens = dcim.stem(*pair)
        expected = torch.stack([window_by_window(dcim.block, *case) for case in zip(pixels, tokens, strict=True)])
        torch.testing.assert_close(dcim.block(pixels, tokens), expected)


@NORMS
def test_without_scans_it_is_the_inner_stem_plus_the_outer_stem_spread_over_windows(
    norm: Callable[[int], nn.Module],
) -> None:
    dcim, (ct, pet) = seeded(norm).eval(), maps()
    nn.init.zeros_(dcim.block.local.out_proj.weight)
    nn.init.zeros_(dcim.block.regional.out_proj.weight)
    with torch.no_grad():
        expected = dcim.stem.inner(ct) + F.interpolate(dcim.stem.outer(pet), scale_factor=4, mode="nearest")
        assert torch.equal(dcim(ct, pet), expected)


def test_ct_and_pet_play_different_parts() -> None:
    dcim, (ct, pet) = seeded(), maps()
    with torch.no_grad():
        assert not torch.allclose(dcim(ct, pet), dcim(pet, ct), atol=1e-2)


@NORMS
def test_every_tensor_learns(norm: Callable[[int], nn.Module]) -> None:
    dcim = seeded(norm).train()
    dcim(*maps()).square().sum().backward()
    assert [name for name, p in dcim.named_parameters() if not gradient(p).any()] == []


@NORMS
@pytest.mark.parametrize("constant", ["ct", "pet"])
def test_a_constant_map_stays_finite(norm: Callable[[int], nn.Module], constant: str) -> None:
    dcim, (ct, pet) = seeded(norm).train(), maps()
    flat = torch.full_like(ct, -1.6)
    found = dcim(flat, pet) if constant == "ct" else dcim(ct, flat)
    found.square().sum().backward()
    assert torch.isfinite(found).all()
    assert all(torch.isfinite(gradient(p)).all() for p in dcim.parameters())


def test_a_batch_of_one_on_one_window_trains_with_group_norm() -> None:
    found = seeded().train()(*maps(1, (4, 4)))
    assert found.shape == (1, WIDTH, 4, 4)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("size_yx", [(6, 8), (8, 10)])
def test_sides_that_windows_do_not_fill_are_refused(size_yx: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"4 x 4 windows, found a map of \({size_yx[0]}, {size_yx[1]}\)"):
        seeded()(*maps(1, size_yx))


def test_a_width_too_small_for_the_outer_stem_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 16 .*found 8"):
        Dcim(8, state=4, norm=group_norm)
