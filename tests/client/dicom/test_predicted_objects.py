from pathlib import Path

import numpy as np
import pytest

from client.data.volume import Volume
from client.dicom.algorithm import Algorithm
from client.dicom.objects import read_instance
from client.dicom.predicted_objects import automatic_issues, leave_out_predictions
from client.dicom.reading import read_header
from client.dicom.rtstruct_writer import write_rtstruct as write_predicted_rtstruct
from client.dicom.seg_writer import write_seg
from client.dicom.series import Series
from client.dicom.target import Target
from tests.support.dicom_study import MadeStudy, square, write_ct, write_rtstruct
from tests.support.pet_headers import SUBJECT

SHAPE = (4, 20, 20)
ALGORITHM = Algorithm("shared/0001", "0" * 64, "study", "0.1.0")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return write_ct(tmp_path / "ct", MadeStudy(), np.zeros(SHAPE))


@pytest.fixture
def drawn(tmp_path: Path, images: list[Path]) -> Path:
    return write_rtstruct(tmp_path / "rs.dcm", MadeStudy(), images, {"GTV": [square((-15, -15), 4.5, 3.0)]})


def predict(images: list[Path], path: Path) -> Path:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1, 2:8, 2:8] = 1
    volume = Volume(mask, (3.0, 1.5, 1.5), (-30.0, -30.0, 0.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1), "mask")
    write = write_seg if path.name == "seg.dcm" else write_predicted_rtstruct
    write(volume, list(map(read_header, images)), ALGORITHM, path)
    return path


def series(*paths: Path) -> Series:
    return Series("rtstruct", tuple(map(read_instance, paths)))


@pytest.mark.parametrize("name", ["seg.dcm", "predicted.dcm"])
def test_what_this_program_wrote_is_left_out_with_a_note(
    tmp_path: Path, images: list[Path], drawn: Path, name: str
) -> None:
    predicted = predict(images, tmp_path / name)
    kept, (issue,) = leave_out_predictions([series(predicted), series(drawn)], SUBJECT)
    assert [each.paths for each in kept] == [(drawn,)]
    assert (issue.code, issue.grade, issue.source) == ("contours-predicted", "note", str(predicted))


def test_an_object_of_a_person_stays_in_a_series_that_has_a_prediction_too(
    tmp_path: Path, images: list[Path], drawn: Path
) -> None:
    kept, issues = leave_out_predictions([series(drawn, predict(images, tmp_path / "seg.dcm"))], SUBJECT)
    assert [each.paths for each in kept] == [(drawn,)]
    assert len(issues) == 1


def test_an_object_that_cannot_be_read_stays(drawn: Path) -> None:
    kept = series(drawn)
    drawn.write_bytes(drawn.read_bytes()[:700])
    assert leave_out_predictions([kept], SUBJECT) == ((kept,), ())


def test_regions_that_an_algorithm_drew_are_a_warning() -> None:
    (issue,) = automatic_issues(Target(automatic=("GTV",), files=(Path("rs.dcm"),)), SUBJECT)
    assert (issue.code, issue.grade, issue.source) == ("roi-automatic", "warning", "rs.dcm")
    assert automatic_issues(Target(), SUBJECT) == ()
