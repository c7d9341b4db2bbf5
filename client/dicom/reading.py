"""Reads one DICOM file into a dataset; the only module that parses DICOM, so that damage has one way out.

pydicom converts values when they are first asked for, and warns or raises then, far from here. So everything is
converted at once: an element whose value cannot be converted is taken out, as if the file did not have it, and whoever
needs it says that it is missing. Warnings about a standard that nearly no archive keeps are of no use to a user.
"""

import struct
import warnings
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from client.dicom.findings import NotDicomError, UnreadableFileError
from protocol.storage.regular_files import open_regular

PREFIX_AT, PREFIX = 128, b"DICM"
META_AT, META_GROUP = 132, b"\x02\x00"
FIRST_GROUPS: Final = (b"\x08\x00", b"\x02\x00", b"\x00\x08")
"""Groups 0008 and 0002, with which a dataset without preamble begins, in both orders of bytes."""
SEQUENCE, ITEM, ITEM_HEADER_BYTES = "SQ", (0xFFFE, 0xE000), 8
NUMBERS_AS_TEXT: Final = ("DS", "IS")
UNDEFINED_LENGTH = 0xFFFFFFFF
PIXELS: Final = (0x7FE00010, 0x7FE00009, 0x7FE00008)
IDENTIFYING: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")

Stop = Callable[[BaseTag, str | None, int], bool]
"""Whether to stop before an element of this tag, VR and length."""


def read_header(path: Path) -> Dataset:
    """All elements but the pixels, converted.

    Raises:
        NotDicomError: the file is something else, or a DICOM file that is no object of a study.
        UnreadableFileError: the file cannot be opened, is empty, truncated or damaged. Both are CaseErrors.
    """
    return _read(path, _at_pixels)


def read_object(path: Path) -> Dataset:
    """The whole object, converted; raises as `read_header`."""
    return _read(path)


def read_elements(path: Path, keywords: Sequence[str]) -> Dataset:
    """The named elements alone, converted, which is faster; raises as `read_header`."""
    return _read(path, _at_pixels, wanted=_tags(tuple(keywords)).__contains__)


def read_image(path: Path, keywords: Sequence[str], private_groups: Collection[int] = ()) -> Dataset:
    """The named elements, all of these groups, and the pixels; raises as `read_header`."""
    tags = _tags((*keywords, "PixelData"))
    return _read(path, wanted=lambda tag: tag in tags or tag.group in private_groups)


def read_object_but(path: Path, keyword: str) -> Dataset:
    """The whole object, converted, but for elements of this name, which stay as bytes; raises as `read_header`."""
    return _read(path, unconverted=Tag(keyword))


@cache
def _tags(keywords: tuple[str, ...]) -> frozenset[BaseTag]:
    return frozenset(map(Tag, (*keywords, "SpecificCharacterSet")))


def _read(
    path: Path,
    stop_when: Stop | None = None,
    *,
    wanted: Callable[[BaseTag], bool] | None = None,
    unconverted: BaseTag | None = None,
) -> Dataset:
    """The wanted elements, all of them where nobody says which, up to one at which to stop."""
    try:
        with open_regular(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = _begins_as_dicom(stream, path)
            data = _parse(stream, stop_when, wanted, whole=whole)
            _convert(data.file_meta, unconverted)
            _convert(data, unconverted)
            return data
    except OSError as error:
        raise UnreadableFileError(
            f"a file that cannot be opened ({error.strerror or 'unknown reason'})", str(path)
        ) from error
    except UnreadableFileError:
        raise
    except InvalidDicomError as error:
        raise NotDicomError("a file that is not DICOM", str(path)) from error
    except Exception as error:  # pydicom raises whatever a damaged length or value leads it to, some forty kinds
        raise UnreadableFileError(f"a damaged file ({type(error).__name__})", str(path)) from error


def _begins_as_dicom(stream: BinaryIO, path: Path) -> bool:
    """Whether the file has preamble and prefix; refuses what cannot be DICOM."""
    start = stream.read(META_AT + 2)
    stream.seek(0)
    if not start:
        raise UnreadableFileError("an empty file", str(path))
    if start[PREFIX_AT:META_AT] == PREFIX:
        return True
    if start[META_AT:] == META_GROUP or not any(start[:PREFIX_AT]):
        raise UnreadableFileError("a file whose DICOM prefix is damaged or cut off", str(path))
    if not start.startswith(FIRST_GROUPS):
        raise NotDicomError("a file that is not DICOM", str(path))
    return False


def _parse(
    stream: BinaryIO, stop_when: Stop | None, wanted: Callable[[BaseTag], bool] | None, *, whole: bool
) -> FileDataset:
    data = read_partial(stream, stop_when, force=not whole)
    if not whole and not all(keyword in data for keyword in IDENTIFYING):
        raise InvalidDicomError("neither prefix nor UIDs")
    unwanted = [tag for tag in list(data.keys()) if wanted and not wanted(tag)]
    for tag in unwanted:
        del data[tag]
    _refuse_cut_short(data)
    return data


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in PIXELS


def _refuse_cut_short(data: Dataset) -> None:
    """pydicom takes what is left of a file as the last value; its stated length tells. Items stand in sequences."""
    for element in data.values():
        if element.tag.group == ITEM[0]:
            raise ValueError("an item outside of a sequence")
        if isinstance(element, RawDataElement) and element.value is not None:
            stated = element.length
            if stated != UNDEFINED_LENGTH and stated != len(element.value):
                raise EOFError(f"value of {len(element.value)} bytes, {stated} stated")


def _convert(data: Dataset, unconverted: BaseTag | None) -> None:
    """Convert all elements but of that tag, also those inside of sequences; take out what cannot be converted."""
    for tag in list(data.keys()):
        if tag == unconverted:
            continue
        raw = data.get_item(tag)
        try:
            element = data[tag]
        except Exception:
            if getattr(raw, "VR", None) == SEQUENCE and not tag.is_private:
                raise
            del data[tag]
            continue
        if element.VR == SEQUENCE:
            _refuse_damaged_items(raw)
            for item in element.value:
                _refuse_cut_short(item)
                _convert(item, unconverted)
        elif element.VR in NUMBERS_AS_TEXT and not _are_numbers(element.value):
            del data[tag]


def _refuse_damaged_items(sequence: object) -> None:
    """pydicom ends a sequence where it finds no item; all of its bytes must be items, or what follows is lost."""
    if not isinstance(sequence, RawDataElement) or not isinstance(sequence.value, bytes):
        return
    at, layout = 0, "<HHL" if sequence.is_little_endian else ">HHL"
    while at < len(sequence.value):
        group, element, length = struct.unpack_from(layout, sequence.value, at)
        if (group, element) != ITEM:
            raise ValueError("a sequence with something else than items")
        if length == UNDEFINED_LENGTH:
            return
        at += ITEM_HEADER_BYTES + length
    if at != len(sequence.value):
        raise EOFError("a sequence that ends within an item")


def _are_numbers(value: Any) -> bool:
    """Whether pydicom could make numbers of the text; where it cannot it keeps the text, and warns."""
    values = value if isinstance(value, MultiValue) else [value]
    return value is None or all(isinstance(each, (int, float, Decimal)) for each in values)
