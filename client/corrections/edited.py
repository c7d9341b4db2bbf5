"""Edited contour objects beside the predictions that they are of: which correct what, and which are none, and why.

An object corrects the prediction of its study if it was drawn on a series that the prediction was made of, or says no
series but the same frame of reference. Of several for one prediction the newest is taken. The prediction's own object,
one of another study or series, and one older than the prediction are none.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset

from client.corrections.predictions import Predicted
from client.data.checks import Grade, Issue, Subject
from client.dicom.reading import read_header
from client.dicom.series import Instance, Series
from protocol.errors import CaseError

OBJECT = "edited object"
DATES = {"seg": "Content", "rtstruct": "StructureSet"}
DIGITS_OF_A_SECOND = 14


@dataclass(frozen=True)
class Edited:
    """One contour object.

    drawn: when, "YYYYMMDDHHMMSS", empty where unknown. by: who, as it says; stays private. own: whether `predict` wrote
    it, so that nobody edited it.
    """

    series: Series
    instance: Instance
    drawn: str
    by: str
    own: bool = False


@dataclass(frozen=True)
class Matched:
    """The object that corrects a prediction, and all that is told of others."""

    predicted: Predicted
    edited: Edited


def match(
    contours: Sequence[Series], predictions: Sequence[Predicted]
) -> tuple[tuple[Matched, ...], tuple[Issue, ...]]:
    """The correction of each prediction that has one, in order of its case, and what is told of all other objects."""
    issues: list[Issue] = []
    candidates: dict[Path, list[Matched]] = defaultdict(list)
    for series in contours:
        for instance in series.instances:
            found = _match_one(series, instance, predictions)
            if isinstance(found, Issue):
                issues.append(found)
            else:
                candidates[found.predicted.folder].append(found)
    chosen = []
    for _, of_one in sorted(candidates.items()):
        newest = max(of_one, key=lambda each: (not each.edited.own, each.edited.drawn, each.edited.instance.sop_uid))
        chosen.append(newest)
        issues += _tell_others(newest, [each for each in of_one if not each.edited.own])
    return tuple(chosen), tuple(issues)


def _match_one(series: Series, instance: Instance, predictions: Sequence[Predicted]) -> Matched | Issue:
    of_study = [each for each in predictions if each.study_uid == instance.study_uid]
    if not of_study:
        step = "predict that study first, or give the folder of its prediction"
        return _tell("correction-study", "", instance, "contours of another study", "those of a predicted one", step)
    fitting = [each for each in of_study if _is_drawn_on(instance, each)]
    if not fitting:
        step = "draw it on the series that was predicted, or predict the series that it was drawn on"
        expected = "of the series that was predicted"
        return _tell(
            "correction-series", of_study[0].case, instance, "contours of another series of the study", expected, step
        )
    return _read_facts(series, instance, fitting[0])


def _is_drawn_on(instance: Instance, predicted: Predicted) -> bool:
    if instance.referenced:
        return bool(set(instance.referenced) & set(predicted.series_uids))
    frame = instance.frame_of_reference_uid
    return bool(frame) and frame == predicted.frame_of_reference_uid


def _read_facts(series: Series, instance: Instance, predicted: Predicted) -> Matched | Issue:
    """The object with its date; older than the prediction it is none."""
    try:
        header = read_header(instance.path)
    except CaseError as error:
        found, source = "contours that cannot be read", str(error)
        return _tell(
            "contours-unreadable",
            predicted.case,
            instance,
            found,
            "an RTSTRUCT or a SEG",
            "export it again",
            source=source,
        )
    drawn = _moment(header, DATES[series.kind])
    by = str(header.get("ContentCreatorName") or header.get("OperatorsName") or "").strip()
    made = _made(predicted)
    own = instance.sop_uid in predicted.sop_uids
    if drawn and drawn < made and not own:
        step = (
            "nothing to do if it was drawn without the prediction, as contours that `convert` reads; if it is an edit "
            "of the prediction, set the workstation's clock and save it again"
        )
        found = "contours older than the prediction"
        return _tell("correction-older", predicted.case, instance, found, "newer ones", step, "warning")
    return Matched(predicted, Edited(series, instance, drawn, by, own))


def _made(predicted: Predicted) -> str:
    """When the prediction's objects were made, by the same clock and element as those that were made of them."""
    for name, event in (("prediction.seg.dcm", "Content"), ("prediction.rtstruct.dcm", "StructureSet")):
        if (path := predicted.folder / name).is_file():
            try:
                return _moment(read_header(path), event)
            except CaseError:
                continue
    return ""


def _moment(header: Dataset, event: str) -> str:
    return f"{header.get(f'{event}Date') or ''}{header.get(f'{event}Time') or ''}"[:DIGITS_OF_A_SECOND]


def _tell_others(newest: Matched, found: Sequence[Matched]) -> Iterator[Issue]:
    if len(found) > 1:
        step = "nothing to do if the newest is the right one, which is taken; else remove it"
        told = f"{len(found)} contour objects that correct it"
        yield _tell("correction-several", newest.predicted.case, newest.edited.instance, told, "one", step, "note")


def _tell(
    code: str,
    case: str,
    instance: Instance,
    found: str,
    expected: str,
    step: str,
    grade: Grade = "error",
    source: str = "",
) -> Issue:
    """An issue about an object, which is no file of a case; its source says which."""
    told = Subject("", case, Path()).issue(code, OBJECT, found, expected, step, grade=grade)
    return replace(told, file="", source=source or str(instance.path))
