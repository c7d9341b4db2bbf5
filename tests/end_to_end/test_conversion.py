"""A whole conversion as the program does it: real patients, names that must not leave, and a stop in the middle."""

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from client.cli.app import app
from client.convert.identities import read_private
from client.data.scan import scan_center
from client.data.volume import read_volume, to_image
from tests.support.dicom_study import MadeGrid, MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct
from tests.support.found_cases import CrewOfOne

GRID = MadeGrid((4.0, 4.0, 4.0))
HU, TUMOUR = body_phantom((12, 32, 32))
ACTIVITY = 4000.0 * (HU > -500) + 20000.0 * TUMOUR
REAL = {"STS_003": "center-d", "STS_008": "center-b", "STS_025": "center-c"}


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.convert.conversion_run.Crew", CrewOfOne)


@pytest.mark.realdata
def test_real_patients_are_converted_as_they_were_published(one_process: None, data_root: Path, tmp_path: Path) -> None:
    """CT to the HU and PET to 1e-3 SUV where both files have a voxel, contours by a Dice of 0.995."""
    result = CliRunner().invoke(app, ["convert", str(data_root / "sts_dicom"), str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    origins = read_private(tmp_path / "data.private").read_origins()
    assert {origin.patient for origin in origins.values()} == set(REAL)
    for case, origin in origins.items():
        made, published = tmp_path / "data" / case, data_root / "sts" / REAL[origin.patient] / origin.patient
        assert _largest_difference(made, published, "ct") == 0
        assert _largest_difference(made, published, "pet") < 1e-3
        assert _dice(made, published) >= 0.995
    manifest = scan_center("center", [tmp_path / "data"], ("ct", "pet"))
    assert len(manifest.usable) == 3
    assert len({case.patient for case in manifest.cases}) == 3


def _largest_difference(made: Path, published: Path, name: str) -> float:
    """Of voxels that lie at one place in both files, at least 99 % of those of the smaller one."""
    one, other = (to_image(read_volume(folder / f"{name}.nii.gz", "ct_hu")) for folder in (made, published))
    nowhere = -1e6
    moved = sitk.GetArrayFromImage(sitk.Resample(one, other, sitk.Transform(), sitk.sitkNearestNeighbor, nowhere))
    both = moved > nowhere
    assert both.mean() > 0.99
    return float(np.abs(moved - sitk.GetArrayFromImage(other))[both].max())


def _dice(made: Path, published: Path) -> float:
    one, other = (to_image(read_volume(folder / "gtv.nii.gz", "mask")) for folder in (made, published))
    moved = sitk.GetArrayFromImage(sitk.Resample(one, other, sitk.Transform(), sitk.sitkNearestNeighbor, 0)) > 0
    truth = sitk.GetArrayFromImage(other) > 0
    return float(2 * np.count_nonzero(moved & truth) / (moved.sum() + truth.sum()))


def test_nothing_that_names_a_patient_leaves_the_private_folder(one_process: None, tmp_path: Path) -> None:
    """A name, an id, a birth date and UIDs are planted in tags, names of files, of folders and of contours."""
    source = tmp_path / "Canary Birdie"
    good = MadeStudy("CANARY-0815", "Birdie^Canary")
    poor = MadeStudy("CANARY-4711", "Birdie^Canary", weight_kg=None)
    for study in (good, poor):
        folder = source / f"{study.patient_id} 20200301"
        ct = write_ct(folder / "Birdie ct", study, HU, GRID, PatientBirthDate="19451224", StudyDescription="Birdie")
        write_pet(folder / "pet", study, ACTIVITY, GRID)
        contours = [square((40.0, 26.0), 20.0, 4.0 * plane) for plane in range(4, 9)]
        write_rtstruct(folder / "rs", study, ct, {"GTV Birdie 19451224": contours})
    (source / "damaged Birdie.dcm").write_bytes((folder / "rs").read_bytes()[:900])
    arguments = ["convert", str(source), str(tmp_path / "data"), "--json"]
    printed = CliRunner().invoke(app, arguments).stdout + CliRunner().invoke(app, [*arguments, "--dry-run"]).stdout
    assert json.loads(CliRunner().invoke(app, arguments).stdout)["found"] == 2
    uids = {good.study_uid, poor.study_uid, good.frame_of_reference_uid, *(_uids(ct))}
    planted = {"canary", "birdie", "0815", "4711", "19451224", "20200301", *uids}
    for place, text in [("stdout", printed.lower()), *_contents(tmp_path / "data")]:
        assert [word for word in planted if word in text] == [], place
    private = "".join(text for _, text in _contents(tmp_path / "data.private"))
    assert good.study_uid in private
    assert "birdie" in private


def _uids(ct: list[Path]) -> set[str]:
    from pydicom import dcmread

    data = dcmread(ct[0])
    return {data.SeriesInstanceUID, data.SOPInstanceUID}


def _contents(folder: Path) -> list[tuple[str, str]]:
    """Path below the folder, and name and content of each file, unpacked, in small letters."""
    found = []
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        place = str(path.relative_to(folder))
        found.append((place, (place + data.decode("latin-1")).lower()))
    return found


def test_ctrl_c_ends_the_program_with_whole_cases(tmp_path: Path, repository: Path) -> None:
    for index in range(3):
        write_ct(tmp_path / "src" / str(index), MadeStudy(patient_id=f"PHANTOM-{index}"), HU, GRID)
    command = [sys.executable, "-m", "deploy.center", "convert", str(tmp_path / "src"), str(tmp_path / "data")]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen(
        [*command, "--jobs", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as program:
        assert program.stderr is not None
        for line in program.stderr:
            if "to convert" in line:
                break
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    assert "the same command goes on from there" in out
    folders = [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()]
    assert len(folders) <= 1
    assert all(name.startswith("case-") for name in folders)
