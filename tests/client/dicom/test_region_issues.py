from pathlib import Path

import numpy as np
import pytest

from client.dicom.contours import Drawing, Roi
from client.dicom.region_issues import drawing_issues, placement_issues
from client.dicom.segmentation import PlacedSegments, SegmentFile
from tests.support.pet_headers import SUBJECT

MASK = np.zeros((1, 1, 1), dtype=np.uint8)


class Fractions:
    SegmentationType = "FRACTIONAL"


class Binary:
    SegmentationType = "BINARY"


@pytest.mark.parametrize(
    ("drawing", "code", "grade", "words"),
    [
        (Drawing(MASK, slanted=3), "contours-slanted", "error", "region 'GTV' with 3 contours across the slices"),
        (Drawing(MASK, ignored=2), "contours-open", "note", "region 'GTV' with 2 points or open lines"),
        (Drawing(MASK, bridged=4), "contours-between", "note", "region 'GTV' with 4 slices between its contours"),
        (Drawing(MASK, open_gaps_mm=(9.81, 20)), "contours-gap", "warning", "with gaps of 9.8, 20.0 mm"),
        (Drawing(MASK, outside=0.25), "contours-outside", "warning", "region 'GTV' with 25.0% of it outside"),
        (Drawing(MASK, outside=1.0), "contours-outside", "error", "region 'GTV' with 100.0% of it outside"),
    ],
)
def test_each_finding_of_a_drawing_is_told(drawing: Drawing, code: str, grade: str, words: str) -> None:
    (issue,) = drawing_issues(Roi(1, "GTV"), drawing, SUBJECT, "/archive/rs.dcm")
    assert (issue.code, issue.grade, issue.source) == (code, grade, "/archive/rs.dcm")
    assert words in issue.message
    assert "/archive" not in issue.message


def test_a_drawing_without_findings_is_told_nothing_of() -> None:
    assert list(drawing_issues(Roi(1, "GTV"), Drawing(MASK, outside=1e-4), SUBJECT, "")) == []


@pytest.mark.parametrize(
    ("kind", "resampled", "outside", "codes"),
    [
        (Binary, False, 0.0, []),
        (Fractions, False, 0.0, ["segments-fractional"]),
        (Binary, True, 0.0, ["segments-resampled"]),
        (Binary, False, 0.5, ["contours-outside"]),
    ],
)
def test_each_finding_of_a_segmentation_is_told(kind: type, resampled: bool, outside: float, codes: list[str]) -> None:
    file = SegmentFile(Path("s.dcm"), (), kind())
    issues = placement_issues(file, PlacedSegments(MASK, resampled, outside), SUBJECT, "s.dcm")
    assert [issue.code for issue in issues] == codes
