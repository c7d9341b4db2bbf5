"""What was injected, how much, how fast it decays and when, from the header of a PET.

A half-life is read; where it is missing it is that of the nuclide, if the header names one of this table by its DICOM
code (CID 4020). Values: Bé et al., Table of Radionuclides, BIPM Monographie 5. A start of injection without a date is
the last such time of day before the moment that it is compared with, if that is at most four half-lives before; and so
is one whose date cannot be right.
"""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Final

from pydicom.dataset import Dataset

from client.data.checks import Issue, Subject
from client.dicom.clock import read_date_time, read_time
from client.dicom.numbers import PET, name, number, read_number

DOSES_BQ = (1e6, 1e10)
HALF_LIVES_S = (60.0, 1e6)
HALF_LIFE_OF: Final = {
    "C-111A1": 6586.2,
    "77004003": 6586.2,
    "C-131A3": 4069.8,
    "35337001": 4069.8,
    "3932008": 45721.0,
    "63360001": 282280.0,
}
"""Seconds, of F-18 and Ga-68 by their codes in SNOMED RT and CT, of Cu-64 and Zr-89."""
LARGEST_DIFFERENCE = 0.02
MOST_HALF_LIVES = 10.0
MOST_HALF_LIVES_UNDATED = 4.0
LONGEST_WITHOUT_DATE_S = 12 * 3600.0
CLOCK_TOLERANCE_S = 60.0


@dataclass(frozen=True)
class Injection:
    """Dose in Bq at its start, half-life in s, and the start: a moment, or a time of day where the date is unknown."""

    dose_bq: float
    half_life_s: float
    start: dt.datetime | dt.time

    def started(self, moment: dt.datetime) -> dt.datetime:
        """The start as seen from a later moment."""
        if not isinstance(self.start, dt.time):
            return self.start
        same_day = dt.datetime.combine(moment.date(), self.start)
        return same_day if same_day <= moment else same_day - dt.timedelta(days=1)

    @property
    def longest_delay_s(self) -> float:
        """The longest time to a scan that is believed; shorter where the date was inferred."""
        undated = isinstance(self.start, dt.time)
        return self.half_life_s * (MOST_HALF_LIVES_UNDATED if undated else MOST_HALF_LIVES)

    def without_date(self) -> "Injection | None":
        """The same by its time of day; None where that does not tell the day, for nuclides that live long."""
        if isinstance(self.start, dt.time) or self.half_life_s > LONGEST_WITHOUT_DATE_S:
            return None
        return replace(self, start=self.start.time())


def read_dose_bq(header: Dataset, subject: Subject) -> float | Issue:
    """The dose alone, for values that refer to the moment of injection."""
    drug = _read_drug(header, subject)
    return drug if isinstance(drug, Issue) else _read_dose_bq(drug, subject)


def read_injection(header: Dataset, subject: Subject) -> Injection | tuple[Issue, ...]:
    """The one injection of a PET, or all that is missing for it."""
    drug = _read_drug(header, subject)
    if isinstance(drug, Issue):
        return (drug,)
    dose, half_life = _read_dose_bq(drug, subject), _read_half_life_s(drug, subject)
    start = _read_start(drug, header, subject)
    issues = tuple(value for value in (dose, half_life, start) if isinstance(value, Issue))
    if isinstance(dose, Issue) or isinstance(half_life, Issue) or isinstance(start, Issue):
        return issues
    if isinstance(start, dt.time) and half_life > LONGEST_WITHOUT_DATE_S:
        found = f"no {name('RadiopharmaceuticalStartDateTime')}, for a half-life of {half_life / 3600:.0f} h"
        step = "export the PET with the date of injection"
        return (subject.issue("pet-times", PET, found, "date and time of injection", step),)
    return Injection(dose, half_life, start)


def _read_drug(header: Dataset, subject: Subject) -> Dataset | Issue:
    drugs = list(header.get("RadiopharmaceuticalInformationSequence") or [])
    if len(drugs) == 1:
        return drugs[0]
    found = f"{len(drugs) or 'no'} items in {name('RadiopharmaceuticalInformationSequence')}"
    return subject.issue("pet-dose", PET, found, "one injection", "export the PET with what was injected")


def _read_dose_bq(drug: Dataset, subject: Subject) -> float | Issue:
    step = "correct the dose, in Bq (1 MBq is 1000000 Bq), in the PACS"
    return read_number(drug, "RadionuclideTotalDose", DOSES_BQ, subject, code="pet-dose", unit="Bq", step=step)


def _read_half_life_s(drug: Dataset, subject: Subject) -> float | Issue:
    known = _known_half_life_s(drug)
    value = number(drug, "RadionuclideHalfLife")
    if value is None and known is not None:
        return known
    step = "correct it, in seconds, in the PACS"
    read = read_number(drug, "RadionuclideHalfLife", HALF_LIVES_S, subject, code="pet-half-life", unit="s", step=step)
    if known is None or isinstance(read, Issue) or abs(read / known - 1) <= LARGEST_DIFFERENCE:
        return read
    found = f"{name('RadionuclideHalfLife')} {read:g} s"
    return subject.issue("pet-half-life", PET, found, f"{known:g} s, as the nuclide named there has", step)


def _known_half_life_s(drug: Dataset) -> float | None:
    codes = list(drug.get("RadionuclideCodeSequence") or [])
    return HALF_LIFE_OF.get(str(codes[0].get("CodeValue") or "").strip().upper()) if len(codes) == 1 else None


def _read_start(drug: Dataset, header: Dataset, subject: Subject) -> dt.datetime | dt.time | Issue:
    dated, zoned = read_date_time(drug, "RadiopharmaceuticalStartDateTime", header)
    time = read_time(drug, "RadiopharmaceuticalStartTime")
    if dated is None or (zoned and time is not None):
        step = "export the PET with the time of injection"
        missing = f"neither {name('RadiopharmaceuticalStartDateTime')} nor {name('RadiopharmaceuticalStartTime')}"
        return time or subject.issue("pet-times", PET, missing, "when the dose was injected", step)
    if time is not None and _differ(dated.time(), time) > CLOCK_TOLERANCE_S:
        found = f"{name('RadiopharmaceuticalStartDateTime')} and {name('RadiopharmaceuticalStartTime')}"
        found += f" {_differ(dated.time(), time) / 60:.0f} min apart"
        return subject.issue("pet-times", PET, found, "one time of injection", "correct the wrong one in the PACS")
    return dated


def _differ(one: dt.time, other: dt.time) -> float:
    """Seconds between two times of day, the short way round."""
    apart = abs(_seconds(one) - _seconds(other))
    return min(apart, 86400 - apart)


def _seconds(time: dt.time) -> float:
    return time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6
