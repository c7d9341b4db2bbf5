"""What a written object takes over from its source: patient and study, as far as the standard allows their values.

Archives hold values that are too long or of the wrong form, and readers refuse objects for them. Such a value is left
empty, except those that say whose the object is, and numbers: these are written with as many digits as are allowed.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.valuerep import format_number_as_ds, validate_value

GROUPS = (0x0008, 0x0010, 0x0020)
KEYS = ("PatientID", "PatientName")


def inherit(source: Sequence[Dataset]) -> list[Dataset]:
    """The headers of the source without values that the standard forbids; the source's own stay as they are."""
    return [_without_bad_values(header) for header in source]


@contextmanager
def written_quietly() -> Iterator[None]:
    """No warnings of libraries about what the source's values look like: nobody here can correct them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _without_bad_values(header: Dataset) -> Dataset:
    bad = [element for element in header if element.tag.group in GROUPS and not _is_allowed(element)]
    if not bad:
        return header
    kept = Dataset()
    kept.update({element.tag: element for element in header})
    for element in bad:
        kept[element.tag] = DataElement(element.tag, element.VR, _shorten(element))
    return kept


def _shorten(element: DataElement) -> list[str] | None:
    """Decimals in the 16 characters that the standard gives each; None of what is no number."""
    if element.VR != "DS":
        return None
    try:
        return [format_number_as_ds(float(value)) for value in _values(element)]
    except (TypeError, ValueError):
        return None


def _is_allowed(element: DataElement) -> bool:
    if element.VR in {"SQ", "UI"} or element.keyword in KEYS or not element.value:
        return True
    try:
        for value in _values(element):
            validate_value(element.VR, str(value) if element.VR not in {"US", "SS", "UL", "SL"} else value, RAISE)
    except ValueError:
        return False
    return True


def _values(element: DataElement) -> Sequence[Any]:
    return element.value if element.VM > 1 else [element.value]
