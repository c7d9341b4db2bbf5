"""Contours that no person drew: those that this program predicted are left out, those of other algorithms are told.

A SEG that `predict` stored lies in the study it was made of, newer than the clinician's contours. As a target it would
teach the next stage what the last one said.
"""

from collections.abc import Sequence
from dataclasses import replace

from client.data.checks import Issue, Subject
from client.dicom.algorithm import MANUFACTURER
from client.dicom.findings import UnreadableFileError
from client.dicom.reading import read_elements
from client.dicom.region_issues import FILE
from client.dicom.series import Instance, Series
from client.dicom.target import Target


def leave_out_predictions(contours: Sequence[Series], subject: Subject) -> tuple[tuple[Series, ...], tuple[Issue, ...]]:
    """The objects that others made, in their order, and a note about each that this program made."""
    kept: list[Series] = []
    issues: list[Issue] = []
    for series in contours:
        own = [instance for instance in series.instances if _is_prediction(instance)]
        issues += [_note(instance, subject) for instance in own]
        others = tuple(instance for instance in series.instances if instance not in own)
        kept += [replace(series, instances=others)] if others else []
    return tuple(kept), tuple(issues)


def automatic_issues(target: Target, subject: Subject) -> tuple[Issue, ...]:
    """A warning where an algorithm alone drew regions of the target."""
    if not target.automatic:
        return ()
    found = "regions that an algorithm alone drew: " + ", ".join(f"'{name}'" for name in target.automatic)
    expected, step, source = "contours of a person", "check that a person agreed with them", str(target.files[0])
    return (subject.issue("roi-automatic", FILE, found, expected, step, grade="warning", source=source),)


def _is_prediction(instance: Instance) -> bool:
    """An object that cannot be read is not known to be one; who reads it tells."""
    try:
        header = read_elements(instance.path, ["Manufacturer"])
    except UnreadableFileError:
        return False
    return str(header.get("Manufacturer") or "").strip() == MANUFACTURER


def _note(instance: Instance, subject: Subject) -> Issue:
    found, step = "contours that this program predicted", "give edited ones to concilium-center corrections"
    source = str(instance.path)
    return subject.issue("contours-predicted", FILE, found, "contours of a person", step, grade="note", source=source)
