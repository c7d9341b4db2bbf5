"""Weights, tokens and ranks of single LoG-VMamba blocks at the paper's sizes, to the unit (arXiv 2408.14415)."""

import math
from typing import Any

import pytest
import torch

from fusion_models.log_vmamba.block import LogBlock
from fusion_models.log_vmamba.hosts import global_tokens
from fusion_models.ssm.vss import VSSBlock
from tests.support.log_hosts import PAPER_2D, PAPER_3D
from tests.support.model_measures import weights_of
from tests.support.recorded_scans import scans_of

OF_BLOCKS = ("expansion", "compression", "state")
UNFOLD_2D, UNFOLD_3D = 81, 729
"""The official counts hold a fixed r x r kernel in each block that unfolds; here the unfolding has no tensor."""

DECODER_512 = ((384, (32, 32), 2, 2), (192, (64, 64), 2, 1), (96, (128, 128), 4, 1))
DECODER_WIDE = ((384, (24, 40), 2, 2), (192, (48, 80), 2, 1), (96, (96, 160), 4, 1))


def paper_block(width: int, size: tuple[int, ...], variant: str, *, stride: int = 2, squeeze: int = 1) -> Any:
    paper = PAPER_2D if len(size) == 2 else PAPER_3D
    options = {name: paper[name] for name in OF_BLOCKS}
    (tokens,) = global_tokens([variant], strides=[stride], squeezes=[squeeze], placement=paper["placement"])
    with torch.device("meta"):
        return LogBlock(width, size=size, variant=variant, global_tokens=tokens, **options)


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
    found = [weights_of(paper_block(c, size, variant, stride=k, squeeze=q)) for c, size, k, q in stages]
    assert found == list(expected)


def test_one_scan_is_what_parts_a_vss_block_from_its_four_directions() -> None:
    plain, four = paper_block(8, (4, 4), "vss"), VSSBlock(8, state=16)
    assert weights_of(four) - weights_of(plain) == 3 * weights_of(plain.scan)


ENCODER_128 = (
    (32, (64, 64, 64), "l", 1, 1, 9_655 - UNFOLD_3D),
    (64, (32, 32, 32), "log", 4, 1, 87_257 - UNFOLD_3D),
    (128, (16, 16, 16), "log", 2, 1, 215_209 - UNFOLD_3D),
    (256, (8, 8, 8), "g", 1, 2, 357_504),
    (320, (4, 4, 4), "g", 1, 8, 367_400),
)


def test_weights_of_the_3d_blocks() -> None:
    found = [weights_of(paper_block(c, size, v, stride=k, squeeze=q)) for c, size, v, k, q, _ in ENCODER_128]
    assert found == [count for *_, count in ENCODER_128]


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
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    size: tuple[int, ...],
    variant: str,
    stride: int,
    squeeze: int,
    expected: tuple[int, int, int],
) -> None:
    scans, block = scans_of(monkeypatch), paper_block(width, size, variant, stride=stride, squeeze=squeeze)
    x = torch.empty(1, *size, width, device="meta")
    assert block(x).shape == x.shape
    assert [(*scan, block.scan.rank) for scan in scans] == [expected]


def test_step_ranks_are_rounded_up() -> None:
    """Plain: ceil(C / 16). Unfolded: ceil((C // S) 9 / 16) of the width, not of the inner one."""
    assert paper_block(20, (4, 4), "vss").scan.rank == math.ceil(20 / 16)
    assert paper_block(20, (4, 4), "log").scan.rank == math.ceil((20 // 8) * 9 / 16)
