"""What the viewer may show: the files of the manifest's cases, and their predictions where there are any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.data.manifest import Case
from client.data.volume import read_grid, same_grid
from client.viewing.preview_page import grades_of
from protocol.errors import CaseError

PREDICTION = "prediction.nii.gz"


@dataclass(frozen=True)
class ViewedCase:
    """One case: its files by what they hold (ct, pet, gtv, prediction), and why a prediction is not among them."""

    case: Case
    files: Mapping[str, Path]
    remark: str = ""

    def entry(self) -> dict[str, Any]:
        """What the page is told."""
        issues = [
            {"grade": issue.grade, "message": issue.message, "remedy": issue.remedy} for issue in self.case.issues
        ]
        return {
            "name": self.case.name,
            "files": sorted(self.files),
            "grade": grades_of(self.case)[0],
            "issues": issues,
            "remark": self.remark,
        }


def view_cases(cases: Sequence[Case], predictions: Path | None) -> tuple[ViewedCase, ...]:
    """Every case that has an image, with `predictions/<case>/prediction.nii.gz` where it lies on the case's grid.

    Raises:
        CaseError: there is no case to show, or no prediction of any.
    """
    shown = tuple(_view(case, predictions) for case in cases if {"ct", "pet"} & set(case.grids))
    if not shown:
        raise CaseError(
            "none of the cases has an image that can be read; see what `concilium-center check` says of them"
        )
    if predictions is not None and not any("prediction" in case.files for case in shown):
        remarks = "; ".join(sorted({case.remark for case in shown}))
        raise CaseError(
            f"{predictions} holds a prediction of none of the {len(shown)} case(s): {remarks}; expected "
            f"<folder>/<case>/{PREDICTION}; predict with --data, or with --private and the private folder of the "
            "conversion, so that predictions have the ids of its cases"
        )
    return shown


def _view(case: Case, predictions: Path | None) -> ViewedCase:
    files: dict[str, Path] = {file: path for file, path in case.paths.items() if file in case.grids}
    if predictions is None:
        return ViewedCase(case, files)
    path = predictions / case.name / PREDICTION
    remark = _remark_on(path, case)
    return ViewedCase(case, files if remark else {**files, "prediction": path}, remark)


def _remark_on(path: Path, case: Case) -> str:
    """Why a prediction cannot be laid over its case; empty where it can."""
    if not path.is_file():
        return "no prediction"
    try:
        on_grid = same_grid(read_grid(path), case.grids["ct"] if "ct" in case.grids else case.grids["pet"])
    except CaseError as error:
        return str(error)
    return "" if on_grid else "the prediction lies on another grid than the case"
