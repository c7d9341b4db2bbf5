"""What a written object takes over from its source, and what it leaves."""

import warnings
from pathlib import Path

import pytest

from client.dicom.inheritance import inherit, written_quietly
from client.dicom.report_writer import write_report
from client.dicom.rtstruct_writer import write_rtstruct
from client.dicom.seg_writer import write_seg
from tests.support.drawn_mask import ALGORITHM, dciodvfy, draw_mask


def with_bad_values(folder: Path) -> list:
    """Headers with a study id of 17 characters, of which 16 are allowed, and a name that is no person's."""
    source = draw_mask(folder / "ct").source
    for header in source:
        with written_quietly():
            header.StudyID, header.PatientName = "X" * 17, "STS_003"
    return source


def test_a_value_that_is_too_long_is_left_empty_and_the_source_keeps_it(tmp_path: Path) -> None:
    source = with_bad_values(tmp_path)
    assert not inherit(source)[0].StudyID
    assert source[0].StudyID == "X" * 17
    assert (inherit(source)[0].PatientName, inherit(source)[0].AccessionNumber) == ("STS_003", "A-1")


def test_a_number_of_more_than_16_characters_is_shortened_and_places_the_mask(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    for header in drawn.source:
        x, y, z = header.ImagePositionPatient
        with written_quietly():
            header.ImagePositionPatient = [f"{x:.1f}", f"{y + 0.1:.17f}", f"{z:.1f}"]
    long = drawn.source[0].ImagePositionPatient
    kept = inherit(drawn.source)[0].ImagePositionPatient
    assert len(str(long[1])) > 16
    assert len(str(kept[1])) <= 16
    assert [float(value) for value in kept] == pytest.approx([float(value) for value in long], abs=1e-9)
    seg = write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    assert [line for line in dciodvfy(tmp_path / "seg.dcm") if line.startswith("Error")] == []
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == drawn.source[0].SeriesInstanceUID


def test_headers_without_a_bad_value_are_handed_on_as_they_are(tmp_path: Path) -> None:
    source = draw_mask(tmp_path / "ct").source
    assert all(kept is header for kept, header in zip(inherit(source), source, strict=True))


def test_objects_of_such_a_source_hold_no_error_and_libraries_stay_silent(tmp_path: Path) -> None:
    source, mask = with_bad_values(tmp_path), draw_mask(tmp_path / "other").mask
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seg = write_seg(mask, source, ALGORITHM, tmp_path / "seg.dcm")
        write_rtstruct(mask, source, ALGORITHM, tmp_path / "rt.dcm")
        write_report({"volume_ml": 1.0}, "bw", seg, source, ALGORITHM, tmp_path / "sr.dcm")
    found = [line for name in ("seg", "rt", "sr") for line in dciodvfy(tmp_path / f"{name}.dcm")]
    assert [line for line in found if line.startswith("Error")] == []


def test_it_is_quiet_inside_alone() -> None:
    with written_quietly():
        warnings.warn("of a library", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="of ours"):
        warnings.warn("of ours", UserWarning, stacklevel=1)
