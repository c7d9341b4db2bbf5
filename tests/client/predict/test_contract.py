"""A scan's base is its CT, or its PET where there is no CT."""

from dataclasses import replace
from pathlib import Path

import pytest

from client.predict.contract import Scan
from tests.support.predicted_scan import made_scan


def test_a_mask_lies_on_the_ct_and_refers_to_it(tmp_path: Path) -> None:
    scan = made_scan(tmp_path).scan
    assert scan.base is scan.ct
    assert scan.base_headers is scan.ct_headers
    assert list(scan.images) == ["ct", "pet"]


def test_without_a_ct_it_lies_on_the_pet(tmp_path: Path) -> None:
    scan = replace(made_scan(tmp_path).scan, ct=None)
    assert scan.base is scan.pet
    assert scan.base_headers is scan.pet_headers


def test_without_an_image_there_is_no_grid() -> None:
    with pytest.raises(ValueError, match="scan 'x' has neither CT nor PET"):
        _ = Scan("x").base
