"""No UID may belong to two patients: whatever does is left out, since nobody can tell whose it is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from client.data.checks import Issue
from client.dicom.findings import find_in_archive
from client.dicom.series import Instance


def leave_out_shared(instances: Sequence[Instance]) -> tuple[list[Instance], list[Issue]]:
    """The instances whose study and series have one patient each; one without PatientID is known by its study."""
    owned = [each if each.patient_id else replace(each, patient_id=each.study_uid) for each in instances]
    shared = _of_several_patients(owned, "study_uid") | _of_several_patients(owned, "series_uid")
    kept = [each for each in owned if not {each.study_uid, each.series_uid} & shared]
    return kept, [*_tell_nameless(instances), *map(_tell_shared, sorted(shared))]


def _of_several_patients(instances: Sequence[Instance], level: str) -> set[str]:
    patients: dict[str, set[str]] = defaultdict(set)
    for instance in instances:
        patients[getattr(instance, level)].add(instance.patient_id)
    return {uid for uid, of_uid in patients.items() if len(of_uid) > 1}


def _tell_shared(uid: str) -> Issue:
    found = "a study or series UID under several patients"
    step = "find out whose it is, and remove the others; all of it is left out until then"
    return find_in_archive("patients-mixed", found, "one patient", step, source=uid)


def _tell_nameless(instances: Sequence[Instance]) -> list[Issue]:
    studies = sorted({each.study_uid for each in instances if not each.patient_id})
    found, expected = "a study without PatientID", "one for each patient"
    step = "give the patient an ID, else several studies of a patient count as several patients"
    return [find_in_archive("no-patient", found, expected, step, grade="warning", source=uid) for uid in studies]
