"""What `predict` writes as DICOM, judged by programs of others: dicom-validator, dciodvfy, dcmtk, SimpleITK."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from client.convert.contract import Choices
from client.convert.identities import PrivateFolder
from client.convert.planning import find_cases
from client.data.volume import read_volume, same_grid
from client.dicom.contours import rasterize, read_rois
from client.dicom.segmentation import place_segments, read_segments
from client.predict.outputs import write_prediction
from client.predict.scans import scans_of_studies
from tests.support.dicom_edition import find_errors
from tests.support.drawn_mask import OBLIQUE, dciodvfy
from tests.support.mlflow_server import missing
from tests.support.predicted_scan import SETTINGS, made_scan, predictor

NAMES = ("seg", "rtstruct", "sr")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a made scan that lies askew."""
    root = tmp_path_factory.mktemp("written")
    write_prediction(predictor().predict(made_scan(root / "source", OBLIQUE).scan), root / "out", {})
    return root / "out"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a scan without CT in which nothing was found."""
    root = tmp_path_factory.mktemp("empty")
    scan = made_scan(root / "source").scan
    assert scan.pet is not None
    cold = replace(scan, ct=None, pet=replace(scan.pet, array_zyx=scan.pet.array_zyx * 0))
    write_prediction(predictor().predict(cold), root / "out", {})
    return root / "out"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("files", ["written", "empty"])
def test_dicom_validator_and_dciodvfy_find_nothing_wrong(files: str, name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(files) / f"prediction.{name}.dcm"
    assert find_errors(path) == []
    assert dciodvfy(path) == []


@pytest.mark.parametrize(
    ("name", "keyword", "error"),
    [
        ("seg", "SegmentSequence", "Segmentation Image: (0062,0002) (Segment Sequence)"),
        ("rtstruct", "StructureSetLabel", "Structure Set: (3006,0002)"),
        ("sr", "CompletionFlag", "SR Document General: (0040,A491)"),
    ],
)
def test_dicom_validator_does_find_what_is_missing(
    written: Path, tmp_path: Path, name: str, keyword: str, error: str
) -> None:
    data = dcmread(written / f"prediction.{name}.dcm")
    delattr(data, keyword)
    data.save_as(tmp_path / "broken.dcm")
    assert any(line.startswith(error[:20]) for line in find_errors(tmp_path / "broken.dcm"))


@pytest.mark.parametrize("program", ["dsrdump", "dsr2html"])
def test_dcmtk_reads_the_report_without_a_complaint(written: Path, tmp_path: Path, program: str) -> None:
    if (found := shutil.which(program)) is None:
        missing(program, "apt-get install dcmtk")
    report = dcmread(written / "prediction.sr.dcm")
    report.SpecificCharacterSet = "ISO_IR 100"  # dcmtk warns of UTF-8, which its checker does not know
    report.save_as(tmp_path / "sr.dcm")
    command = [str(found), str(tmp_path / "sr.dcm"), *([str(tmp_path / "sr.html")] if program == "dsr2html" else [])]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stderr == ""


def test_simpleitk_sees_the_tumour_of_the_seg_in_its_place(written: Path) -> None:
    seg, mask = (sitk.ReadImage(str(written / name)) for name in ("prediction.seg.dcm", "prediction.nii.gz"))
    moved = sitk.GetArrayFromImage(sitk.Resample(seg > 0, mask, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0))
    np.testing.assert_array_equal(moved, sitk.GetArrayFromImage(mask))
    assert moved.any()


@pytest.mark.realdata
def test_real_studies_are_written_on_the_grid_of_their_ct(data_root: Path, tmp_path: Path) -> None:
    private = PrivateFolder(tmp_path, b"k" * 32)
    found = find_cases(data_root / "sts_dicom", "dicom", Choices(), private, lambda _seen: None)
    coarse = SETTINGS.preprocessing.model_copy(update={"spacing_zyx_mm": (6, 6, 6), "crop_zyx": (64, 64, 64)})
    predict = predictor(settings=SETTINGS.model_copy(update={"preprocessing": coarse})).predict
    for study in scans_of_studies(found.cases, private):
        scan = study.read()
        prediction = predict(scan)
        write_prediction(prediction, tmp_path / study.case, {})
        mask = read_volume(tmp_path / study.case / "prediction.nii.gz", "mask")
        assert scan.ct is not None
        assert same_grid(mask, scan.ct)
        (roi,) = read_rois(tmp_path / study.case / "prediction.rtstruct.dcm")
        seg = read_segments(tmp_path / study.case / "prediction.seg.dcm")
        np.testing.assert_array_equal(rasterize(roi, scan.ct.grid), mask.array_zyx)
        np.testing.assert_array_equal(place_segments(seg, [1], scan.ct.grid).mask_zyx, mask.array_zyx)
        assert list(_errors(tmp_path / study.case)) == []


def _errors(folder: Path) -> Iterator[str]:
    for name in NAMES:
        path = folder / f"prediction.{name}.dcm"
        yield from (line for line in dciodvfy(path) if line.startswith("Error"))
        yield from find_errors(path)
