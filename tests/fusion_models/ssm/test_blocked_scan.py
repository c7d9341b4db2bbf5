"""Rounds and blocks of the scan."""

import math
from itertools import pairwise

import pytest
import torch

from fusion_models.ssm import blocked_scan
from fusion_models.ssm.blocked_scan import Rows, ScanRound, block_steps, rounds_of, scan_rows
from fusion_models.ssm.selective_scan import selective_scan_fn
from tests.support.scan_arguments import arguments, of_leaves
from tests.support.sequential_scan import sequential_scan


@pytest.mark.parametrize("length", [1, 7, 8, 63, 64, 65, 97])
@pytest.mark.parametrize(("d", "n"), [(2, 1), (2, 8), (12, 16)])
@pytest.mark.usefixtures("small_slabs")
def test_blocks_that_advance_together_join_at_any_length(length: int, d: int, n: int) -> None:
    given = arguments(3, d, length, n, groups=2)
    (found, gradients), (expected, by_definition) = (
        of_leaves(selective_scan_fn, given),
        of_leaves(sequential_scan, given),
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients, by_definition)


@pytest.mark.parametrize(("length", "steps", "most"), [(1, 1, 9), (64, 8, 4), (100, 8, 5), (100, 8, 2), (31, 32, 4)])
def test_rounds_cover_every_step_once(length: int, steps: int, most: int) -> None:
    rounds = blocked_scan.rounds_of(length, min(length, steps), most)
    ends = [part.start + part.blocks * part.steps for part in rounds]
    assert rounds[0].start == 0
    assert ends[-1] == length
    assert all(end == part.start for end, part in zip(ends, rounds[1:], strict=False))
    assert all(low.first + low.blocks == high.first for low, high in pairwise(rounds))
    assert max(part.blocks for part in rounds) <= (most if most >= 4 else 1)


def test_rounds_of_seven_steps_in_blocks_of_two() -> None:
    """Three whole blocks, too few to advance together, and one step that is left over."""
    assert rounds_of(7, 2, 3) == [
        ScanRound(0, 0, 1, 2),
        ScanRound(2, 1, 1, 2),
        ScanRound(4, 2, 1, 2),
        ScanRound(6, 3, 1, 1),
    ]
    assert rounds_of(9, 2, 4) == [ScanRound(0, 0, 4, 2), ScanRound(8, 4, 1, 1)]


def test_two_blocks_by_hand() -> None:
    """a = 1/2 at every step and x = 1: h = 1, 3/2, 7/4, 15/8; the second block starts from 3/2."""
    ones = torch.ones(1, 4, 1, 1, dtype=torch.float64)
    rows = Rows(ones, ones, torch.full((1, 1, 1, 1), -math.log(2), dtype=torch.float64), ones, ones)
    y, borders, last = torch.empty_like(ones), ones.new_empty(1, 2, 1, 1, 1), ones.new_empty(1, 1, 1, 1)
    scan_rows(rows, 2, 1, y, borders, last)
    torch.testing.assert_close(y.flatten(), torch.tensor([1, 1.5, 1.75, 1.875], dtype=torch.float64))
    torch.testing.assert_close(borders.flatten(), torch.tensor([0, 1.5], dtype=torch.float64))
    assert last.item() == 1.875


@pytest.mark.parametrize(("length", "states", "steps"), [(100, 1, 32), (5, 1, 5), (100, 10**9, 8), (100, 49_152, 16)])
def test_steps_of_a_block(length: int, states: int, steps: int) -> None:
    """32, fewer where a sequence is short or a row fills more than a slab of 24576 values, never below 8."""
    assert block_steps(length, states) == steps
