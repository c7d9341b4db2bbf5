"""What tests of the PACS share: servers for the Orthanc, server files, a filled PACS, and one in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydicom import dcmread
from pydicom.uid import RLELossless

from client.pacs.contract import FoundSeries, FoundStudy, Keep, StudyQuery
from client.pacs.patience import Patience
from client.pacs.settings import DicomwebServer, DimseServer, Server
from tests.support.dicom_study import MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct
from tests.support.orthanc import OUR_TITLE, PACS_TITLE, PASSWORD, USER, Orthanc

AT_ONCE = Patience(attempts=1)
TIMEOUT_S = 20.0


def dicomweb(pacs: Orthanc, **changed: object) -> DicomwebServer:
    """The Orthanc by DICOMweb."""
    said = {"url": pacs.dicomweb, "username": USER, "password": SecretStr(PASSWORD), "authority": pacs.authority}
    return DicomwebServer.model_validate({"kind": "dicomweb", "timeout_s": TIMEOUT_S, **said, **changed})


def dimse(pacs: Orthanc, **changed: object) -> DimseServer:
    """The Orthanc by the DICOM protocol."""
    said = {"host": "localhost", "port": pacs.dicom_port, "title": PACS_TITLE, "our_title": OUR_TITLE}
    tls = {"tls": pacs.tls, "authority": pacs.authority}
    return DimseServer.model_validate({"kind": "dimse", "timeout_s": TIMEOUT_S, **said, **tls, **changed})


def servers(pacs: Orthanc) -> dict[str, Server]:
    """Both ways to one Orthanc."""
    return {"dicomweb": dicomweb(pacs), "dimse": dimse(pacs)}


def write_server_file(path: Path, server: Server) -> Path:
    """The file of a server, for its owner alone."""
    lines = ["[pacs]"]
    for name, value in server:
        if isinstance(value, SecretStr):
            value = value.get_secret_value()  # noqa: PLW2901 - the file holds it in clear
        if value is not None and value != "":
            lines.append(f"{name} = {_toml(value)}")
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def write_study(folder: Path, study: MadeStudy, *, slices: int = 3, **tags: Any) -> dict[str, list[Path]]:
    """CT, PET and RTSTRUCT of one study, by modality; a scout of modality "CR" as well."""
    hu, _ = body_phantom((slices, 16, 16))
    ct = write_ct(folder / "ct", study, hu, **tags)
    pet = write_pet(folder / "pet", study, abs(hu) + 1, **tags)
    drawn = write_rtstruct(folder / "rs.dcm", study, ct, {"GTV": [square((0, 0), 9, 3.0)]}, **tags)
    scout = write_ct(folder / "scout", study, hu[:1], **{**tags, "Modality": "CR"})
    return {"CT": ct, "PT": pet, "RTSTRUCT": [drawn], "CR": scout}


def compress(path: Path) -> None:
    """Make the pixels of a file run-length encoded."""
    data = dcmread(path)
    data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(path)


@dataclass
class PacsInMemory:
    """A PACS of made bytes. `fails`: series UID -> errors that its next fetches raise, or objects that do not come."""

    series: list[FoundSeries] = field(default_factory=list)
    studies: list[FoundStudy] = field(default_factory=list)
    fails: dict[str, list[Exception | str]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    stored: list[Path] = field(default_factory=list)
    refuses: dict[str, Exception] = field(default_factory=dict)
    name: str = "PACS made"

    def find_studies(self, query: StudyQuery) -> tuple[FoundStudy, ...]:
        return tuple(study for study in self.studies if study.answers(query))

    def find_series(self, study_uid: str) -> tuple[FoundSeries, ...]:
        return tuple(one for one in self.series if one.study_uid == study_uid)

    def fetch_series(self, series: FoundSeries, keep: Keep) -> None:
        self.fetched.append(series.series_uid)
        planned = self.fails.get(series.series_uid, [])
        fault = planned.pop(0) if planned else None
        for sop_uid in series.sop_uids:
            if fault != sop_uid:
                keep(sop_uid, f"object {sop_uid}".encode())
            if isinstance(fault, Exception):
                raise fault

    def store(self, path: Path) -> None:
        if error := self.refuses.get(path.name):
            raise error
        self.stored.append(path)

    def close(self) -> None:
        pass


def made_pacs(studies: Sequence[tuple[str, str]] = (("1.1", "A-1"), ("1.2", "A-2"))) -> PacsInMemory:
    """Two studies with a CT of three objects, a PET of two, and a report."""
    series = [
        FoundSeries(uid, f"{uid}.{number}", modality, tuple(f"{uid}.{number}.{item}" for item in range(1, count + 1)))
        for uid, _ in studies
        for number, (modality, count) in enumerate((("CT", 3), ("PT", 2), ("SR", 1)), start=1)
    ]
    found = [FoundStudy(uid, accession, f"patient-{uid}", "20200301") for uid, accession in studies]
    return PacsInMemory(series, found)
