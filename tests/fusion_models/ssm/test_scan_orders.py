"""The orders of ClinicalFMamba's figure on a cube of 3, and that what was read returns to its place on any box."""

import pytest
import torch

from fusion_models.ssm.cross_scan import cross_scan
from fusion_models.ssm.scan_orders import (
    AXIAL,
    CORONAL,
    FOUR_DIRECTIONS,
    SAGITTAL,
    SIX_DIRECTIONS,
    TRI_PLANE,
    ScanOrder,
    merge,
    read,
    read_all,
)

# 1 + 9z + 3y + x
CUBE = torch.arange(1.0, 28.0).reshape(1, 3, 3, 3, 1)
FIRST_NINE = {
    AXIAL: [1, 2, 3, 4, 5, 6, 7, 8, 9],
    SAGITTAL: [1, 10, 19, 2, 11, 20, 3, 12, 21],
    CORONAL: [1, 10, 19, 4, 13, 22, 7, 16, 25],
}
BOXES = {(2, 5): FOUR_DIRECTIONS, (3, 3, 3): SIX_DIRECTIONS, (2, 3, 5): SIX_DIRECTIONS}


@pytest.mark.parametrize("order", TRI_PLANE)
def test_the_three_planes_are_read_as_the_figure_prints_them(order: ScanOrder) -> None:
    sequence = read(CUBE, order)[0, :, 0].tolist()
    assert sequence[:9] == FIRST_NINE[order]
    assert (sequence[-1], sorted(sequence)) == (27, list(range(1, 28)))


def test_backwards_is_the_same_order_from_its_end() -> None:
    assert read(CUBE, ScanOrder((0, 1, 2), backwards=True))[0, :3, 0].tolist() == [27, 26, 25]


def test_the_four_directions_of_a_map_are_rows_and_columns_both_ways() -> None:
    x = torch.rand(2, 3, 5, 4)
    assert torch.equal(read_all(x, FOUR_DIRECTIONS), cross_scan(x)[:, [0, 2, 1, 3]])


@pytest.mark.parametrize("size", BOXES)
def test_what_every_order_read_merges_to_as_many_times_the_map(size: tuple[int, ...]) -> None:
    x, orders = torch.rand(2, *size, 4), BOXES[size]
    torch.testing.assert_close(merge(read_all(x, orders), size, orders), len(orders) * x)


@pytest.mark.parametrize(("size", "k"), [(size, k) for size, orders in BOXES.items() for k in range(len(orders))])
def test_each_order_returns_to_its_own_place(size: tuple[int, ...], k: int) -> None:
    x, orders = torch.rand(1, *size, 2), BOXES[size]
    sequences = torch.zeros_like(read_all(x, orders))
    sequences[:, k] = read(x, orders[k])
    assert torch.equal(merge(sequences, size, orders), x)
