"""A corrected mask as the label of its case in the data folder; what it takes the place of stays in the private folder.

DEST/<case>/gtv.nii.gz           the correction
DEST/<case>/conversion.json      contours_from = "correction"
private/labels/<case>/1.nii.gz   the first label it had, and so on
private/state.json               so that the next conversion finds the case as it was left
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from client.convert.case_folder import SUFFIX, checksum
from client.convert.identities import PrivateFolder
from client.convert.kept_labels import keep_copy
from client.convert.resumption import read_done, write_done
from client.data.conversion import RECORD, Conversion
from client.data.conversion_file import read_conversion, write_conversion
from client.data.volume import Volume, read_grid, same_grid, write_volume
from protocol.errors import CaseError
from protocol.storage.atomic_files import CASE_FILE

GTV = f"gtv{SUFFIX}"


@dataclass(frozen=True)
class Kept:
    """A label as it was written: its SHA-256, and the file of the one before it, relative to the private folder."""

    gtv_sha256: str
    before: str = ""


def find_case(private: PrivateFolder, study_uid: str, series_uids: Sequence[str]) -> str:
    """The id of the case that was converted from these series of a study; "" where there is none."""
    for case, origin in private.read_origins().items():
        series = [origin.origins.get(f"{name}_series_uid") for name in ("ct", "pet")]
        if origin.origins.get("study_uid") == study_uid and set(series_uids) <= set(series):
            return case
    return ""


def check_fits(case: str, folder: Path, mask: Volume) -> None:
    """Refuse a mask that does not lie on the case's image.

    Raises:
        CaseError: it does not, or the case has no image.
    """
    images = [path for name in ("ct", "pet") if (path := folder / f"{name}{SUFFIX}").is_file()]
    if not images or not same_grid(mask, read_grid(images[0])):
        raise CaseError(
            f"case '{case}': the corrected mask lies on another grid than the case's image; convert the study again, "
            "and predict it from the same series"
        )


def keep_label(case: str, mask: Volume, rois: tuple[str, ...], dest: Path, private: PrivateFolder) -> Kept:
    """Write a corrected mask as the label of a case.

    Raises:
        CaseError: the mask does not lie on the case's image, or its record is damaged.
        StorageError: the disk refuses; the label that was there is untouched.
    """
    folder = dest / case
    check_fits(case, folder, mask)
    record = read_conversion(folder)
    if record is None:
        raise CaseError(f"case '{case}' has no {RECORD}; convert the study again")
    before = _keep_before(folder / GTV, case, private)
    write_volume(mask, folder / GTV, mode=_mode_of_image(folder))
    write_conversion(_corrected(record, rois), folder)
    _note_state(case, folder, private)
    return Kept(checksum(folder / GTV), before)


def _mode_of_image(folder: Path) -> int:
    """Who may read the label: who may read the case's image, since one trainer reads both."""
    images = (path for name in ("ct", "pet") if (path := folder / f"{name}{SUFFIX}").is_file())
    return next((path.stat().st_mode & 0o666 for path in images), CASE_FILE)


def _corrected(record: Conversion, rois: tuple[str, ...]) -> Conversion:
    """The record of the case with its new contour; what was told of the old one is told no more."""
    issues = tuple(issue for issue in record.issues if issue.file != GTV)
    return replace(record, contours_from="correction", rois=rois, issues=issues)


def _keep_before(label: Path, case: str, private: PrivateFolder) -> str:
    if not label.is_file():
        return ""
    kept = keep_copy(label, private.labels_of(case))
    return str(kept.relative_to(private.path))


def _note_state(case: str, folder: Path, private: PrivateFolder) -> None:
    """The next conversion compares the case's files with what it made; these are what it shall find."""
    done = read_done(private.state)
    if case in done:
        checksums = dict(done[case].checksums) | {name: checksum(folder / name) for name in (GTV, RECORD)}
        write_done(private.state, {**done, case: replace(done[case], checksums=checksums)})
