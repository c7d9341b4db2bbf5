"""Dates and times of DICOM headers, all as the wall clock of the file's own time zone.

A value that is less precise than a minute counts as missing: an hour is half of F-18's half-life.
"""

import datetime as dt
import warnings

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM


def read_date_time(data: Dataset, keyword: str, header: Dataset) -> tuple[dt.datetime | None, bool]:
    """An element of date and time, and whether it names a zone that cannot be compared with those without one.

    A zone in the value is turned into that of the file (TimezoneOffsetFromUTC); where the file has none, the value
    keeps its own wall clock.
    """
    text = _text(data, keyword)
    try:
        value = DT(text) if len(text.split("+")[0].split("-")[0]) >= len("YYYYMMDDHHMM") else None
    except ValueError:
        value = None
    if value is None:
        return None, False
    moment = dt.datetime.combine(value.date(), value.time(), value.tzinfo)
    zone = _zone(header)
    if moment.tzinfo is None or zone is None:
        return moment.replace(tzinfo=None), moment.tzinfo is not None
    return moment.astimezone(zone).replace(tzinfo=None), False


def read_time(data: Dataset, keyword: str) -> dt.time | None:
    """An element of the time of day; None where it has none."""
    text = _text(data, keyword).replace(":", "")
    with warnings.catch_warnings():
        # pydicom tells that it takes a leap second for the one before.
        warnings.simplefilter("ignore")
        try:
            value = TM(text) if len(text) >= len("HHMM") else None
        except ValueError:
            return None
    return dt.time(value.hour, value.minute, value.second, value.microsecond) if value is not None else None


def read_moment(header: Dataset, event: str) -> dt.datetime | None:
    """Date and time of "Series", "Acquisition" ...: two elements, or one that has both."""
    time = read_time(header, f"{event}Time")
    try:
        date = DA(_text(header, f"{event}Date"))
    except ValueError:
        date = None
    if date is None or time is None:
        return read_date_time(header, f"{event}DateTime", header)[0]
    return dt.datetime.combine(dt.date(date.year, date.month, date.day), time)


def _zone(header: Dataset) -> dt.timezone | None:
    text = str(header.get("TimezoneOffsetFromUTC") or "").strip()
    if len(text) != 5 or text[0] not in "+-" or not text[1:].isdigit():
        return None
    offset = dt.timedelta(hours=int(text[1:3]), minutes=int(text[3:]))
    return dt.timezone(-offset if text[0] == "-" else offset)


def _text(data: Dataset, keyword: str) -> str:
    return str(data.get(keyword) or "").strip()
