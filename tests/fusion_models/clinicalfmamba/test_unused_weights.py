"""The weights that the release holds unused."""

import pytest

from fusion_models.clinicalfmamba.unused_weights import UnusedWeights
from tests.support.model_measures import weights_of


@pytest.mark.parametrize(("axes", "count"), [(2, 4_120_289 - 3_155_521), (3, 6_002_209 - 3_408_289)])
def test_they_are_what_the_release_has_beside_what_learns(axes: int, count: int) -> None:
    assert weights_of(UnusedWeights(axes)) == count


def test_in_2d_the_decays_are_those_of_three_scans_in_twelve_blocks() -> None:
    assert UnusedWeights(2)["scan_decays"].numel() == 12 * 3 * 256 * 8


def test_in_3d_the_directions_are_five_of_eight_in_ten_blocks() -> None:
    assert UnusedWeights(3)["scan_directions"].numel() == 10 * 5 * 12_032
