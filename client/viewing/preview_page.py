"""The overview of a center's cases as one self-contained page: pictures, plots, findings. It stays at the center."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.data.checks import GRADES, Grade
from client.data.manifest import Case, Manifest
from client.report.center_report import grid_text
from client.report.pictures import CT_WINDOW_HU, TRUE
from client.viewing.case_overviews import CaseOverview
from client.viewing.cohort_plots import cohort_plots
from protocol.storage.atomic_files import write_private
from reporting.pages import open_templates

NO_FINDING = "clear"


@dataclass(frozen=True)
class Entry:
    """A case with its pictures. grades: those of its findings, worst first, or `NO_FINDING` alone."""

    number: int
    case: Case
    overview: CaseOverview
    grades: tuple[str, ...]


def write_preview(manifest: Manifest, overviews: Sequence[CaseOverview], path: Path) -> int:
    """Write the page for its owner alone (mode 0600) and return its bytes.

    Args:
        manifest: the cases with their issues.
        overviews: of the manifest's cases, in their order.
        path: the HTML file; replaced whole or left as it was.

    Raises:
        StorageError: the file cannot be written.
    """
    page = preview_html(manifest, overviews).encode()
    write_private(path, page)
    return len(page)


def preview_html(manifest: Manifest, overviews: Sequence[CaseOverview]) -> str:
    """The page of all cases; it holds no script and asks for nothing from elsewhere."""
    environment = open_templates("client.viewing")
    environment.filters["grid"] = grid_text
    entries = [
        Entry(number, case, seen, grades_of(case))
        for number, (case, seen) in enumerate(zip(manifest.cases, overviews, strict=True), start=1)
    ]
    return environment.get_template("preview.html").render(
        manifest=manifest,
        entries=entries,
        choices=(*GRADES, NO_FINDING),
        counts={name: sum(name in entry.grades for entry in entries) for name in (*GRADES, NO_FINDING)},
        plots=cohort_plots([seen.figures for seen in overviews], [case.grids for case in manifest.cases]),
        window_hu=CT_WINDOW_HU,
        contour=TRUE,
    )


def grades_of(case: Case) -> tuple[str, ...]:
    """The grades of a case's findings, worst first; `NO_FINDING` where it has none."""
    found: tuple[Grade, ...] = tuple(grade for grade in GRADES if any(issue.grade == grade for issue in case.issues))
    return found or (NO_FINDING,)
