"""Scans to predict: studies of an archive or a published layout, cases of a data folder, or two files."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydicom import Dataset

from client.convert.contract import FoundCase, ReadCase
from client.convert.identities import Origin, PrivateFolder
from client.data.checks import Issue
from client.data.manifest import QUANTITIES, Case
from client.data.volume import Volume, read_volume
from client.dicom.reading import read_header
from client.predict.case_sources import Origins, find_source
from client.predict.contract import FoundScan, Scan
from client.predict.lost_images import leave_out_lost, refuse_left_out
from protocol.errors import CaseError
from protocol.modalities import ModalitySetting

CONTOUR = "gtv.nii.gz"
"""The file that issues about contours are about; none is looked at here."""


def scans_of_studies(
    found: Iterable[FoundCase],
    private: PrivateFolder,
    wanted: ModalitySetting | None = None,
    left_out: tuple[Issue, ...] = (),
) -> Iterator[FoundScan]:
    """The studies that `convert` would make cases of, under the ids that it would give them with the same key.

    `wanted`: the setting to predict under; an image that it does not name may be unusable. `left_out`: findings about
    the archive, of which some tell of series that its studies lack.
    """
    for study in found:
        case = private.case_id(study.identity)
        yield FoundScan(case, partial(_read_study, study, case, wanted, left_out))


def scans_of_cases(cases: Iterable[Case], named: Mapping[str, Origin]) -> Iterator[FoundScan]:
    """The usable cases of a data folder, by their names; `named` is whom their ids stand for, where that is known."""
    for case in cases:
        origins = named[case.name].origins if case.name in named else {}
        yield FoundScan(case.name, partial(_read_case, case, origins))


def scan_of_files(ct: Path | None, pet: Path | None, wanted: ModalitySetting | None = None) -> FoundScan:
    """A scan of image files, CT in HU and PET in SUV by body weight; named by the folder that they lie in.

    Raises:
        CaseError: neither is given.
    """
    if (given := ct or pet) is None:
        raise CaseError("neither a CT nor a PET was given; name one file at least")
    case = given.resolve().parent.name
    return FoundScan(case, partial(_read_files, case, ct, pet, wanted))


def _read_study(study: FoundCase, case: str, wanted: ModalitySetting | None, left_out: tuple[Issue, ...]) -> Scan:
    read = study.read(case)
    scan = Scan(
        case,
        read.ct,
        read.pet,
        read.pet_values,
        ct_headers=_headers(read, "ct") if read.ct is not None else (),
        pet_headers=_headers(read, "pet") if read.pet is not None else (),
        origins=read.origins,
        issues=tuple(issue for issue in (*study.issues, *read.issues) if issue.file != CONTOUR),
    )
    refuse_left_out(scan, left_out, wanted)
    return leave_out_lost(scan, study.modalities or tuple(scan.images), wanted)


def _headers(read: ReadCase, name: str) -> list[Dataset]:
    """The headers of a DICOM series, each object once; none where the image is no DICOM."""
    if f"{name}_series_uid" not in read.origins:
        return []
    paths = read.origins.get(f"{name}_files", ())
    headers = [read_header(Path(path)) for path in ([paths] if isinstance(paths, str) else paths)]
    return list({str(header.SOPInstanceUID): header for header in headers}.values())


def _read_case(case: Case, origins: Origins) -> Scan:
    scan = Scan(
        case.name,
        ct=_read_image(case, "ct"),
        pet=_read_image(case, "pet"),
        pet_values=None if case.conversion is None else case.conversion.pet_values,
        labels=case.labels,
        issues=tuple(issue for issue in case.issues if issue.file != CONTOUR),
    )
    source = find_source(case.name, scan.images, origins)
    return replace(
        scan,
        ct_headers=source.headers.get("ct", ()),
        pet_headers=source.headers.get("pet", ()),
        origins=source.origins,
        issues=(*scan.issues, *source.issues),
    )


def _read_image(case: Case, name: str) -> Volume | None:
    return next((read_volume(path, QUANTITIES[key]) for key, path in case.paths.items() if key == name), None)


def _read_files(case: str, ct: Path | None, pet: Path | None, wanted: ModalitySetting | None) -> Scan:
    scan = Scan(
        case,
        ct=None if ct is None else read_volume(ct, "ct_hu"),
        pet=None if pet is None else read_volume(pet, "pet_suv"),
    )
    return leave_out_lost(scan, tuple(scan.images), wanted)
