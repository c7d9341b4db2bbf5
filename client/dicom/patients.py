"""A study belongs to one patient, a series to one study; what does not is left out: nobody can tell whose it is."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from client.data.checks import Issue
from client.dicom.findings import find_in_archive
from client.dicom.series import Instance


def leave_out_shared(instances: Sequence[Instance]) -> tuple[list[Instance], list[Issue]]:
    """The instances whose study and series have one owner each; one without PatientID is known by its study."""
    owned = [each if each.patient_id else replace(each, patient_id=each.study_uid) for each in instances]
    studies = _owned_by_several((each.study_uid, each.patient_id) for each in owned)
    series = _owned_by_several((each.series_uid, f"{each.patient_id} {each.study_uid}") for each in owned)
    kept = [each for each in owned if each.study_uid not in studies and each.series_uid not in series]
    about_studies = [_tell_shared(uid, "a study UID under several patients") for uid in sorted(studies)]
    about_series = [_tell_shared(uid, "a series UID in several studies or patients") for uid in sorted(series)]
    return kept, [*_tell_nameless(instances), *about_studies, *about_series]


def _owned_by_several(uids_and_owners: Iterable[tuple[str, str]]) -> set[str]:
    owners: dict[str, set[str]] = defaultdict(set)
    for uid, owner in uids_and_owners:
        owners[uid].add(owner)
    return {uid for uid, of_uid in owners.items() if len(of_uid) > 1}


def _tell_shared(uid: str, found: str) -> Issue:
    step = "find out whose it is, and remove the others; all of it is left out until then"
    return find_in_archive("owners-mixed", found, "one owner", step, source=uid)


def _tell_nameless(instances: Sequence[Instance]) -> list[Issue]:
    studies = sorted({each.study_uid for each in instances if not each.patient_id})
    found, expected = "a study without PatientID", "one for each patient"
    step = "give the patient an ID, else several studies of a patient count as several patients"
    return [find_in_archive("no-patient", found, expected, step, grade="warning", source=uid) for uid in studies]
