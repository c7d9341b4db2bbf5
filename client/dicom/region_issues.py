"""What there is to tell of a region once it is drawn on a grid."""

from collections.abc import Iterator

from client.data.checks import Grade, Issue, Subject
from client.dicom.contours import Drawing, Roi
from client.dicom.segmentation import PlacedSegments, SegmentFile

FILE = "gtv.nii.gz"
LEAST_OUTSIDE = 1e-3
GAPS_NAMED = 20


def drawing_issues(roi: Roi, drawing: Drawing, subject: Subject, source: str) -> Iterator[Issue]:
    """Contours that are missing in the mask, slices between contours, and what lies off the grid."""

    def tell(code: str, found: str, expected: str, step: str, grade: Grade) -> Issue:
        return subject.issue(
            code, FILE, f"region '{roi.name}' with {found}", expected, step, grade=grade, source=source
        )

    if drawing.slanted:
        step = "export contours that were drawn on the slices of this series"
        found = f"{drawing.slanted} contours across the slices"
        yield tell("contours-slanted", found, "contours in the planes of the slices", step, "error")
    if drawing.ignored:
        step = "nothing to do if these are marks; they are left out"
        yield tell("contours-open", f"{drawing.ignored} points or open lines", "closed contours", step, "note")
    if drawing.bridged:
        step = "nothing to do: they are interpolated by shape"
        found = f"{drawing.bridged} slices between its contours"
        yield tell("contours-between", found, "a contour in each slice", step, "note")
    if drawing.open_gaps_mm:
        step = "nothing to do if it has several parts; else draw the missing slices"
        gaps = ", ".join(f"{gap:.1f}" for gap in drawing.open_gaps_mm[:GAPS_NAMED])
        yield tell("contours-gap", f"gaps of {gaps} mm between its contours", "contours that go on", step, "warning")
    if drawing.outside > LEAST_OUTSIDE:
        yield _outside_issue(f"region '{roi.name}'", drawing.outside, subject, source)


def placement_issues(file: SegmentFile, placed: PlacedSegments, subject: Subject, source: str) -> Iterator[Issue]:
    """Whether segments were resampled or cut at one half, and what lies off the grid."""

    def note(code: str, found: str, expected: str, step: str) -> Issue:
        return subject.issue(code, FILE, found, expected, step, grade="note", source=source)

    if placed.resampled:
        step = "nothing to do: it is resampled and cut at one half"
        yield note("segments-resampled", "a segmentation on another grid", "the grid of the image", step)
    if file.fractional:
        step = "nothing to do: it is cut at one half"
        yield note("segments-fractional", "a segmentation of fractions", "a binary one", step)
    if placed.outside > LEAST_OUTSIDE:
        yield _outside_issue("a segmentation", placed.outside, subject, source)


def _outside_issue(who: str, outside: float, subject: Subject, source: str) -> Issue:
    found, expected = f"{who} with {outside:.1%} of it outside of the image", "a region inside of the image"
    step = "check that the contours belong to this series"
    grade: Grade = "error" if outside >= 1 else "warning"
    return subject.issue("contours-outside", FILE, found, expected, step, grade=grade, source=source)
