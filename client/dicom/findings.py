"""What was found in an archive before it belongs to a case, and what keeps a series from becoming a volume.

A message never names a patient, a date, a path or a UID: these are the source of the issue, which stays at the center.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from client.data.checks import Grade, Issue, Subject
from protocol.errors import CaseError


class RefusedSeriesError(CaseError):
    """A series of which no volume can be made; `issues` say why, each with its source."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("; ".join(issue.message for issue in self.issues))


class UnreadableFileError(CaseError):
    """A file that cannot be read as DICOM; `source` is its path, which the message does not tell."""

    def __init__(self, found: str, source: str) -> None:
        self.found, self.source = found, source
        super().__init__(f"found {found}, expected a whole DICOM object; export it again")


class NotDicomError(UnreadableFileError):
    """A file that is something else than DICOM."""


def find_in_archive(
    code: str, found: str, expected: str, step: str, *, grade: Grade = "error", source: str = ""
) -> Issue:
    """One issue about the archive; it gets its case when there is one."""
    return Issue(code, "", f"found {found}, expected {expected}; {step}", grade, remedy=step, source=source)


@dataclass(frozen=True)
class SeriesSubject:
    """Whose series findings are about: the subject, the file that the series becomes, and its UID."""

    subject: Subject
    file: str
    uid: str

    def issue(
        self, code: str, found: str, expected: str, step: str, *, grade: Grade = "error", source: str = ""
    ) -> Issue:
        """One issue; its source is the series unless another is given."""
        return self.subject.issue(code, self.file, found, expected, step, grade=grade, source=source or self.uid)
