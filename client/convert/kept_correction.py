"""A label that somebody corrected outlives a new conversion of its study: it is better than what the source has.

Where the image's grid is another now, the label is moved there in physical space, if that is the same space and the
image covers the label. What is moved, or cannot be kept, stays as it was in the private folder.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from client.convert.contract import ReadCase, subject_of
from client.convert.kept_labels import keep_copy
from client.convert.label_maps import GTV, move_mask, share_on, volume_ml
from client.data.checks import Issue
from client.data.conversion import Conversion
from client.data.conversion_file import read_conversion
from client.data.volume import Volume, read_volume, same_grid
from protocol.errors import CaseError

MOVED = "correction-moved"


@dataclass(frozen=True)
class Earlier:
    """What the center keeps of the case's earlier conversions: the folder of its old labels, and its space in the body.

    frame_of_reference_uid: of the image that a label in the case's folder was drawn on; empty where unknown.
    """

    labels: Path
    frame_of_reference_uid: str = ""


def keep_correction(read: ReadCase, folder: Path, earlier: Earlier) -> ReadCase:
    """The case with the corrected label of its folder, where there is one that lies on the case's image.

    Raises:
        StorageError: the label cannot be kept; it is untouched.
    """
    image = read.ct or read.pet
    if image is None or not (folder / GTV).is_file():
        return read
    try:
        record = read_conversion(folder)
        if record is None or record.contours_from != "correction":
            return read
        label = read_volume(folder / GTV, "mask")
    except CaseError:
        return _lose("a label that may be corrected, beside a damaged file", read, folder, earlier)
    if same_grid(label, image):
        return _take(read, label, record, (*_told_before(record), _kept(folder)))
    return _move(read, label, record, image, folder, earlier)


def _move(read: ReadCase, label: Volume, record: Conversion, image: Volume, folder: Path, earlier: Earlier) -> ReadCase:
    """The label on the image's grid; the source's contours where that would be another place in the body."""
    if (
        not earlier.frame_of_reference_uid
        or read.origins.get("frame_of_reference_uid") != earlier.frame_of_reference_uid
    ):
        return _lose(
            "a corrected label of an image in another frame of reference, or one that is not known",
            read,
            folder,
            earlier,
        )
    if (share := share_on(image.grid, label)) < 1:
        return _lose(f"a corrected label of which the image covers {share:.1%}", read, folder, earlier)
    moved = move_mask(label, image.grid)
    if label.array_zyx.any() and not moved.array_zyx.any():
        return _lose("a corrected label smaller than the image's voxels", read, folder, earlier)
    volumes = f"{volume_ml(label):.2f} ml, resampled to {volume_ml(moved):.2f} ml"
    found, step = f"a corrected label on another grid than the image has now, {volumes}", "look at it"
    return _take(read, moved, record, (_tell(MOVED, found, "the same grid", step, folder, earlier),))


def _take(read: ReadCase, label: Volume, record: Conversion, told: tuple[Issue, ...]) -> ReadCase:
    issues = tuple(issue for issue in read.issues if issue.file != GTV)
    return replace(read, gtv=label, contours_from="correction", rois=record.rois, issues=(*issues, *told))


def _lose(found: str, read: ReadCase, folder: Path, earlier: Earlier) -> ReadCase:
    told = _tell("correction-lost", found, "one on the image's grid", "predict and correct it again", folder, earlier)
    return replace(read, issues=(*read.issues, told))


def _tell(code: str, found: str, expected: str, step: str, folder: Path, earlier: Earlier) -> Issue:
    """A warning that says where the label is as it was; that place is named within the private folder."""
    copy = keep_copy(folder / GTV, earlier.labels)
    kept = f"{step}; the label as it was is labels/{folder.name}/{copy.name} in the private folder"
    return subject_of(folder.name).issue(code, GTV, found, expected, kept, grade="warning", source=str(copy))


def _kept(folder: Path) -> Issue:
    found, step = "a corrected label, which takes the place of the source's", "nothing to do"
    return subject_of(folder.name).issue("correction-kept", GTV, found, "the source's contours", step, grade="note")


def _told_before(record: Conversion) -> tuple[Issue, ...]:
    """That the label was moved is told until somebody corrects it again."""
    return tuple(issue for issue in record.issues if issue.code == MOVED)
