"""A label that somebody corrected outlives a new conversion of its study: it is better than what the source has."""

from dataclasses import replace
from pathlib import Path

from client.convert.case_folder import SUFFIX
from client.convert.contract import ReadCase, subject_of
from client.data.conversion_file import read_conversion
from client.data.volume import read_volume, same_grid
from protocol.errors import CaseError

GTV = f"gtv{SUFFIX}"


def keep_correction(read: ReadCase, folder: Path) -> ReadCase:
    """The case with the corrected label of its folder, where there is one and it still lies on the case's image."""
    image = read.ct or read.pet
    try:
        record = read_conversion(folder)
        if image is None or record is None or record.contours_from != "correction":
            return read
        label = read_volume(folder / GTV, "mask")
    except CaseError:
        return read
    subject = subject_of(folder.name)
    if not same_grid(label, image):
        found, step = "a corrected label on another grid than the image has now", "correct it again"
        lost = subject.issue("correction-lost", GTV, found, "the same grid", step, grade="warning")
        return replace(read, issues=(*read.issues, lost))
    found, step = "a corrected label, which takes the place of the source's", "nothing to do"
    kept = subject.issue("correction-kept", GTV, found, "the source's contours", step, grade="note")
    issues = tuple(issue for issue in read.issues if issue.file != GTV)
    return replace(read, gtv=label, contours_from="correction", rois=record.rois, issues=(*issues, kept))
