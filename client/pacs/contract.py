"""What the center asks of a PACS, whichever way it is spoken to, and how that fails."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protocol.errors import PacsError

MODALITIES = ("CT", "PT", "RTSTRUCT", "SEG")
UID = re.compile(r"[0-9][0-9.]{0,63}")

Keep = Callable[[str, bytes], None]
"""Called with SOPInstanceUID and the bytes of a DICOM file, for each object as it comes."""


class PacsSilentError(PacsError):
    """The PACS did not answer, or broke off; asking again may help."""


class StudyFailedError(PacsError):
    """The PACS answers, but not as it should for this study; other studies may be well."""


class SeriesShortError(StudyFailedError):
    """The PACS sent fewer objects than it lists; asking again may help."""


@dataclass(frozen=True)
class StudyQuery:
    """Which studies are meant; what is empty is not asked. A date is YYYYMMDD."""

    study_uid: str = ""
    accession: str = ""
    patient_id: str = ""
    study_date: str = ""


@dataclass(frozen=True)
class FoundStudy:
    """A study that the PACS has."""

    study_uid: str
    accession: str = ""
    patient_id: str = ""
    study_date: str = ""

    def answers(self, query: StudyQuery) -> bool:
        """Whether it is what was asked for: some servers answer with all they have when they know no such key."""
        return all(not asked or asked == getattr(self, name) for name, asked in vars(query).items())


@dataclass(frozen=True)
class FoundSeries:
    """A series that the PACS has, with the objects that it lists."""

    study_uid: str
    series_uid: str
    modality: str
    sop_uids: tuple[str, ...]


class PacsClient(Protocol):
    """One PACS. Every method raises PacsError: PacsSilentError, StudyFailedError, or for a refusal itself."""

    @property
    def name(self) -> str:
        """What messages call it: where it is, nothing that is secret."""

    def find_studies(self, query: StudyQuery) -> tuple[FoundStudy, ...]:
        """The studies that answer a query."""

    def find_series(self, study_uid: str) -> tuple[FoundSeries, ...]:
        """All series of a study."""

    def fetch_series(self, series: FoundSeries, keep: Keep) -> None:
        """Fetch every object of a series; fewer than listed are no error here. What `keep` raises comes through."""

    def store(self, path: Path) -> None:
        """Send one DICOM file."""

    def close(self) -> None:
        """End the connection; a client that is closed can be asked again."""


def safe_uids(uids: Sequence[str], what: str) -> tuple[str, ...]:
    """UIDs as a PACS gave them, fit to name files.

    Raises:
        StudyFailedError: one is no UID.
    """
    for uid in uids:
        if not UID.fullmatch(uid):
            raise StudyFailedError(
                f"{what}: found {uid!r} for a UID, expected at most 64 digits and dots; ask the PACS' administrator"
            )
    return tuple(uids)
