"""What the index finds in a made archive, and who its findings are about."""

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from client.data.checks import Issue, Subject
from client.dicom.findings import SeriesSubject
from client.dicom.index import index_source
from client.dicom.series import Instance, Kind, Plane, Series
from tests.support.dicom_study import AXIAL

SUBJECT = Subject("here", "case-1", Path("case-1"))
ABOUT_CT = SeriesSubject(SUBJECT, "ct.nii.gz", "1.2.3")
needs_dcmtk = pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="dcmtk is not installed")


def index(source: Path, unpack_to: Path | None = None) -> tuple[tuple[Series, ...], tuple[Issue, ...]]:
    """Series and issues of an archive."""
    return index_source(source, unpack_to or source.parent / "unpacked", progress=lambda _: None)


def only_series(source: Path) -> Series:
    """The one series of an archive about which nothing is to be said."""
    (series,), issues = index(source)
    assert issues == ()
    return series


def codes(issues: Iterable[Issue]) -> Counter[tuple[str, str]]:
    """How often each code was found with each grade."""
    return Counter((issue.code, issue.grade) for issue in issues)


def plane(z_mm: float = 0.0, *, size: int = 10, xy_mm: tuple[float, float] = (0.0, 0.0)) -> Plane:
    """An axial plane of 1 mm pixels."""
    return Plane((*xy_mm, z_mm), AXIAL, (1.0, 1.0), (size, size))


def series(kind: Kind, uid: str, z_mm: Iterable[float] = (), *, patient: str = "P", **facts: object) -> Series:
    """A series of axial planes at these places, one an instance; of no planes it is one instance without any."""
    planes: list[tuple[Plane, ...]] = [(plane(z),) for z in z_mm] or [()]
    made = {"study_uid": "study", "sop_class_uid": "", "modality": "", "frame_of_reference_uid": "frame", **facts}
    instances = [
        Instance(Path(uid, str(number)), patient, series_uid=uid, sop_uid=f"{uid}.{number}", planes=own, **made)  # type: ignore[arg-type]
        for number, own in enumerate(planes)
    ]
    return Series(kind, tuple(instances))
