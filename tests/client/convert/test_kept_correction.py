"""A corrected label outlives a new conversion of its study."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.convert.contract import ReadCase
from client.convert.kept_correction import keep_correction
from client.data.conversion import ContourFrom, Conversion
from client.data.conversion_file import write_conversion
from client.data.volume import IDENTITY, Volume, write_volume

CT = Volume(np.zeros((2, 3, 4), np.float32), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY, "ct_hu")
LABEL = replace(CT, array_zyx=np.ones((2, 3, 4), np.uint8), quantity="mask")
FROM_SOURCE = replace(LABEL, array_zyx=np.zeros((2, 3, 4), np.uint8))
READ = ReadCase(ct=CT, gtv=FROM_SOURCE, contours_from="rtstruct", rois=("old",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "case-a"


def write(folder: Path, contours_from: ContourFrom = "correction", label: Volume = LABEL) -> None:
    folder.mkdir()
    write_volume(label, folder / "gtv.nii.gz")
    write_conversion(Conversion("dicom", "concilium", contours_from=contours_from, rois=("new",)), folder)


def test_a_correction_goes_before_the_contours_of_the_source(folder: Path):
    write(folder)
    found = keep_correction(READ, folder)
    assert found.gtv is not None
    assert found.gtv.array_zyx.all()
    assert (found.contours_from, found.rois) == ("correction", ("new",))
    assert [(issue.code, issue.grade) for issue in found.issues] == [("correction-kept", "note")]


def test_a_label_that_nobody_corrected_is_read_from_the_source_again(folder: Path):
    assert keep_correction(READ, folder) is READ
    write(folder, "rtstruct")
    assert keep_correction(READ, folder) is READ


def test_a_correction_on_another_grid_is_told(folder: Path):
    write(folder, label=replace(LABEL, origin_xyz_mm=(0.0, 0.0, 50.0)))
    found = keep_correction(READ, folder)
    assert (found.gtv, found.contours_from) == (FROM_SOURCE, "rtstruct")
    assert [(issue.code, issue.grade) for issue in found.issues] == [("correction-lost", "warning")]
