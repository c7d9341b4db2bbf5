"""The DICOM files that a case of a data folder was converted from, as far as they still are what they were.

DICOM objects refer to the series that they lie on. A case has none; its source has, which the private folder of the
conversion names. It is read again, and serves where the case's image has the grid of the series.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydicom import Dataset

from client.data.checks import Issue, Subject
from client.data.manifest import File
from client.data.volume import OnGrid, Volume, same_grid
from client.dicom.image_series import read_ct, read_stored_pet
from client.dicom.objects import read_instance
from client.dicom.reading import read_header
from client.dicom.series import Series
from protocol.errors import CaseError

Origins = Mapping[str, str | list[str]]
IMAGES: Final[tuple[Literal["ct", "pet"], ...]] = ("ct", "pet")


@dataclass(frozen=True)
class CaseSource:
    """What a case's DICOM objects refer to: UIDs by the keys of `ReadCase.origins`, and headers of its images' series.

    issues: why there is nothing of it.
    """

    origins: Origins
    headers: Mapping[File, Sequence[Dataset]]
    issues: tuple[Issue, ...] = ()


def find_source(case: str, images: Mapping[File, Volume], origins: Origins) -> CaseSource:
    """The source of a case's images; nothing of it, and why, where files are gone or are others than they were.

    Args:
        case: its id, which findings are about.
        images: CT and PET of the case as they are shown.
        origins: what the private folder says of the case.
    """
    if not all(f"{name}_series_uid" in origins for name in images):
        return CaseSource({}, {})
    subject = Subject("", case, Path(case))
    try:
        series = {name: _read_series(name, origins) for name in IMAGES if name in images}
        base = next(iter(series))
        if not same_grid(_read_grid(series[base], subject), images[base]):
            return _refuse(subject, "DICOM files of another grid than the case's image has")
        headers: dict[File, Sequence[Dataset]] = {
            name: [read_header(path) for path in found.paths] for name, found in series.items()
        }
    except CaseError as error:
        return _refuse(subject, "DICOM files that are gone or changed", str(error))
    return CaseSource(origins, headers)


def _read_series(name: Literal["ct", "pet"], origins: Origins) -> Series:
    """The series that an image was made of, each object once.

    Raises:
        CaseError: a file is gone, or is of another series.
    """
    paths = origins.get(f"{name}_files", [])
    found = [read_instance(Path(path)) for path in ([paths] if isinstance(paths, str) else paths)]
    instances = tuple({instance.sop_uid: instance for instance in found}.values())
    expected = (origins.get("study_uid"), origins[f"{name}_series_uid"])
    if not instances or any((each.study_uid, each.series_uid) != expected for each in instances):
        raise CaseError("files of another series; predict from the export with --source")
    return Series(name, instances)


def _read_grid(series: Series, subject: Subject) -> OnGrid:
    return read_ct(series, subject)[0] if series.kind == "ct" else read_stored_pet(series, subject)[0]


def _refuse(subject: Subject, found: str, source: str = "") -> CaseSource:
    step = "mask and figures are NIfTI and JSON alone; put the export back, or predict it with --source"
    told = subject.issue("no-source", "", found, "those it was converted from", step, grade="warning", source=source)
    return CaseSource({}, {}, (told,))
