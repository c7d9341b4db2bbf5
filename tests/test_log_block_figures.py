"""Weights, tokens and ranks of single LoG-VMamba blocks at the paper's sizes, to the unit (arXiv 2408.14415)."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion_models.log_vmamba.block import LogBlock
from fusion_models.ssm.vss import VSSBlock

PAPER_2D = {"expansion": 2, "compression": 8}
PAPER_3D = {"expansion": 1, "compression": 16, "norm_eps": 1e-6}

UNFOLD_2D, UNFOLD_3D = 81, 729
"""The official counts hold a fixed r x r kernel in each block that unfolds; here the unfolding has no tensor."""

DECODER_512 = ((384, (32, 32), 2, 2), (192, (64, 64), 2, 1), (96, (128, 128), 4, 1))
DECODER_WIDE = ((384, (24, 40), 2, 2), (192, (48, 80), 2, 1), (96, (96, 160), 4, 1))


def weights(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def paper_block(width: int, size: tuple[int, ...], variant: str, **options: Any) -> Any:
    shared = PAPER_2D if len(size) == 2 else PAPER_3D
    with torch.device("meta"):
        return LogBlock(width, size=size, variant=variant, **{**shared, **options})


class Recorder(nn.Module):
    """In the place of the scan: notes the tokens it is given and hands them on."""

    def forward(self, v: Tensor) -> Tensor:
        self.tokens = v
        return v


@pytest.mark.parametrize(
    ("stages", "variant", "expected"),
    [
        (DECODER_512, "log", (1_877_793 - UNFOLD_2D, 872_625 - UNFOLD_2D, 340_017 - UNFOLD_2D)),
        (DECODER_WIDE, "log", (1_863_969 - UNFOLD_2D, 844_977 - UNFOLD_2D, 326_193 - UNFOLD_2D)),
        (DECODER_512, "l", (1_647_537 - UNFOLD_2D, 425_505 - UNFOLD_2D, 113_001 - UNFOLD_2D)),
        (DECODER_512, "l-narrow", (285_312, 83_040, 26_400)),
        (DECODER_512, "vss", (969_984, 254_592, 69_696)),
        (DECODER_512, "g", (969_984 + 204_672, 254_592 + 397_440, 69_696 + 201_792)),
    ],
)
def test_weights_of_a_decoder_block(stages: Any, variant: str, expected: tuple[int, ...]) -> None:
    found = [weights(paper_block(c, size, variant, stride=k, squeeze=q)) for c, size, k, q in stages]
    assert found == list(expected)


def test_2d_blocks_add_up_to_the_published_networks() -> None:
    """Six blocks beside 24,208,708 weights of the host; the plain host's blocks scan in four directions."""
    host = 30_389_578 - 2 * (1_877_793 + 872_625 + 340_017)

    def total(variant: str) -> int:
        blocks = [weights(paper_block(c, size, variant, stride=k, squeeze=q)) for c, size, k, q in DECODER_512]
        return host + 2 * sum(blocks)

    assert total("log") == 30_389_092
    assert total("l") == 28_580_794 - 6 * UNFOLD_2D
    assert total("l-narrow") == 24_998_698 - 6 * UNFOLD_2D
    assert total("g") == 28_405_060
    three_more_scans = sum(3 * weights(paper_block(c, size, "vss").scan) for c, size, _, _ in DECODER_512)
    assert total("vss") == 27_490_756 - 2 * three_more_scans


def test_one_scan_is_what_parts_a_vss_block_from_its_four_directions() -> None:
    with torch.device("meta"):
        plain, four = LogBlock(8, size=(4, 4), variant="vss", expansion=2), VSSBlock(8, state=16)
    assert weights(four) - weights(plain) == 3 * weights(plain.scan)


ENCODER_128 = (
    (32, (64, 64, 64), "l", 1, 1, 9_655 - UNFOLD_3D),
    (64, (32, 32, 32), "log", 4, 1, 87_257 - UNFOLD_3D),
    (128, (16, 16, 16), "log", 2, 1, 215_209 - UNFOLD_3D),
    (256, (8, 8, 8), "g", 1, 2, 357_504),
    (320, (4, 4, 4), "g", 1, 8, 367_400),
)


def test_weights_of_the_3d_blocks() -> None:
    """Three unfold, so the published 20,553,828 hold 3 * 27^2 that do not learn: 20,551,641."""
    found = [weights(paper_block(c, size, v, stride=k, squeeze=q)) for c, size, v, k, q, _ in ENCODER_128]
    assert found == [count for *_, count in ENCODER_128]
    assert 20_553_828 - 3 * UNFOLD_3D == 20_551_641


@pytest.mark.parametrize(
    ("width", "size", "variant", "stride", "squeeze", "expected"),
    [
        *((c, size, "log", k, q, each) for (c, size, k, q), each in zip(
            DECODER_512, [(864, 1456, 27), (432, 4528, 14), (216, 16_600, 7)], strict=True)),
        *((c, size, "log", k, q, each) for (c, size, k, q), each in zip(
            DECODER_WIDE, [(864, 1392, 27), (432, 4272, 14), (216, 15_576, 7)], strict=True)),
        *((c, size, v, k, q, each) for (c, size, v, k, q, _), each in zip(
            ENCODER_128, [(54, 262_144, 4), (108, 32_876, 7), (216, 4312, 14), (256, 640, 16), (320, 104, 20)],
            strict=True)),
    ],
)  # fmt: skip
def test_width_length_and_step_rank_of_the_scan(
    width: int, size: tuple[int, ...], variant: str, stride: int, squeeze: int, expected: tuple[int, int, int]
) -> None:
    block = paper_block(width, size, variant, stride=stride, squeeze=squeeze)
    rank, block.scan = block.scan.rank, Recorder()
    x = torch.empty(1, *size, width, device="meta")
    assert block(x).shape == x.shape
    length, tokens = block.scan.tokens.shape[1:]
    assert (tokens, length, rank) == expected


def test_step_ranks_are_rounded_up() -> None:
    """Plain: ceil(C / 16). Unfolded: ceil((C // S) 9 / 16) of the width, not of the inner one."""
    assert paper_block(20, (4, 4), "vss").scan.rank == math.ceil(20 / 16)
    assert paper_block(20, (4, 4), "log").scan.rank == math.ceil((20 // 8) * 9 / 16)
