"""What a scanner writes about a patient never enters manifest, record, table or the output of `check`."""

import gzip
import json
from pathlib import Path

from pydicom import dcmread
from typer.testing import CliRunner

from client.cli.app import app
from client.data.manifest_file import write_manifest
from client.data.scan import scan_center
from tests.support.corrected_study import convert_export
from tests.support.dicom_study import MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct

CANARIES = (
    "CANARYNAME",
    "CANARYID",
    "CANARYPLACE",
    "CANARYDOCTOR",
    "CANARYPRIVATE",
    "19470815",
    "20200301",
    "CANARYROI",
)


def plant(paths: list[Path]) -> None:
    """Names, dates and a private element in every object."""
    for path in paths:
        data = dcmread(path)
        data.PatientBirthDate, data.InstitutionName = "19470815", "CANARYPLACE"
        data.ReferringPhysicianName, data.AccessionNumber = "CANARYDOCTOR^Eve", "CANARYID-7"
        data.private_block(0x0099, "CANARYPRIVATE", create=True).add_new(1, "LO", "CANARYPRIVATE")
        data.save_as(path)


def test_nothing_of_a_patient_leaves_the_private_folder(tmp_path: Path) -> None:
    """The ROI bears the patient's name, as planning systems let users do; its name is withheld."""
    study = MadeStudy(patient_id="CANARYID-1", patient_name="CANARYNAME^Adam")
    hu, _ = body_phantom((6, 20, 20))
    ct = write_ct(tmp_path / "CANARYID-1" / "ct", study, hu)
    pet = write_pet(tmp_path / "CANARYID-1" / "pet", study, abs(hu) + 1)
    contours = [square((0.0, 0.0), 9.0, 3.0 * z) for z in (2, 3)]
    drawn = write_rtstruct(tmp_path / "CANARYID-1" / "rs.dcm", study, ct, {"GTV CANARYNAME": contours})
    plant([*ct, *pet, drawn])
    dest = tmp_path / "data"
    case = convert_export(tmp_path / "CANARYID-1", dest)
    write_manifest(scan_center("a", [dest], ("ct", "pet")), tmp_path / "home" / "manifest.json")
    checked = CliRunner().invoke(app, ["check", "--data", str(dest), "--json"])
    told = CliRunner().invoke(app, ["check", "--data", str(dest)])
    texts = [checked.output, told.output, (tmp_path / "home" / "manifest.json").read_text()]
    texts += [path.read_text() for path in (*dest.rglob("*.json"), *dest.rglob("*.csv"))]
    texts += [gzip.decompress(path.read_bytes())[:400].decode("latin-1") for path in dest.rglob("*.nii.gz")]
    assert [word for word in CANARIES for text in texts if word.casefold() in text.casefold()] == []
    assert json.loads(checked.stdout)["cases"][0]["case"] == case
    private = (tmp_path / "data.private" / "cases.json").read_text()
    assert "CANARYID-1" in private, "whom the id stands for is known to the center"
