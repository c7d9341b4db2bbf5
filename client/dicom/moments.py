"""Dates and times of DICOM as moments."""

import datetime as dt
import math


def seconds_between(one: str, other: str) -> float:
    """Seconds between two moments "YYYYMMDDHHMMSS.ffffff"; infinite where one of them cannot be told."""
    first, second = _moment(one), _moment(other)
    return abs((first - second).total_seconds()) if first and second else math.inf


def _moment(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text[:14], "%Y%m%d%H%M%S")  # noqa: DTZ007 - DICOM times have no zone
    except ValueError:
        return None
