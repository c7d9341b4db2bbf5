"""Figures of one case that one can check by hand."""

import numpy as np
import pytest

from client.viewing.case_figures import HU_EDGES, CaseFigures, measure
from tests.support.viewed import viewed_volumes


def test_figures_of_a_case():
    """300 voxels of 4 mm3 are 1.2 ml; SUV 8 within, 20 elsewhere."""
    volumes = viewed_volumes()
    volumes["pet"].array_zyx[0, 0, 0] = 20
    found = measure(volumes)
    assert (found.tumour_suv_max, found.image_suv_max) == (8, 20)
    assert found.volume_ml == pytest.approx(1.2)


def test_shares_of_hu():
    """24 x 34 of 30 x 40 voxels are tissue of 60 HU, the rest air."""
    shares = measure({"ct": viewed_volumes()["ct"]}).hu_shares
    assert shares is not None
    assert shares[HU_EDGES.index(50)] == pytest.approx(24 * 34 / 1200)
    assert shares[0] == pytest.approx(1 - 24 * 34 / 1200)


def test_what_is_not_there_is_undefined():
    volumes = viewed_volumes()
    volumes["gtv"].array_zyx[:] = 0
    found = measure(volumes)
    assert (found.tumour_suv_max, found.volume_ml) == (None, None)
    assert found.image_suv_max == 8
    assert measure({}) == CaseFigures()


def test_values_that_are_not_finite_are_left_out():
    volumes = viewed_volumes()
    volumes["pet"].array_zyx[0, 0, 0] = np.nan
    assert measure(volumes).image_suv_max == 8
    volumes["pet"].array_zyx[:] = np.nan
    assert measure(volumes).image_suv_max is None
