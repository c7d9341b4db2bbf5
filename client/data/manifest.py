"""A center's cases as one manifest: what each has, with which issues. It holds paths and labels and stays here."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from client.data.checks import Issue
from client.data.conversion import Conversion
from client.data.labels import UNLABELLED, CaseLabels
from client.data.volume import Grid, Quantity
from protocol.errors import CaseError
from protocol.modalities import IMAGES, Modality
from protocol.tasks import TaskName

File = Literal["ct", "pet", "gtv"]
QUANTITIES: Mapping[File, Quantity] = {"ct": "ct_hu", "pet": "pet_suv", "gtv": "mask"}


@dataclass(frozen=True)
class Case:
    """One study of one patient; mappings hold the files the center offers: "ct", "pet", "gtv".

    folder: the name of the data folder the case came from; where several centers share its table, also the values that
    select the case's row, so that it names the center's own part. checksums: SHA-256 of the files. conversion: how they
    came to be, where their folder keeps it; its issues are among the case's.
    """

    name: str
    patient: str
    folder: str
    paths: Mapping[File, Path]
    grids: Mapping[File, Grid]
    checksums: Mapping[File, str]
    issues: tuple[Issue, ...] = ()
    labels: CaseLabels = UNLABELLED
    conversion: Conversion | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities the case has, CT first and EHR last."""
        images: tuple[Modality, ...] = tuple(modality for modality in IMAGES if modality in self.paths)
        return images if self.labels.ehr is None else (*images, "ehr")

    def has_target(self, task: TaskName) -> bool:
        """Whether the case has what a task teaches: a mask file, a class, time and event of an endpoint, a CT."""
        return TARGETS[task](self)

    @property
    def usable(self) -> bool:
        """Whether no issue is fatal."""
        return not any(issue.fatal for issue in self.issues)


TARGETS: Mapping[TaskName, Callable[[Case], bool]] = {
    "segmentation": lambda case: "gtv" in case.paths,
    "classification": lambda case: case.labels.class_index is not None,
    "survival": lambda case: any(endpoint is not None for endpoint in case.labels.endpoints),
    "fusion": lambda case: "ct" in case.paths,
}


@dataclass(frozen=True)
class Manifest:
    """All cases of a center, by name; `issues` concern the center as a whole."""

    center: str
    cases: tuple[Case, ...]
    issues: tuple[Issue, ...] = ()

    @property
    def usable(self) -> tuple[Case, ...]:
        """Cases without a fatal issue."""
        return tuple(case for case in self.cases if case.usable)

    @property
    def patients(self) -> dict[str, str]:
        """Usable case -> its patient; one name in several folders is one patient, who is then protected as one."""
        return {case.name: case.patient for case in self.usable}

    @property
    def quarantined(self) -> tuple[Case, ...]:
        """Cases left out for a fatal issue."""
        return tuple(case for case in self.cases if not case.usable)

    @property
    def all_issues(self) -> tuple[Issue, ...]:
        """Issues of the center, then of its cases in order."""
        return self.issues + tuple(issue for case in self.cases for issue in case.issues)

    @property
    def digest(self) -> str:
        """SHA-256 over center, names, patients, grids, file contents, labels, records and issue codes; no path enters.

        A note says what was done with a case, not what is wrong with it: its code does not count.
        """
        rows = [_digest_row(case) for case in self.cases]
        text = json.dumps([self.center, rows, _codes(self.issues)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def raise_if_unusable(manifest: Manifest) -> None:
    """Refuse a center without a single usable case, or with a data folder that holds none.

    Raises:
        CaseError: the message lists every error and warning.
    """
    if manifest.usable and not any(issue.fatal for issue in manifest.issues):
        return
    told = [issue for issue in manifest.all_issues if issue.grade != "note"]
    raise CaseError(
        f"center '{manifest.center}': {len(manifest.usable)} of {len(manifest.cases)} case(s) can be used, and "
        f"{len(told)} issue(s) were found:\n{list_issues(told)}"
    )


def list_issues(issues: Sequence[Issue]) -> str:
    """One line each."""
    return "\n".join(f"  {issue.message}" for issue in issues)


def _digest_row(case: Case) -> list[object]:
    grids = {file: asdict(grid) for file, grid in case.grids.items()}
    row: list[object] = [
        case.name,
        case.patient,
        case.folder,
        case.checksums,
        grids,
        asdict(case.labels),
        _codes(case.issues),
    ]
    return row if case.conversion is None else [*row, asdict(replace(case.conversion, issues=()))]


def _codes(issues: Sequence[Issue]) -> list[list[str]]:
    return [[issue.code, issue.case] for issue in issues if issue.grade != "note"]
