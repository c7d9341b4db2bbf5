"""To which moment the values of a PET are corrected for decay, and what is left of the dose by then.

    A(t) = D 2^(-(t - t0) / h),     D the dose injected at t0, h the half-life.

Decay Correction (0054,1102), PS3.3 C.8.9.1, says what t is:

    ADMIN  t = t0: the dose is not decayed.
    START  t is the start of the scan, one moment for all slices, whatever the bed position they were acquired in.
    NONE   t is, for each slice, the time at which its activity was the mean of its frame: acquisition time + m.

    m = (1 / l) ln(l T / (1 - exp(-l T))),     l = ln 2 / h, T the Actual Frame Duration (0018,1242).

The start of the scan is the Series Date and Time, unless these are after the first acquisition: series that were
processed later, at scanners of GE above all, carry the time of processing there. Then it is, in this order: GE's
private scan date and time (0009,xx0D of GEMS_PETD_01); acquisition time + m - o, where the slices agree on it; the
first acquisition of the series, with a warning. o is the Frame Reference Time (0054,1300), or h log2 of the Decay
Factor (0054,1321), which say how long after the start the activity of a frame was its mean. Where they contradict the
series time, that is a warning too.

Sources: PS3.3 C.8.9.1.1.5 and C.8.9.4.1.5; the vendor-neutral pseudo-code for SUV of the Quantitative Imaging
Biomarkers Alliance (QIBA wiki, "Standardized Uptake Value (SUV)").
"""

import datetime as dt
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.valuerep import DT

from client.data.checks import Issue, Subject
from client.dicom.clock import read_moment
from client.dicom.injection import MOST_HALF_LIVES, Injection
from client.dicom.numbers import PET, name, number

GE_CREATOR = "GEMS_PETD_01"
ROUNDED_S = 1.0
AGREEING_S = 5.0
DOUBTFUL_S = 60.0
USUAL_LEAD_S = 600.0


@dataclass(frozen=True)
class ScanStart:
    """The moment that values with Decay Correction START refer to; None where it cannot be told."""

    moment: dt.datetime | None
    issues: tuple[Issue, ...] = ()


def doses_bq(
    headers: Sequence[Dataset], injection: Injection, decay: str, subject: Subject
) -> tuple[tuple[float, ...], tuple[Issue, ...]]:
    """What is left of the dose at the moment that each slice refers to; empty where that cannot be told.

    decay: "START" or "NONE"; with "ADMIN" the dose is not decayed.
    """
    moments, issues = _moments(headers, injection, decay, subject)
    found, doubt = _believe(injection, moments, subject)
    issues += (doubt,) if doubt else ()
    if found is None:
        return (), issues
    delays = [(moment - found.started(moment)).total_seconds() for moment in moments]
    return tuple(found.dose_bq * 2 ** (-delay / found.half_life_s) for delay in delays), issues


def _moments(
    headers: Sequence[Dataset], injection: Injection, decay: str, subject: Subject
) -> tuple[list[dt.datetime], tuple[Issue, ...]]:
    """The moment that each slice refers to; none where one of them has none."""
    issues: tuple[Issue, ...] = ()
    moments: list[dt.datetime | None] = [_mean_moment(header, injection.half_life_s) for header in headers]
    if decay == "START":
        start = find_scan_start(headers, injection.half_life_s, subject)
        moments, issues = [start.moment] * len(headers), start.issues
    known = [moment for moment in moments if moment is not None]
    return (known, issues) if len(known) == len(headers) else ([], (*issues, _missing_times(decay, subject)))


def _believe(
    injection: Injection, moments: Sequence[dt.datetime], subject: Subject
) -> tuple[Injection | None, Issue | None]:
    """The injection as it can have been, by its time of day where its date is wrong; None where it cannot."""
    if not moments:
        return None, None
    if _is_possible(injection, moments):
        return injection, None
    minutes = (moments[0] - injection.started(moments[0])).total_seconds() / 60
    found, expected = f"a scan {minutes:.0f} min after the injection", f"0 to {injection.longest_delay_s / 60:.0f} min"
    undated = injection.without_date()
    if undated and _is_possible(undated, moments):
        step = "nothing to do if dates were shifted to hide them; the last such time of day before the scan is taken"
        return undated, subject.issue("pet-date", PET, found, expected, step, grade="warning")
    step = f"correct {name('RadiopharmaceuticalStartDateTime')}, or the times of the series, in the PACS"
    return None, subject.issue("pet-times", PET, found, expected, step)


def _is_possible(injection: Injection, moments: Sequence[dt.datetime]) -> bool:
    delays = [(moment - injection.started(moment)).total_seconds() for moment in moments]
    return all(0 <= delay <= injection.longest_delay_s for delay in delays)


def find_scan_start(headers: Sequence[Dataset], half_life_s: float, subject: Subject) -> ScanStart:
    """The start of the scan, with a warning where the header contradicts itself."""
    acquired = [moment for header in headers if (moment := read_moment(header, "Acquisition"))]
    series = read_moment(headers[0], "Series")
    if not acquired:
        return ScanStart(None)
    first, computed, private = min(acquired), _computed_start(headers, half_life_s), _ge_scan_start(headers[0])
    if series and series <= first + dt.timedelta(seconds=ROUNDED_S):
        return ScanStart(series, _doubts(series, computed or private, first, half_life_s, subject))
    if private:
        return ScanStart(private, _doubts(private, computed, first, half_life_s, subject))
    if computed:
        return ScanStart(computed)
    found = "a series time after the first acquisition, and no other time of the start of the scan"
    step = "compare one SUV with that of a clinical workstation; the first acquisition is taken"
    issue = subject.issue(
        "pet-scan-start", PET, found, "the series time at the start of the scan", step, grade="warning"
    )
    return ScanStart(first, (issue,))


def mean_time_s(duration_s: float, half_life_s: float) -> float:
    """m above: when, after the start of a frame, the activity is the frame's mean."""
    rate = math.log(2) / half_life_s * duration_s
    return duration_s / rate * math.log(rate / -math.expm1(-rate))


def _doubts(
    start: dt.datetime, other: dt.datetime | None, first: dt.datetime, half_life_s: float, subject: Subject
) -> tuple[Issue, ...]:
    """A warning where the header says another start, or where it does not and the scan began long after that start."""
    apart_s = abs((start - other).total_seconds()) if other else 0.0
    lead_s = 0.0 if other else (first - start).total_seconds()
    if apart_s <= DOUBTFUL_S and lead_s <= USUAL_LEAD_S:
        return ()
    seconds = max(apart_s, lead_s)
    what = "the start that its other elements give" if other else "the first acquisition"
    off = 2 ** min(seconds / half_life_s, MOST_HALF_LIVES) - 1
    found = f"a scan start {seconds:.0f} s from {what}, which is {off:.0%} of SUV"
    step = "compare one SUV with that of a clinical workstation; it is taken"
    return (subject.issue("pet-scan-start", PET, found, "times that agree", step, grade="warning"),)


def _offset_s(header: Dataset, half_life_s: float) -> float | None:
    """Seconds from the start of the scan to the moment of the slice's mean activity; None where nothing says it."""
    reference_ms, factor = number(header, "FrameReferenceTime"), number(header, "DecayFactor")
    if reference_ms and reference_ms > 0:
        return reference_ms / 1000
    return half_life_s * math.log2(factor) if factor and factor > 1 else None


def _computed_start(headers: Sequence[Dataset], half_life_s: float) -> dt.datetime | None:
    """The start as the frames' reference times or decay factors give it; None where they have none or disagree."""
    starts = []
    for header in headers:
        moment, offset_s = _mean_moment(header, half_life_s), _offset_s(header, half_life_s)
        if moment is None or offset_s is None:
            return None
        starts.append(moment - dt.timedelta(seconds=offset_s))
    if (max(starts) - min(starts)).total_seconds() > AGREEING_S:
        return None
    return statistics.median_low(starts)


def _mean_moment(header: Dataset, half_life_s: float) -> dt.datetime | None:
    acquired, duration_ms = read_moment(header, "Acquisition"), number(header, "ActualFrameDuration")
    if acquired is None or not duration_ms or duration_ms < 0:
        return None
    return acquired + dt.timedelta(seconds=mean_time_s(duration_ms / 1000, half_life_s))


def _ge_scan_start(header: Dataset) -> dt.datetime | None:
    try:
        value = header.private_block(0x0009, GE_CREATOR)[0x0D].value
        text = value.decode("ascii") if isinstance(value, bytes) else str(value)
        moment = DT(text.strip("\0 ")) if text.strip("\0 ") else None
    except (KeyError, UnicodeDecodeError, ValueError):
        return None
    return dt.datetime.combine(moment.date(), moment.time()) if moment is not None else None


def _missing_times(decay: str, subject: Subject) -> Issue:
    needed = [name("AcquisitionDate"), name("AcquisitionTime")]
    needed += [name("ActualFrameDuration")] if decay == "NONE" else []
    step = "export the PET with its times"
    return subject.issue("pet-times", PET, f"slices without {', '.join(needed)}", "these in each slice", step)
