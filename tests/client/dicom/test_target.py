from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from client.data.volume import Grid, read_volume
from client.dicom.image_series import read_ct
from client.dicom.index import index_source
from client.dicom.objects import read_instance
from client.dicom.pairing import pair_studies
from client.dicom.series import Kind, Series
from client.dicom.target import Target, read_target
from tests.support.dicom_study import MadeStudy, square, write_ct, write_pet, write_rtstruct
from tests.support.made_segs import write_segments
from tests.support.pet_headers import SUBJECT

GRID = Grid((4, 20, 20), (3.0, 1.5, 1.5), (-30.0, -30.0, 0.0))
NINE = [square((-15, -15), 4.5, 3.0)]
ONE = [square((-6, -6), 1.5, 6.0)]
"""9 voxels and 1, in slices 1 and 2."""
Rois = dict[str, list[list[list[float]]]]
Write = Callable[..., Series]


@pytest.fixture(scope="module")
def study() -> MadeStudy:
    return MadeStudy()


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory, study: MadeStudy) -> list[Path]:
    return write_ct(tmp_path_factory.mktemp("ct"), study, np.zeros(GRID.shape_zyx))


@pytest.fixture(scope="module")
def pet(tmp_path_factory: pytest.TempPathFactory, study: MadeStudy) -> list[Path]:
    return write_pet(tmp_path_factory.mktemp("pet"), study, np.ones(GRID.shape_zyx))


@pytest.fixture
def write(tmp_path: Path, study: MadeStudy) -> Write:
    def write(rois: Rois, drawn_on: Sequence[Path], **tags: Any) -> Series:
        return series_of(write_rtstruct(tmp_path / f"{generate_uid()}.dcm", study, drawn_on, rois, **tags))

    return write


def series_of(*paths: Path, kind: Kind = "rtstruct") -> Series:
    return Series(kind, tuple(map(read_instance, paths)))


def uid(images: Sequence[Path]) -> str:
    return read_instance(images[0]).series_uid


def target(*contours: Series, pattern: str | None = None, drawn_on: Sequence[str] = ()) -> Target:
    return read_target(contours, GRID, SUBJECT, pattern=pattern, drawn_on=drawn_on)


def voxels(found: Target) -> int | None:
    return int(found.mask.array_zyx.sum()) if found.mask else None


def told(found: Target) -> list[tuple[str, str]]:
    return [(issue.code, issue.grade) for issue in found.issues]


def test_no_contour_object_is_no_target_and_no_issue() -> None:
    assert target() == Target()


def test_the_only_region_is_the_target(write: Write, ct: list[Path]) -> None:
    found = target(write({"Mass": NINE}, ct))
    assert (voxels(found), found.contours_from, found.rois, found.issues) == (9, "rtstruct", ("Mass",), ())
    assert found.mask
    assert (found.mask.grid, found.mask.quantity, found.mask.array_zyx.dtype.name) == (GRID, "mask", "uint8")


def test_two_tumours_in_one_region_are_one_target(write: Write, ct: list[Path]) -> None:
    assert voxels(target(write({"Mass": NINE + ONE}, ct))) == 10


def test_several_regions_without_a_pattern_are_refused_with_their_names(write: Write, ct: list[Path]) -> None:
    found = target(write({"Mass": NINE, "Cord": ONE}, ct))
    assert (found.mask, told(found)) == (None, [("roi-several", "error")])
    assert "2 regions: 'Mass', 'Cord'" in found.issues[0].message
    assert "--rois" in found.issues[0].message


@pytest.mark.parametrize("pattern", ["gtv", "^GTV-1$", "gtv|mass"])
def test_a_pattern_picks_a_region_by_any_part_of_its_name(write: Write, ct: list[Path], pattern: str) -> None:
    found = target(write({"GTV-1": NINE, "Cord": ONE}, ct), pattern=pattern)
    assert (voxels(found), found.rois, found.issues) == (9, ("GTV-1",), ())


def test_several_regions_that_a_pattern_means_are_united_and_told(write: Write, ct: list[Path]) -> None:
    found = target(write({"GTV 1": NINE, "GTV 2": ONE, "Cord": NINE}, ct), pattern="gtv")
    assert (voxels(found), found.rois, told(found)) == (10, ("GTV 1", "GTV 2"), [("roi-united", "note")])


def test_a_pattern_that_means_none_is_refused_with_the_names_that_are_there(write: Write, ct: list[Path]) -> None:
    found = target(write({"Mass": NINE, "Cord": ONE}, ct), pattern="gtv")
    assert (found.mask, told(found)) == (None, [("roi-none", "error")])
    assert "the regions 'Cord', 'Mass', expected one that the pattern 'gtv' is found in" in found.issues[0].message


def test_a_pattern_that_is_no_expression_is_refused(write: Write, ct: list[Path]) -> None:
    found = target(write({"Mass": NINE}, ct), pattern="gtv(")
    assert (found.mask, told(found)) == (None, [("roi-pattern", "error")])


def test_a_region_without_contours_does_not_count(write: Write, ct: list[Path]) -> None:
    found = target(write({"Mass": NINE, "Cord": []}, ct))
    assert (voxels(found), found.rois, told(found)) == (9, ("Mass",), [("roi-empty", "note")])


def test_an_empty_region_that_is_meant_is_refused(write: Write, ct: list[Path]) -> None:
    found = target(write({"GTV": [], "Cord": NINE}, ct), pattern="gtv")
    assert (found.mask, told(found)) == (None, [("roi-empty", "error")])


def test_a_structure_set_without_regions_is_refused(write: Write, ct: list[Path]) -> None:
    assert told(target(write({}, ct))) == [("roi-none", "error")]


def test_contours_drawn_on_the_ct_come_before_those_on_the_pet(write: Write, ct: list[Path], pet: list[Path]) -> None:
    """Though the ones on the PET are newer, and first in the list."""
    on_pet = write({"GTV": ONE}, pet, StructureSetDate="20210101")
    found = target(on_pet, write({"GTV": NINE}, ct), drawn_on=[uid(ct), uid(pet)])
    assert (voxels(found), told(found)) == (9, [("contours-several", "note")])
    assert voxels(target(on_pet, drawn_on=[uid(ct), uid(pet)])) == 1


def test_contours_on_the_pet_count_where_those_on_the_ct_are_not_meant(
    write: Write, ct: list[Path], pet: list[Path]
) -> None:
    contours = write({"Cord": NINE}, ct), write({"GTV": ONE}, pet)
    found = target(*contours, pattern="gtv", drawn_on=[uid(ct), uid(pet)])
    assert (voxels(found), found.issues) == (1, ())


def test_the_newest_of_several_versions_is_taken(write: Write, ct: list[Path]) -> None:
    versions = [write({"GTV": rois}, ct, StructureSetTime=time) for rois, time in ((ONE, "090000"), (NINE, "170000"))]
    for order in (versions, versions[::-1]):
        found = target(*order, drawn_on=[uid(ct)])
        assert (voxels(found), told(found)) == (9, [("contours-several", "note")])


def test_a_region_in_an_older_version_alone_is_a_warning(write: Write, ct: list[Path]) -> None:
    old = write({"GTV node": ONE}, ct, StructureSetTime="090000")
    found = target(old, write({"GTV": NINE}, ct), pattern="gtv", drawn_on=[uid(ct)])
    assert (voxels(found), told(found)) == (9, [("contours-several", "warning")])
    assert "'GTV node' in older ones alone" in found.issues[0].message


def test_without_knowing_the_images_the_order_of_the_objects_decides(write: Write, ct: list[Path]) -> None:
    first = write({"GTV": ONE}, ct, StructureSetTime="090000")
    assert voxels(target(first, write({"GTV": NINE}, ct))) == 1


def test_a_newer_segmentation_comes_before_an_older_structure_set(write: Write, ct: list[Path], tmp_path: Path) -> None:
    region = np.zeros(GRID.shape_zyx)
    region[1, 2:4, 2:4] = 1
    seg = series_of(write_segments(tmp_path / "s.dcm", ct, {"GTV": region}, content_time="170000"), kind="seg")
    found = target(write({"GTV": NINE}, ct), seg, drawn_on=[uid(ct)])
    assert (voxels(found), found.contours_from) == (4, "seg")
    assert found.files == (tmp_path / "s.dcm",)


def test_an_object_that_cannot_be_read_is_told_and_the_other_taken(
    write: Write, ct: list[Path], tmp_path: Path
) -> None:
    broken = write({"GTV": ONE}, ct)
    broken.paths[0].write_bytes(broken.paths[0].read_bytes()[:1500])
    found = target(broken, write({"GTV": NINE}, ct))
    assert (voxels(found), told(found)) == (9, [("contours-unreadable", "warning")])
    assert str(tmp_path) not in found.issues[0].message
    assert str(broken.paths[0]) in found.issues[0].source


def test_regions_that_an_algorithm_drew_are_named(write: Write, ct: list[Path]) -> None:
    contours = write({"GTV": NINE, "GTV 2": ONE}, ct)
    data = dcmread(contours.paths[0])
    data.StructureSetROISequence[0].ROIGenerationAlgorithm = "AUTOMATIC"
    data.save_as(contours.paths[0])
    assert target(contours, pattern="gtv").automatic == ("GTV",)
    assert target(contours, pattern="2").automatic == ()


def test_contours_of_another_place_are_no_target(write: Write, ct: list[Path]) -> None:
    found = target(write({"GTV": [square((500, 500), 4.5, 3.0)]}, ct))
    assert (found.mask, told(found)) == (None, [("contours-outside", "error")])


def test_contours_across_the_slices_are_no_target(write: Write, ct: list[Path]) -> None:
    found = target(write({"GTV": [[[0, 0, 0], [0, 9, 0], [0, 9, 9]]]}, ct))
    assert (found.mask, told(found)) == (None, [("contours-slanted", "error")])


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("patient", "pattern"), [("STS_003", "CT"), ("STS_008", "CT"), ("STS_025", "CT"), ("STS_025", "PET")]
)
def test_real_contours_are_the_published_masks(patient: str, pattern: str, data_root: Path, tmp_path: Path) -> None:
    """Drawn on the CT or on the PET 0.02 mm off it: every voxel is the same, Dice 1."""
    series, _ = index_source(data_root / "sts_dicom" / patient, tmp_path, progress=lambda _: None)
    (case,), _ = pair_studies(series)
    assert case.ct
    image, _ = read_ct(case.ct, SUBJECT)
    found = read_target(case.contours, image, SUBJECT, pattern=pattern)
    assert found.mask
    (published,) = (data_root / "sts").glob(f"center-*/{patient}/gtv.nii.gz")
    assert found.rois == (f"GTV_Mass_{pattern}",)
    assert np.array_equal(found.mask.array_zyx, read_volume(published, "mask").array_zyx)
