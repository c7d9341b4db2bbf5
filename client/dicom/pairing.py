"""Which CT belongs to which PET, and which contours to either.

One case a study: its PET with the CT that fits best. Only series of one patient are ever put together. For a PET:

1. Of several PET the attenuation-corrected ones go first, then those that are no series over time, then the one with
   most planes.
2. A CT that is no series over time goes before one that is, one with the PET's frame of reference before one without,
   one of the same study before one of another, then the one that covers most of the PET, the one with most planes, and
   the one acquired closest in time.
3. A CT without the PET's frame of reference is taken from the same study alone, where it overlaps, with a warning.

Contours go by the series that they were drawn on (the CT before the PET), then by frame of reference.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from client.data.checks import Issue
from client.dicom.contour_links import link_contours
from client.dicom.extent import is_over_time, place_count, share_covered
from client.dicom.findings import find_in_archive
from client.dicom.moments import seconds_between
from client.dicom.series import PairedStudy, Series

ATTENUATION = "ATTN"


@dataclass(frozen=True)
class Pair:
    """The images of one case and what was found in choosing them."""

    study_uid: str
    ct: Series | None
    pet: Series | None
    issues: tuple[Issue, ...] = ()


def pair_studies(series: Sequence[Series]) -> tuple[tuple[PairedStudy, ...], tuple[Issue, ...]]:
    """The cases that the series form, in order of patient and study; and what belongs to none."""
    by_patient: dict[str, list[Series]] = defaultdict(list)
    for each in series:
        by_patient[each.patient_id].append(each)
    studies: list[PairedStudy] = []
    issues = list(_tell_shared_frames(series))
    for _, of_patient in sorted(by_patient.items()):
        pairs = _pair_images(of_patient)
        contours = [each for each in of_patient if each.kind in {"rtstruct", "seg"}]
        images = [each for each in of_patient if each.kind in {"ct", "pet"}]
        linked, left = link_contours(contours, [(pair.ct, pair.pet) for pair in pairs], images)
        issues += left
        for pair, (own, about_contours) in zip(pairs, linked, strict=True):
            both = (*pair.issues, *about_contours)
            patient_id = of_patient[0].patient_id
            studies.append(PairedStudy(patient_id, pair.study_uid, pair.ct, pair.pet, own, both))
    return tuple(studies), tuple(issues)


def _pair_images(of_patient: Sequence[Series]) -> list[Pair]:
    cts = [each for each in of_patient if each.kind == "ct"]
    pets: dict[str, list[Series]] = defaultdict(list)
    for each in of_patient:
        if each.kind == "pet":
            pets[each.study_uid].append(each)
    pairs = [_pair(study_uid, of_study, cts) for study_uid, of_study in sorted(pets.items())]
    used = {pair.ct.uid for pair in pairs if pair.ct}
    alone: dict[str, list[Series]] = defaultdict(list)
    for ct in cts:
        if ct.study_uid not in pets and ct.uid not in used:
            alone[ct.study_uid].append(ct)
    return sorted([*pairs, *(_ct_alone(*item) for item in alone.items())], key=lambda pair: pair.study_uid)


def _pair(study_uid: str, pets: Sequence[Series], cts: Sequence[Series]) -> Pair:
    pet = min(pets, key=lambda each: (not _corrected(each), is_over_time(each), -place_count(each), each.uid))
    issues = [*_tell_uncorrected(pet), *_tell_passed_over("pet", pet, pets)]
    fitting = [ct for ct in cts if share_covered(pet, ct) and (_same_frame(ct, pet) or ct.study_uid == study_uid)]
    if not fitting:
        return Pair(study_uid, None, pet, (*issues, *_tell_unpaired(pet, cts)))
    ct = min(fitting, key=lambda each: _rank(each, pet))
    issues += _tell_passed_over("ct", ct, [each for each in cts if each.study_uid == study_uid])
    if ct.study_uid != study_uid:
        step = "nothing to do if both were acquired together"
        found = "the CT of another study of the patient, with the frame of reference of the PET"
        issues.append(find_in_archive("other-study", found, "both in one study", step, grade="note", source=ct.uid))
    if not _same_frame(ct, pet):
        step = "look at both in the preview; their places agree only if the scanner says so"
        found = "PET and CT with different frames of reference"
        issues.append(find_in_archive("other-frame", found, "one frame", step, grade="warning", source=ct.uid))
    return Pair(study_uid, ct, pet, tuple(issues))


def _rank(ct: Series, pet: Series) -> tuple[object, ...]:
    """Less is better: times, frame, study, covered percent, planes, seconds between both."""
    covered = round(100 * share_covered(pet, ct))
    apart_s = seconds_between(ct.instances[0].acquired, pet.instances[0].acquired)
    elsewhere = (not _same_frame(ct, pet), ct.study_uid != pet.study_uid)
    return (is_over_time(ct), *elsewhere, -covered, -place_count(ct), apart_s, ct.uid)


def _ct_alone(study_uid: str, cts: Sequence[Series]) -> Pair:
    ct = min(cts, key=lambda each: (is_over_time(each), -place_count(each), each.uid))
    return Pair(study_uid, ct, None, tuple(_tell_passed_over("ct", ct, cts)))


def _same_frame(one: Series, other: Series) -> bool:
    return bool(one.frame_of_reference_uid) and one.frame_of_reference_uid == other.frame_of_reference_uid


def _corrected(pet: Series) -> bool:
    """Whether it is corrected for attenuation; one that says nothing of corrections counts as such."""
    said = pet.instances[0].corrections
    return not said or ATTENUATION in said


def _tell_uncorrected(pet: Series) -> list[Issue]:
    if _corrected(pet):
        return []
    step = "export the attenuation-corrected PET; SUV of this one are too low"
    found = "a PET that is not corrected for attenuation, the only one of its study"
    return [find_in_archive("pet-not-corrected", found, "a corrected one", step, grade="warning", source=pet.uid)]


def _tell_passed_over(kind: str, chosen: Series, all_of_them: Iterable[Series]) -> list[Issue]:
    others = [each for each in all_of_them if each is not chosen]
    if not others:
        return []
    found = f"{len(others)} other {kind.upper()} series in the study"
    step = "nothing to do if the right one was taken; else remove the others"
    uids = ", ".join(each.uid for each in others)
    return [find_in_archive("passed-over", found, "one", step, grade="note", source=uids)]


def _tell_unpaired(pet: Series, cts: Sequence[Series]) -> list[Issue]:
    of_study = [ct for ct in cts if ct.study_uid == pet.study_uid]
    found = "a PET without a CT that shares its place" if of_study else "a PET without a CT"
    step = "export the CT of the study; the case is used with its PET alone"
    return [find_in_archive("no-ct", found, "a CT of the same study", step, grade="warning", source=pet.uid)]


def _tell_shared_frames(series: Sequence[Series]) -> list[Issue]:
    patients: dict[str, set[str]] = defaultdict(set)
    for each in series:
        if each.frame_of_reference_uid:
            patients[each.frame_of_reference_uid].add(each.patient_id)
    found, expected = "one frame of reference under several patients", "one for each patient"
    step = "check that no series carries a wrong PatientID; series of different patients are never put together"
    return [
        find_in_archive("frame-shared", found, expected, step, grade="warning", source=uid)
        for uid, owners in sorted(patients.items())
        if len(owners) > 1
    ]
