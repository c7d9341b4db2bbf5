"""Numbers of a header, each missing or implausible one as an issue that names its tag."""

import math

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from client.data.checks import Issue, Subject

PET = "pet.nii.gz"


def read_number(
    header: Dataset,
    keyword: str,
    limits: tuple[float, float],
    subject: Subject,
    *,
    code: str,
    unit: str,
    step: str,
) -> float | Issue:
    """The element's value; an issue where it is missing, no number, or outside of the limits."""
    low, high = limits
    expected = f"{low:g} to {high:g} {unit}"
    value = number(header, keyword)
    if value is None:
        return subject.issue(code, PET, f"no {name(keyword)}", expected, step)
    if not low <= value <= high:
        return subject.issue(code, PET, f"{name(keyword)} {value:g} {unit}", expected, step)
    return value


def number(header: Dataset, keyword: str) -> float | None:
    """The element's value as a finite number; None where it has none."""
    try:
        value = float(header.get(keyword))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def name(keyword: str) -> str:
    """An element as people look it up: keyword and tag."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return f"{keyword} ({tag.group:04X},{tag.element:04X})"
