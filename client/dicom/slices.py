"""The places of a series' planes and, once their order is known, their values; each file is opened once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from client.data.checks import Issue
from client.data.volume import Quantity
from client.dicom import pet_keywords, pixels, rescale
from client.dicom.findings import RefusedSeriesError, SeriesSubject, UnreadableFileError
from client.dicom.frames import PLANE_KEYWORDS, read_planes
from client.dicom.reading import read_image
from client.dicom.rescale import Rescale
from client.dicom.series import Instance, Plane, Series

CT_KEYWORDS: Final = (*PLANE_KEYWORDS, *pixels.KEYWORDS, *rescale.KEYWORDS, "SOPClassUID", "LossyImageCompression")
PET_KEYWORDS: Final = (*CT_KEYWORDS, *pet_keywords.KEYWORDS)
LOSSY = "01"
STEP = "export the series again"


@dataclass(frozen=True)
class Place:
    """One plane of a series: the object, which of its frames, and where it lies."""

    instance: Instance
    frame: int
    plane: Plane


@dataclass(frozen=True, eq=False)
class Slices:
    """Planes in the order of their places: values (z, y, x) float32, and of each the header without pixels."""

    values_zyx: NDArray[np.float32]
    headers: tuple[Dataset, ...]
    issues: tuple[Issue, ...]


@dataclass(frozen=True, eq=False)
class _Object:
    """One object read: its header, values (frames, y, x), and how many pixels are padding."""

    header: Dataset
    values: NDArray[np.float32]
    rescales: tuple[Rescale, ...]
    padding: int


def places_of(series: Series, subject: SeriesSubject) -> tuple[Place, ...]:
    """The places of all planes of a series.

    Raises:
        RefusedSeriesError: an object does not say where it lies.
    """
    lost = [instance for instance in series.instances if not instance.planes]
    if lost:
        found = f"{len(lost)} image(s) without position, orientation or pixel spacing"
        expected = "all three of each"
        raise RefusedSeriesError([subject.issue("no-position", found, expected, STEP, source=str(lost[0].path))])
    return tuple(
        Place(instance, frame, plane) for instance in series.instances for frame, plane in enumerate(instance.planes)
    )


def read_slices(places: Sequence[Place], quantity: Quantity, subject: SeriesSubject) -> Slices:
    """The values of the planes, which are all of one size, each with its own rescale.

    Raises:
        RefusedSeriesError: an image cannot be read whole, or its values cannot be told; with one issue for each.
    """
    rows: dict[Instance, list[tuple[int, int]]] = {}
    for row, place in enumerate(places):
        rows.setdefault(place.instance, []).append((row, place.frame))
    values_zyx = np.empty((len(places), *places[0].plane.shape_yx), np.float32)
    headers: list[Dataset] = [Dataset()] * len(places)
    rescales: list[Rescale] = [Rescale(None, None)] * len(places)
    damage: list[Issue] = []
    padding = 0
    for instance, own in rows.items():
        try:
            read = _read(instance, quantity)
        except UnreadableFileError as error:
            damage.append(subject.issue("slice-unreadable", error.found, "a whole image", STEP, source=error.source))
            continue
        padding += read.padding
        for row, frame in own:
            values_zyx[row], headers[row], rescales[row] = read.values[frame], read.header, read.rescales[frame]
    issues = damage or _judge(values_zyx, headers, rescales, quantity, subject)
    if any(issue.fatal for issue in issues):
        raise RefusedSeriesError(issues)
    return Slices(values_zyx, tuple(headers), (*issues, *_tell_padding(padding, quantity, subject)))


def _read(instance: Instance, quantity: Quantity) -> _Object:
    """The object as it was when it was found; a PET with all of its header that SUV may need."""
    path = instance.path
    if quantity == "ct_hu":
        data = read_image(path, CT_KEYWORDS)
    else:
        data = read_image(path, PET_KEYWORDS, pet_keywords.PRIVATE_GROUPS)
    if read_planes(data) != instance.planes:
        raise UnreadableFileError("an image that changed since it was found", str(path))
    stored = pixels.stored_frames(data, path)
    if len(stored) != len(instance.planes):
        found = f"an image with {len(stored)} frames and {len(instance.planes)} positions"
        raise UnreadableFileError(found, str(path))
    rescales = rescale.read_rescales(data, len(stored))
    values, padding = np.empty(stored.shape, np.float32), 0
    for frame, own in enumerate(rescales):
        exact = rescale.apply(stored[frame], own)
        padding += rescale.mark_padding(stored[frame], exact, data, rescale.LEAST[quantity])
        values[frame] = exact
    del data.PixelData
    return _Object(data, values, rescales, padding)


def _judge(
    values_zyx: NDArray[np.float32],
    headers: Sequence[Dataset],
    rescales: Sequence[Rescale],
    quantity: Quantity,
    subject: SeriesSubject,
) -> list[Issue]:
    issues = rescale.judge_rescales(rescales, quantity, subject)
    if quantity == "ct_hu":
        issues += rescale.judge_unscaled(rescales, float(values_zyx.min()), float(values_zyx.max()), subject)
    if len({tuple(header.get(keyword) for keyword in pixels.FORMAT) for header in headers}) > 1:
        found, expected = "slices whose pixels are stored in different formats", "one for the series"
        issues.append(subject.issue("formats-differ", found, expected, "check the images", grade="warning"))
    lossy = sum(is_lossy(header) for header in headers)
    if lossy:
        found = f"{lossy} of {len(headers)} slices that were compressed with loss"
        step = "export the original images if there are any"
        issues.append(subject.issue("lossy", found, "values as acquired", step, grade="warning"))
    return issues


def is_lossy(header: Dataset) -> bool:
    """Whether an image says, or its transfer syntax means, that it was compressed with loss."""
    syntax = header.file_meta.get("TransferSyntaxUID", "")
    return header.get("LossyImageCompression") == LOSSY or syntax in pixels.LOSSY


def _tell_padding(count: int, quantity: Quantity, subject: SeriesSubject) -> list[Issue]:
    if not count:
        return []
    least = rescale.LEAST[quantity]
    found = f"{count} pixel(s) marked as padding below {least:g}"
    return [subject.issue("padding", found, "an image", f"nothing to do: they became {least:g}", grade="note")]
