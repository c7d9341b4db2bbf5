"""Where a NIfTI header says that its image lies: twice, or nowhere; programs differ in what they believe."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from client.data.checks import Issue, Subject
from client.data.manifest import File
from client.data.nifti_values import read_nifti_header
from client.data.volume import Volume, same_grid

LARGEST_DISAGREEMENT_MM = 0.5


def place_issues(subject: Subject, paths: Mapping[File, Path], volumes: Mapping[File, Volume]) -> list[Issue]:
    """Findings about the places of a case's files, by their keys "ct", "pet" and "gtv"."""
    return [*_twice(subject, paths), *_nowhere(subject, paths, volumes)]


def disagreement_mm(path: Path) -> float:
    """How far the two places that a header gives lie apart; 0 where it gives one, none, or is no NIfTI."""
    header = read_nifti_header(path)
    apart_mm = 0.0 if header is None else header.disagreement_mm
    return apart_mm if apart_mm > LARGEST_DISAGREEMENT_MM else 0.0


def without_place(paths: Mapping[File, Path], volumes: Mapping[File, Volume]) -> Sequence[File]:
    """Those of CT and PET whose headers give no place, where they lie on two grids and so need one."""
    if not {"ct", "pet"} <= volumes.keys() or same_grid(volumes["ct"], volumes["pet"]):
        return []
    images: tuple[File, ...] = ("ct", "pet")
    return [file for file in images if file in paths and _is_nowhere(paths[file])]


def _twice(subject: Subject, paths: Mapping[File, Path]) -> Iterator[Issue]:
    for path in paths.values():
        if apart_mm := disagreement_mm(path):
            found = f"qform and sform that lie {apart_mm:.1f} mm apart"
            step = "look whether CT, PET and mask overlay; if not, correct the header"
            yield subject.issue("two-places", path.name, found, "one place in space", step, grade="warning")


def _nowhere(subject: Subject, paths: Mapping[File, Path], volumes: Mapping[File, Volume]) -> Iterator[Issue]:
    for file in without_place(paths, volumes):
        found, expected = "a header without a place in space", "one, since CT and PET lie on two grids"
        step = "convert from DICOM, or write headers with qform or sform"
        yield subject.issue("no-place", paths[file].name, found, expected, step)


def _is_nowhere(path: Path) -> bool:
    header = read_nifti_header(path)
    return header is not None and header.qform is None and header.sform is None
