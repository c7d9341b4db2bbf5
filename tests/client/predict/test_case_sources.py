"""Cases of a data folder are predicted as their studies are, where their source still is what it was."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from client.corrections.correction_run import Wishes, bring_back
from client.data.manifest import File
from client.data.volume import Volume, read_volume
from client.dicom.segmentation import place_segments, read_segments
from client.predict.case_sources import find_source
from client.predict.prediction_run import predict_scans
from client.predict.scans import scans_of_cases
from tests.support.corrected_study import Corrected, convert_export, shift
from tests.support.dicom_study import MadeStudy
from tests.support.predicted_scan import made_scan, predictor
from tests.support.two_cases import scan

Origins = Mapping[str, str | list[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    """A study of CT and PET, converted; nothing is predicted yet."""
    root = tmp_path_factory.mktemp("made")
    made_scan(root / "export")
    case = convert_export(root / "export", root / "data")
    (root / "edited").mkdir()
    return Corrected(MadeStudy(), root / "export" / "ct", root / "data", root / "predicted", root / "edited", case)


def origins_of(made: Corrected) -> Origins:
    return made.private.read_origins()[made.case].origins


def images_of(made: Corrected) -> dict[File, Volume]:
    folder = made.dest / made.case
    return {
        "ct": read_volume(folder / "ct.nii.gz", "ct_hu"),
        "pet": read_volume(folder / "pet.nii.gz", "pet_suv"),
    }


def test_a_predicted_case_is_a_segmentation_that_comes_back_corrected(made: Corrected) -> None:
    """SEG equals mask voxel for voxel; moved by a voxel and read from its file, it is the label of its case."""
    scans = scans_of_cases(scan(made.dest).usable, made.private.read_origins())
    (outcome,) = predict_scans(scans, predictor(), made.predictions)
    assert outcome.record is not None
    assert {"mask", "seg", "rtstruct", "report"} <= set(outcome.record["files"])
    seg = read_segments(outcome.folder / "prediction.seg.dcm")
    placed = place_segments(seg, [1], made.predicted)
    assert made.predicted.array_zyx.any()
    assert not placed.resampled
    assert (placed.mask_zyx == made.predicted.array_zyx).all()
    report = dcmread(outcome.folder / "prediction.sr.dcm")
    assert report.StudyInstanceUID == origins_of(made)["study_uid"]

    made.edit(shift)
    found = bring_back(made.edited, made.predictions, made.dest, made.private, Wishes(), lambda _count: None)
    assert [(each.case, each.state) for each in found.outcomes] == [(made.case, "taken")]
    assert (made.label.array_zyx == shift(made.predicted.array_zyx)).all()


def test_a_case_without_pet_shown_refers_to_its_ct_alone(made: Corrected) -> None:
    source = find_source(made.case, {"ct": images_of(made)["ct"]}, origins_of(made))
    assert {name: len(headers) for name, headers in source.headers.items()} == {"ct": 20}
    assert source.issues == ()


def test_a_case_of_image_files_has_no_source_and_nothing_is_told(made: Corrected) -> None:
    files: Origins = {"ct_files": ["ct.nii.gz"], "pet_files": ["pet.nii.gz"]}
    source = find_source(made.case, images_of(made), files)
    assert (source.origins, source.headers, source.issues) == ({}, {}, ())


def test_another_grid_than_that_of_the_series_gives_no_source(made: Corrected) -> None:
    images = images_of(made)
    x_mm, y_mm, z_mm = images["ct"].origin_xyz_mm
    moved = replace(images["ct"], origin_xyz_mm=(x_mm + 1, y_mm, z_mm))
    source = find_source(made.case, {**images, "ct": moved}, origins_of(made))
    assert (source.origins, source.headers) == ({}, {})
    assert [(issue.code, issue.grade) for issue in source.issues] == [("no-source", "warning")]
    assert "another grid" in source.issues[0].message


@pytest.mark.parametrize("change", ["gone", "other-series", "other-study", "fewer"])
def test_files_that_are_not_what_they_were_give_no_source(made: Corrected, tmp_path: Path, change: str) -> None:
    origins, files = dict(origins_of(made)), list(origins_of(made)["ct_files"])
    changed: dict[str, Origins] = {
        "gone": {"ct_files": [*files[1:], str(tmp_path / "gone.dcm")]},
        "other-series": {"ct_files": origins["pet_files"]},
        "other-study": {"study_uid": "1.2.3"},
        "fewer": {"ct_files": files[1:]},
    }
    source = find_source(made.case, images_of(made), origins | dict(changed[change]))
    assert (source.origins, source.headers) == ({}, {})
    assert [issue.code for issue in source.issues] == ["no-source"]
    assert str(tmp_path) not in source.issues[0].message
    assert np.all([str(made.source) not in issue.message for issue in source.issues])
