"""From edited objects to labels: matched with predictions, compared, kept in the data folder, noted in the ledger.

One that cannot be used stops none of the others. Taken twice, an object is told and changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from client.convert.discretion import is_discreet, private_words, withhold_name
from client.convert.identities import PrivateFolder
from client.corrections.comparison import Comparison, compare
from client.corrections.edited import Matched, match
from client.corrections.keeping import GTV, find_case, keep_label
from client.corrections.ledger import Entry, read_ledger, write_ledger
from client.corrections.missing_cases import convert_missing
from client.corrections.predictions import find_predictions
from client.data.checks import Issue, Subject
from client.data.conversion_file import read_conversion
from client.data.volume import Volume
from client.dicom.index import index_source
from client.dicom.series import Series
from client.dicom.target import Target, read_target
from protocol.errors import CaseError

ISSUES = "corrections-issues.json"
State = Literal["taken", "unchanged", "known", "refused"]


@dataclass(frozen=True)
class Wishes:
    """What the user says.

    rois: pattern of the regions that are meant. accept: whether a prediction that nobody changed is a label too, since
    somebody looked at it. images: folder with the images of studies that are no cases yet; None: where the edited are.
    """

    rois: str | None = None
    accept: bool = False
    images: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of the correction of one prediction. case: the id in the data folder."""

    case: str
    state: State
    comparison: Comparison | None = None
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True)
class Result:
    """What became of all, and what is told of objects that correct nothing; issues have sources."""

    outcomes: tuple[Outcome, ...]
    issues: tuple[Issue, ...]

    @property
    def complete(self) -> bool:
        """Whether no object was refused."""
        return not any(issue.fatal for issue in self.all_issues)

    @property
    def all_issues(self) -> tuple[Issue, ...]:
        """Issues about the objects as a whole, then of each correction."""
        return (*self.issues, *(issue for outcome in self.outcomes for issue in outcome.issues))


class _RefusedError(CaseError):
    """A correction that is not taken, with the issues that say why."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__("; ".join(issue.message for issue in issues))
        self.issues = issues


def bring_back(
    edited: Path,
    predictions: Path,
    dest: Path,
    private: PrivateFolder,
    wishes: Wishes,
    progress: Callable[[int], None],
) -> Result:
    """Take the corrections in a folder.

    Raises:
        CaseError: there is no prediction, or the private folder is damaged.
        StorageError: the disk is full or refuses; what was taken before stays.
    """
    predicted, about_records = find_predictions(predictions)
    series, about_files = index_source(edited, private.unpacked, progress=progress)
    contours = [each for each in series if each.kind in {"rtstruct", "seg"}]
    matched, about_objects = match(contours, predicted)
    about_source = [issue for issue in about_files if issue.grade != "note"]
    about_missing = convert_missing(matched, wishes.images or edited, dest, private, wishes.rois)
    issues = (*about_records, *about_source, *about_objects, *about_missing)
    outcomes = [_take(each, dest, private, wishes) for each in matched]
    return Result(tuple(outcomes), issues)


def _take(matched: Matched, dest: Path, private: PrivateFolder, wishes: Wishes) -> Outcome:
    predicted = matched.predicted
    case = find_case(private, predicted.study_uid, predicted.series_uids[:1]) or predicted.case
    subject = Subject("", case, Path(case))
    comparison = None
    try:
        mask, target = _read(matched, subject, wishes)
        before = predicted.read_mask()
        comparison = compare(before, mask)
        if comparison.unchanged and not wishes.accept:
            return Outcome(case, "unchanged", comparison, (*target.issues, _unchanged(matched, subject)))
        if (known := _known(matched, dest, private)) is not None:
            return Outcome(case, "known", known.comparison)
        _keep(case, matched, mask, target, comparison, dest, private)
    except _RefusedError as error:
        return Outcome(case, "refused", comparison, error.issues)
    except CaseError as error:
        step, source = "mend it, and take the corrections again", str(matched.edited.instance.path)
        told = subject.issue("correction-refused", GTV, str(error), "a mask of the case", step, source=source)
        return Outcome(case, "refused", comparison, (told,))
    return Outcome(case, "taken", comparison, target.issues)


def _read(matched: Matched, subject: Subject, wishes: Wishes) -> tuple[Volume, Target]:
    """The corrected mask on the prediction's grid.

    Raises:
        CaseError: there is none, or none that is meant.
    """
    grid, edited = matched.predicted.read_mask(), matched.edited
    if edited.own:
        return grid, Target(grid, edited.series.kind if edited.series.kind == "seg" else "rtstruct")
    alone = Series(edited.series.kind, (edited.instance,))
    target = read_target([alone], grid, subject, pattern=wishes.rois, drawn_on=matched.predicted.series_uids)
    if target.mask is None or any(issue.fatal for issue in target.issues):
        raise _RefusedError(*(target.issues or (_empty(matched, subject),)))
    if not target.mask.array_zyx.any():
        raise _RefusedError(*target.issues, _empty(matched, subject))
    return target.mask, target


def _keep(
    case: str,
    matched: Matched,
    mask: Volume,
    target: Target,
    comparison: Comparison,
    dest: Path,
    private: PrivateFolder,
) -> None:
    edited = matched.edited
    origin = private.read_origins().get(case)
    if origin is None:
        raise CaseError(
            f"'{case}' is no case of the data folder: its study is not converted; name its images with --images"
        )
    names = origin.origins.get("names", [])
    own = [names] if isinstance(names, str) else names
    words = private_words([origin.patient, *origin.identity.split("\n"), *own, edited.by], [edited.instance.path])
    kept = keep_label(case, mask, tuple(withhold_name(name, words) for name in target.rois), dest, private)
    entry = Entry(
        case,
        datetime.now(UTC).isoformat(timespec="seconds"),
        edited.series.kind,
        edited.instance.sop_uid,
        edited.instance.series_uid,
        str(edited.instance.path),
        edited.drawn,
        edited.by,
        comparison,
        kept.gtv_sha256,
        kept.before,
        matched.predicted.facts,
    )
    write_ledger(private.path, (*read_ledger(private.path), entry))


def _known(matched: Matched, dest: Path, private: PrivateFolder) -> Entry | None:
    """The entry of an object that is the newest correction of its case already, and whose label the case has."""
    entries = read_ledger(private.path)
    of_object = next((entry for entry in entries if entry.sop_uid == matched.edited.instance.sop_uid), None)
    if of_object is None:
        return None
    newest = [entry for entry in entries if entry.case == of_object.case][-1]
    record = read_conversion(dest / newest.case)
    labelled = record is not None and record.contours_from == "correction"
    return newest if labelled and newest.sop_uid == of_object.sop_uid else None


def _unchanged(matched: Matched, subject: Subject) -> Issue:
    step = "nothing to do; if somebody looked at it and it is right, --accept makes it a label"
    expected, source = "a correction", str(matched.edited.instance.path)
    if matched.edited.own:
        found = "the prediction itself"
        return subject.issue("correction-unedited", GTV, found, expected, step, grade="note", source=source)
    found = "the prediction with no voxel changed"
    return subject.issue("correction-same", GTV, found, expected, step, grade="note", source=source)


def _empty(matched: Matched, subject: Subject) -> Issue:
    step = "draw the tumour; if there is none, say so in the table of labels rather than by an empty contour"
    source = str(matched.edited.instance.path)
    return subject.issue("correction-empty", GTV, "contours without a voxel inside", "a tumour", step, source=source)


def discreet(issues: Sequence[Issue], private: PrivateFolder) -> Iterator[Issue]:
    """The issues as they may be shown: without sources, and without words that name whom a case is of."""
    origins = private.read_origins()
    words = private_words(
        (name for origin in origins.values() for name in (origin.patient, *origin.identity.split("\n"))), []
    )
    for issue in issues:
        message = (
            issue.message
            if is_discreet(issue.message, words)
            else f"found {issue.code}; read its words in {ISSUES} of the private folder"
        )
        yield replace(issue, message=message, source="")
