"""What a written object takes over from its source: patient and study, as far as the standard allows their values.

Archives hold values that are too long or of the wrong form, and readers refuse objects for them. Such a value is left
empty, except those that say whose the object is.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.valuerep import validate_value

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
        kept[element.tag] = DataElement(element.tag, element.VR, None)
    return kept


def _is_allowed(element: DataElement) -> bool:
    if element.VR in {"SQ", "UI"} or element.keyword in KEYS or not element.value:
        return True
    values = element.value if element.VM > 1 else [element.value]
    try:
        for value in values:
            validate_value(element.VR, str(value) if element.VR not in {"US", "SS", "UL", "SL"} else value, RAISE)
    except ValueError:
        return False
    return True
