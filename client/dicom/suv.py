"""Standardized uptake values of a PET, whatever its vendor stored.

    SUV = c N / A(t)

c is the activity concentration in Bq/ml, N the body weight in g (or lean body mass in g, or surface in cm^2: `body`),
A(t) what is left of the dose at the moment t that c refers to (`decay`). Units (0054,1001) say what is stored:

    BQML   c itself.
    CNTS   counts of Philips: SUV = counts * (7053,xx00) by body weight; without it c = counts * (7053,xx09) (private
           creator "Philips PET Private Group"). Counts without either cannot become SUV.
    GML    SUV already, of the type in SUV Type (0054,1006), body weight where that is absent; CM2ML by body surface.

All others are refused by name, and so are an enhanced multi-frame PET, which has no Units, and a PET that was not
corrected for attenuation. What is missing is an issue that names its tag; nothing is assumed. Sources: DICOM PS3.3
C.8.9.1; the vendor-neutral pseudo-code of the Quantitative Imaging Biomarkers Alliance (QIBA wiki, "Standardized Uptake
Value (SUV)"); Boellaard et al., Eur. J. Nucl. Med. Mol. Imaging 42 (2015) 328. The dose is taken as it is in the
header: a residual in the syringe is not subtracted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from client.data.checks import Issue, Subject
from client.data.conversion import PetValues, SuvKind
from client.data.volume import Volume
from client.dicom.body import read_measure
from client.dicom.decay import doses_bq
from client.dicom.findings import RefusedSeriesError
from client.dicom.frames import items
from client.dicom.image_series import read_stored_pet
from client.dicom.injection import read_dose_bq, read_injection
from client.dicom.numbers import PET, name
from client.dicom.series import Series

PHILIPS_CREATOR: Final = "Philips PET Private Group"
PHILIPS_SUV, PHILIPS_ACTIVITY = 0x00, 0x09
WORDS: Final[dict[SuvKind, str]] = {"bw": "body weight", "lbm": "lean body mass", "bsa": "body surface"}
KIND_OF: Final[dict[tuple[str, str], SuvKind]] = {
    ("GML", ""): "bw",
    ("GML", "BW"): "bw",
    ("GML", "LBM"): "lbm",
    ("GML", "LBMJAMES128"): "lbm",
    ("GML", "LBMJANMA"): "lbm",
    ("CM2ML", ""): "bsa",
    ("CM2ML", "BSA"): "bsa",
}
OTHER_FORMULAS = ("LBM", "LBMJAMES128")
DECAYS = ("START", "ADMIN", "NONE")
SHARED = ("Units", "SUVType", "DecayCorrection", "PatientWeight")


@dataclass(frozen=True)
class SuvScale:
    """What each slice is multiplied by, in the order of the headers, to become SUV; and where the values come from."""

    factors: tuple[float, ...]
    values: PetValues


Scaled = tuple[SuvScale | None, tuple[Issue, ...]]


def read_pet(
    series: Series, subject: Subject, *, kind: SuvKind = "bw", declared_suv: bool = False
) -> tuple[Volume, PetValues, tuple[Issue, ...]]:
    """The PET in SUV, float32, where its values come from, and what was found that does not keep it out.

    Raises:
        RefusedSeriesError: no volume, or no SUV, can be made of it; its issues say why.
    """
    stored, headers, found = read_stored_pet(series, subject)
    scale, issues = suv_scale(headers, subject, kind=kind, declared_suv=declared_suv)
    issues = (*found, *(replace(issue, source=series.uid) for issue in issues))
    if scale is None:
        raise RefusedSeriesError(issues)
    factors = np.array(scale.factors, dtype=np.float64)[:, None, None]
    array = (stored.array_zyx * factors).astype(np.float32)
    return replace(stored, array_zyx=array), scale.values, issues


def suv_scale(
    headers: Sequence[Dataset], subject: Subject, *, kind: SuvKind = "bw", declared_suv: bool = False
) -> Scaled:
    """The scale of a PET's rescaled values; None where an issue says why there is none.

    Args:
        headers: of each slice of one series.
        subject: who the issues are about.
        kind: which SUV is asked for.
        declared_suv: whether the user says that the values are SUV of that kind already.
    """
    differing = [keyword for keyword in SHARED if len({str(header.get(keyword) or "") for header in headers}) > 1]
    if differing:
        found = f"slices that differ in {', '.join(map(name, differing))}"
        return None, (subject.issue("pet-mixed", PET, found, "one value in the series", "export one series"),)
    units = _text(headers[0], "Units")
    if declared_suv and units not in {"GML", "CM2ML"}:
        return _declare(headers, kind, units, subject)
    barred = _enhanced_issues(headers[0], units, subject) or _attenuation_issues(headers[0], subject)
    if barred:
        return None, barred
    if units in {"GML", "CM2ML"}:
        return _keep(headers, kind, units, subject)
    if units == "BQML":
        return _scale_activity(headers, (1.0,) * len(headers), kind, subject)
    return _scale_counts(headers, kind, subject) if units == "CNTS" else (None, (_unit_issue(units, subject),))


def _declare(headers: Sequence[Dataset], kind: SuvKind, units: str, subject: Subject) -> Scaled:
    scale = SuvScale((1.0,) * len(headers), PetValues(kind, "declared", units))
    if units in {"", "NONE"}:
        return scale, ()
    found = f"values in {units} that are declared to be SUV"
    step = "leave out the declaration if these are not SUV; the values are taken as they are"
    return scale, (subject.issue("pet-declared", PET, found, "units GML", step, grade="warning"),)


def _keep(headers: Sequence[Dataset], kind: SuvKind, units: str, subject: Subject) -> Scaled:
    """SUV by the file's own word; those by body weight also become the others."""
    stored = _text(headers[0], "SUVType")
    values = PetValues(kind, "units", units)
    found_kind = KIND_OF.get((units, stored))
    if found_kind == kind:
        return SuvScale((1.0,) * len(headers), values), _formula_issues(stored, subject)
    if found_kind == "bw":
        ratio = _ratio_to_weight(headers[0], kind, subject)
        return (None, ratio) if isinstance(ratio, tuple) else (SuvScale((ratio,) * len(headers), values), ())
    what = f"by {WORDS[found_kind]}" if found_kind else "of a type that is not known here"
    found = f"units {units} with {name('SUVType')} '{stored}', SUV {what}"
    step = "export SUV by body weight or activity (BQML), or ask for the kind that is stored"
    return None, (subject.issue("pet-suv-type", PET, found, f"SUV by {WORDS[kind]}", step),)


def _scale_activity(
    headers: Sequence[Dataset], to_bq_per_ml: Sequence[float], kind: SuvKind, subject: Subject
) -> Scaled:
    decay, measure = _read_decay(headers[0], subject), read_measure(headers[0], kind, subject)
    issues: tuple[Issue, ...] = (decay,) if isinstance(decay, Issue) else ()
    issues += measure if isinstance(measure, tuple) else ()
    doses, more = _doses_bq(headers, decay if isinstance(decay, str) else "START", subject)
    if isinstance(decay, Issue) or isinstance(measure, tuple) or not doses:
        return None, issues + more
    factors = tuple(each * measure / dose for each, dose in zip(to_bq_per_ml, doses, strict=True))
    return SuvScale(factors, PetValues(kind, "computed", _text(headers[0], "Units"), decay)), more


def _doses_bq(headers: Sequence[Dataset], decay: str, subject: Subject) -> tuple[tuple[float, ...], tuple[Issue, ...]]:
    if decay == "ADMIN":
        dose = read_dose_bq(headers[0], subject)
        return ((), (dose,)) if isinstance(dose, Issue) else ((dose,) * len(headers), ())
    injection = read_injection(headers[0], subject)
    return ((), injection) if isinstance(injection, tuple) else doses_bq(headers, injection, decay, subject)


def _scale_counts(headers: Sequence[Dataset], kind: SuvKind, subject: Subject) -> Scaled:
    factors = tuple(_philips_factor(header, PHILIPS_SUV) for header in headers)
    if all(factors):
        ratio = 1.0 if kind == "bw" else _ratio_to_weight(headers[0], kind, subject)
        if isinstance(ratio, tuple):
            return None, ratio
        values = PetValues(kind, "computed", "CNTS", _text(headers[0], "DecayCorrection"))
        return SuvScale(tuple(factor * ratio for factor in factors), values), ()
    to_activity = tuple(_philips_factor(header, PHILIPS_ACTIVITY) for header in headers)
    if all(to_activity):
        return _scale_activity(headers, to_activity, kind, subject)
    found = "values in counts (CNTS) without Philips' scale factors (7053,1000) and (7053,1009)"
    step = "export the PET in BQML, or with its private tags"
    return None, (subject.issue("pet-counts", PET, found, "either factor in each slice", step),)


def _ratio_to_weight(header: Dataset, kind: SuvKind, subject: Subject) -> float | tuple[Issue, ...]:
    """What SUV by body weight is multiplied by to become SUV of that kind."""
    weight, measure = read_measure(header, "bw", subject), read_measure(header, kind, subject)
    if isinstance(measure, tuple) or isinstance(weight, tuple):
        return measure if isinstance(measure, tuple) else ()
    return measure / weight


def _philips_factor(header: Dataset, offset: int) -> float:
    """A private factor; 0 where there is none that is positive."""
    try:
        value = header.private_block(0x7053, PHILIPS_CREATOR)[offset].value
        factor = float(value.decode("ascii").strip("\0 ") if isinstance(value, bytes) else value)
    except (KeyError, TypeError, UnicodeDecodeError, ValueError):
        return 0.0
    return factor if 0 < factor < float("inf") else 0.0


def _read_decay(header: Dataset, subject: Subject) -> str | Issue:
    decay, corrected = _text(header, "DecayCorrection"), _corrections(header)
    if decay not in DECAYS:
        found = f"{name('DecayCorrection')} '{decay}'" if decay else f"no {name('DecayCorrection')}"
        step = "export the PET with it"
        return subject.issue("pet-decay", PET, found, "START, ADMIN or NONE", step)
    if corrected and (decay == "NONE") == ("DECY" in corrected):
        word = "with" if "DECY" in corrected else "without"
        found = f"{name('DecayCorrection')} '{decay}' {word} DECY in {name('CorrectedImage')}"
        return subject.issue("pet-decay", PET, found, "both to say the same", "correct the wrong one in the PACS")
    return decay


def _attenuation_issues(header: Dataset, subject: Subject) -> tuple[Issue, ...]:
    corrected = _corrections(header)
    if not corrected or "ATTN" in corrected:
        return ()
    found = f"no ATTN in {name('CorrectedImage')}: a PET that is not corrected for attenuation"
    return (subject.issue("pet-attenuation", PET, found, "one that is", "export the corrected series"),)


def _formula_issues(stored: str, subject: Subject) -> tuple[Issue, ...]:
    if stored not in OTHER_FORMULAS:
        return ()
    found = f"{name('SUVType')} '{stored}', lean body mass by James' formula"
    step = "all centers of a study should use one formula"
    return (subject.issue("pet-suv-type", PET, found, "LBMJANMA", step, grade="warning"),)


def _enhanced_issues(header: Dataset, units: str, subject: Subject) -> tuple[Issue, ...]:
    """An enhanced PET has neither Units nor, at their usual places, dose and times: they lie in functional groups."""
    if units or not items(header, "PerFrameFunctionalGroupsSequence"):
        return ()
    found = f"an enhanced multi-frame PET, whose quantity is given by RealWorldValueMapping instead of {name('Units')}"
    step = "export the PET as single images, or declare its values as SUV if they are"
    return (subject.issue("pet-enhanced", PET, found, "a PET of single images, which says its units", step),)


def _unit_issue(units: str, subject: Subject) -> Issue:
    found = f"{name('Units')} '{units}'" if units else f"no {name('Units')}"
    step = "export the PET in BQML, or declare its values as SUV if they are"
    return subject.issue("pet-units", PET, found, "BQML, CNTS of Philips, or GML", step)


def _corrections(header: Dataset) -> tuple[str, ...]:
    value = header.get("CorrectedImage") or ()
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def _text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip().upper()
