"""What archives hold besides good studies: each row is named with what is said of it and what is left of the case.

The study is one of a phantom: CT and PET of 12 planes and a square contour "GTV"; a row adds something to it, or takes
something away.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

from client.cli.app import app
from client.data.volume import Volume, read_volume, write_volume
from protocol.errors import StorageError
from tests.support.dicom_study import MadeGrid, MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct
from tests.support.found_cases import CrewOfOne

GRID = MadeGrid((4.0, 4.0, 4.0))
HU, TUMOUR = body_phantom((12, 32, 32))
ACTIVITY = 4000.0 * (HU > -500) + 20000.0 * TUMOUR
SQUARES = [square((42.0, 26.0), 20.0, 4.0 * plane) for plane in range(4, 9)]
ELSEWHERE = [square((10.0, 26.0), 12.0, 4.0 * plane) for plane in range(4, 9)]
CT, PET, MASK = "ct.nii.gz", "pet.nii.gz", "gtv.nii.gz"
STUDY = MadeStudy()
SECONDARY, DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.67"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


@dataclass(frozen=True)
class Bad:
    """A row. add: writes it into the folder of a study whose CT has these files.

    said: code -> grade of what is told. left: the files of each case.
    """

    add: Callable[[Path, list[Path]], object]
    said: dict[str, str] = field(default_factory=dict)
    left: tuple[tuple[str, ...], ...] = ((CT, MASK, PET),)
    options: tuple[str, ...] = ("--rois", "^gtv$")
    pet: bool = True
    contours: bool = True


def _write(folder: Path, row: Bad) -> None:
    ct = write_ct(folder / "ct", STUDY, HU, GRID)
    if row.pet:
        write_pet(folder / "pet", STUDY, ACTIVITY, GRID)
    if row.contours:
        write_rtstruct(folder / "rs", STUDY, ct, {"GTV": SQUARES})
    row.add(folder, ct)


def _pet(**tags: Any) -> Callable[[Path, list[Path]], object]:
    return lambda folder, _: write_pet(folder / "pet", STUDY, ACTIVITY, GRID, **tags)


def _rois(**rois: list[list[list[float]]]) -> Callable[[Path, list[Path]], object]:
    return lambda folder, ct: write_rtstruct(folder / "rs", STUDY, ct, rois)


def _of_class(uid: str, **tags: object) -> Callable[[Path, list[Path]], object]:
    """A series of one object of another class, made of a plane of the CT."""

    def add(folder: Path, ct: list[Path]) -> None:
        data = dcmread(ct[0])
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UID(uid)
        data.SeriesInstanceUID, data.SOPInstanceUID = generate_uid(), generate_uid()
        for name, value in tags.items():
            setattr(data, name, value)
        data.save_as(folder / "other", enforce_file_format=True)

    return add


def _scout(folder: Path, _: list[Path]) -> None:
    write_ct(folder / "scout", STUDY, HU[:2], GRID, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


def _other_patient(folder: Path, _: list[Path]) -> None:
    """Instead of the PET's own CT, that of another patient in the frame of the PET."""
    for path in (folder / "ct").iterdir():
        path.unlink()
    other = replace(STUDY, patient_id="PHANTOM-2", patient_name="Phantom^Two", study_uid=generate_uid())
    write_ct(folder / "other", other, HU, GRID)


def _series_missing(folder: Path, _: list[Path]) -> None:
    gone = write_ct(folder.parent / "elsewhere", STUDY, HU, GRID)
    write_rtstruct(folder / "rs", STUDY, gone, {"GTV": SQUARES})


def _other_frame(folder: Path, _: list[Path]) -> None:
    elsewhere = replace(STUDY, frame_of_reference_uid=generate_uid())
    gone = write_ct(folder.parent / "elsewhere", elsewhere, HU, GRID)
    write_rtstruct(folder / "rs", elsewhere, gone, {"GTV": SQUARES})


def _enhanced(folder: Path, ct: list[Path]) -> None:
    """A multi-frame CT that does not say where its frames lie, besides the CT."""
    planes = [dcmread(path) for path in ct]
    data = planes[0]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UID(ENHANCED_CT)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SeriesInstanceUID, data.SOPInstanceUID = generate_uid(), generate_uid()
    data.NumberOfFrames = len(planes)
    data.PixelData = b"".join(plane.PixelData for plane in planes)
    data.save_as(folder / "enhanced", enforce_file_format=True)


def _shifted(folder: Path, _: list[Path]) -> None:
    write_pet(folder / "pet", STUDY, ACTIVITY, replace(GRID, origin_xyz_mm=(10.0, -30.0, 0.0)))


TABLE = {
    "nothing bad": Bad(lambda *_: None),
    "secondary capture": Bad(_of_class(SECONDARY, Modality="OT"), {"not-an-image": "note"}),
    "scout": Bad(_scout, {"not-an-image": "note"}),
    "dose report": Bad(_of_class(DOSE_REPORT, Modality="SR"), {"not-an-image": "note"}),
    "multi-frame without places": Bad(_enhanced, {"passed-over": "note", "series-fragment": "warning"}),
    "counts without scale": Bad(_pet(Units="CNTS"), {"pet-counts": "warning"}, ((CT, MASK),), pet=False),
    "no dose": Bad(_pet(dose_bq=None), {"pet-dose": "warning"}, ((CT, MASK),), pet=False),
    "no units": Bad(_pet(Units=None), {"pet-units": "warning"}, ((CT, MASK),), pet=False),
    "another patient's CT in the frame": Bad(
        _other_patient, {"frame-shared": "warning", "no-ct": "warning"}, ((CT,), (PET,)), contours=False
    ),
    "contours of a missing series, in the frame": Bad(
        _series_missing, {"contour-series-missing": "warning"}, contours=False
    ),
    "contours of a missing series": Bad(
        _other_frame, {"contour-series-missing": "warning"}, ((CT, PET),), contours=False
    ),
    "a name that matches none": Bad(lambda *_: None, {"roi-none": "warning"}, ((CT, PET),), ("--rois", "lung")),
    "several names and no pattern": Bad(
        _rois(GTV=SQUARES, Lung=ELSEWHERE), {"roi-several": "warning"}, ((CT, PET),), (), contours=False
    ),
    "several names that match": Bad(
        _rois(GTV1=SQUARES, GTV2=ELSEWHERE), {"roi-united": "note"}, options=("--rois", "gtv"), contours=False
    ),
    "two tumours in one region": Bad(_rois(GTV=[*SQUARES, *ELSEWHERE]), contours=False),
    "a PET that is shifted": Bad(_shifted, {"registration": "warning"}, pet=False),
}


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.convert.conversion_run.Crew", CrewOfOne)


def _convert(tmp_path: Path, *options: str) -> tuple[dict, int]:
    result = CliRunner().invoke(app, ["convert", str(tmp_path / "src"), str(tmp_path / "data"), "--json", *options])
    return json.loads(result.stdout), result.exit_code


@pytest.mark.parametrize("name", TABLE)
def test_what_is_bad_is_named_and_the_rest_is_kept(tmp_path: Path, name: str) -> None:
    row = TABLE[name]
    _write(tmp_path / "src", row)
    found, _ = _convert(tmp_path, *row.options)
    issues = [*found["issues"], *(issue for case in found["cases"] for issue in case["issues"])]
    said = {issue["code"]: issue["grade"] for issue in issues}
    usual = {"registration-unknown", "pet-partial"}
    assert {code: grade for code, grade in said.items() if code not in usual} == row.said
    assert all(issue["remedy"] for issue in issues)
    assert sorted(tuple(case["files"]) for case in found["cases"]) == sorted(row.left)


def test_two_tumours_in_one_region_are_both_in_the_mask(tmp_path: Path) -> None:
    """Squares of 20 and 12 mm on voxels of 4 mm, five planes: (25 + 9) * 5 voxels."""
    _write(tmp_path / "src", TABLE["two tumours in one region"])
    (case,) = _convert(tmp_path, "--rois", "gtv")[0]["cases"]
    mask = read_volume(tmp_path / "data" / case["case"] / MASK, "mask")
    assert mask.array_zyx.sum() == (25 + 9) * 5


def test_a_full_disk_ends_with_a_sentence_and_leaves_whole_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        study = MadeStudy(patient_id=f"PHANTOM-{number}")
        write_ct(tmp_path / "src" / str(number), study, HU, GRID)
        write_pet(tmp_path / "src" / str(number), study, ACTIVITY, GRID)
    written: list[Path] = []

    def refuse_the_fourth(volume: Volume, path: Path, *, mode: int) -> None:
        written.append(path)
        if len(written) == 4:
            raise StorageError(f"image {path} could not be written: No space left on device")
        write_volume(volume, path, mode=mode)

    monkeypatch.setattr("client.convert.case_folder.write_volume", refuse_the_fourth)
    arguments = ["convert", str(tmp_path / "src"), str(tmp_path / "data")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "what was converted stays" in result.stderr
    (folder,) = (tmp_path / "data").glob("*case-*")
    assert {path.name for path in folder.iterdir()} == {CT, PET, "conversion.json"}
    monkeypatch.setattr("client.convert.case_folder.write_volume", write_volume)
    resumed = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert sorted(case["state"] for case in resumed["cases"]) == ["converted", "unchanged"]
