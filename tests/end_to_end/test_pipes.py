"""A pipe that nobody writes to, where a file was named or looked for, is refused in words; nothing waits for it."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import SimpleITK as sitk

from client.convert.contract import Choices, GreyLevels
from client.convert.dicom_layout import recognize_dicom
from client.convert.identities import open_private
from client.convert.kept_labels import keep_copy
from client.convert.nnunet_layout import find_nnunet_cases, recognize_nnunet
from client.convert.pclt20k_layout import find_pclt20k_cases
from client.convert.resumption import read_done
from client.corrections.ledger import LEDGER, read_ledger
from client.corrections.predictions import find_predictions
from client.data.table import read_table
from client.data.volume import read_volume
from client.dicom.reading import read_header
from client.home.center_home import CenterHome
from client.join.joining import judge_kit
from client.pacs.settings import read_server
from client.predict.record import RECORD
from deploy.comparison.planner import read_plan
from deploy.study.prepare import read_backbone
from deploy.study.pretrained import read_weights
from protocol.enrolment.answer import read_answer
from protocol.enrolment.kit import read_kit
from protocol.errors import ConciliumError
from protocol.storage.atomic_files import provide_private
from protocol.storage.sealed_json import read_sealed
from server.study.file import read_study
from server.tls.authority import read_certificate, read_key
from tests.support.nifti_files import read_only

NAMED: dict[str, Callable[[Path], object]] = {
    "study.toml": read_study,
    "benchmark.toml": read_plan,
    "server.toml": read_server,
    "center-a.kit": read_kit,
    "center-a.answer": read_answer,
    "backbone.safetensors": lambda path: read_backbone(path, ()),
    "weights.safetensors": read_weights,
    "weights.pt": read_weights,
    "ca.crt": read_certificate,
    "ca.key": read_key,
    "list.csv": read_table,
    "ct.nii.gz": lambda path: read_volume(path, "ct_hu"),
    "ct.nrrd": lambda path: read_volume(path, "ct_hu"),
    "gtv.nii.gz": lambda path: keep_copy(path, path.parent / "labels"),
    "edited.dcm": read_header,
    "manifest.json": read_sealed,
    "key": lambda path: provide_private(path, b"0"),
}


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path, 0o600)
    return path


@pytest.mark.parametrize("name", NAMED)
def test_a_pipe_that_is_named_is_refused(tmp_path: Path, name: str):
    path = pipe(tmp_path / name)
    with pytest.raises(ConciliumError, match=r"no regular file|cannot be read|cannot be opened"):
        NAMED[name](path)


def test_a_pipe_for_a_kit_is_a_finding(tmp_path: Path):
    finding, kit, _ = judge_kit(pipe(tmp_path / "kit"), CenterHome(tmp_path / "home"), datetime.now(UTC))
    assert (finding.status == "ok", kit) == (False, None)
    assert "it is no regular file" in finding.text


def test_pipes_in_an_export_do_not_hold_its_recognition(tmp_path: Path):
    pipe(tmp_path / "a.dcm")
    pipe(tmp_path / "dataset.json")
    assert (recognize_dicom(tmp_path), recognize_nnunet(tmp_path)) == ("", "")
    with pytest.raises(ConciliumError, match="no description of a data set"):
        find_nnunet_cases(tmp_path, Choices())


def test_a_pipe_for_a_picture_is_refused(tmp_path: Path):
    path = tmp_path / "1" / "1_1_PET.png"
    path.parent.mkdir()
    sitk.WriteImage(sitk.Image([2, 2], sitk.sitkUInt8), str(path))
    os.mkfifo(path.with_name("1_1_CT.png"))
    grey = GreyLevels((-1000, 275), (0, 10.2), (3, 0.5, 0.5))
    with pytest.raises(ConciliumError, match="a picture cannot be read"):
        read_only(find_pclt20k_cases(tmp_path, Choices(grey=grey)))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("key", open_private),
        ("key.sha256", open_private),
        ("cases.json", lambda path: open_private(path).read_origins()),
        ("state.json", lambda path: read_done(path / "state.json")),
        (LEDGER, read_ledger),
    ],
)
def test_a_pipe_in_a_private_folder_is_refused(tmp_path: Path, name: str, read: Callable[[Path], object]):
    folder = open_private(tmp_path / "private").path
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name, 0o600)
    with pytest.raises(ConciliumError, match="no regular file"):
        read(folder)


def test_a_pipe_for_a_prediction_s_record_is_told(tmp_path: Path):
    pipe(tmp_path / "case" / RECORD)
    found, (issue,) = find_predictions(tmp_path)
    assert (found, issue.code) == ((), "prediction-record")
