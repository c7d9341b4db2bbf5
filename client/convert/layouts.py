"""The layouts that `convert` reads, one row each, and which of them a source has.

A layout is told by what only it has; a source that two rows recognize is not guessed at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.convert.autopet_layout import find_autopet_cases, recognize_autopet
from client.convert.contract import Choices, FoundCases
from client.convert.dicom_layout import find_dicom_cases, recognize_dicom
from client.convert.hecktor_layout import find_hecktor_cases, recognize_hecktor
from client.convert.nifti_layout import find_nifti_cases, recognize_nifti
from client.convert.nnunet_layout import find_nnunet_cases, recognize_nnunet
from client.convert.pclt20k_layout import find_pclt20k_cases, recognize_pclt20k
from client.data.conversion import Layout
from protocol.errors import CaseError

FOLDERS_NAMED = 5


@dataclass(frozen=True)
class Search:
    """What is looked for where. unpack_to: private folder for members of archives; progress: told of files seen."""

    source: Path
    choices: Choices
    unpack_to: Path
    progress: Callable[[int], None]


@dataclass(frozen=True)
class LayoutRow:
    """recognize: by what a source is taken for this layout, "" where it is not; find: its cases."""

    recognize: Callable[[Path], str]
    find: Callable[[Search], FoundCases]


def _files(recognize: Callable[[Path], str], find: Callable[[Path, Choices], FoundCases]) -> LayoutRow:
    """The row of a layout whose files are read where they lie."""
    return LayoutRow(recognize, lambda search: find(search.source, search.choices))


LAYOUTS: Mapping[Layout, LayoutRow] = {
    "dicom": LayoutRow(
        recognize_dicom,
        lambda search: find_dicom_cases(search.source, search.choices, search.unpack_to, search.progress),
    ),
    "nifti": _files(recognize_nifti, find_nifti_cases),
    "hecktor": _files(recognize_hecktor, find_hecktor_cases),
    "autopet": _files(recognize_autopet, find_autopet_cases),
    "nnunet": _files(recognize_nnunet, find_nnunet_cases),
    "pclt20k": _files(recognize_pclt20k, find_pclt20k_cases),
}


def _inside(source: Path, rows: Mapping[Layout, LayoutRow]) -> str:
    """What is said of the folders of a source where they are data sets themselves, as in nnUNet_raw."""
    folders = sorted(path for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
    found = [f"{folder.name} ({name})" for folder in folders for name, row in rows.items() if row.recognize(folder)]
    if not found:
        return ""
    more = f" and {len(found) - FOLDERS_NAMED} more" if len(found) > FOLDERS_NAMED else ""
    return f"its folders do: {', '.join(found[:FOLDERS_NAMED])}{more}; name one of them as the source, or "


def recognize_layout(source: Path, rows: Mapping[Layout, LayoutRow] = LAYOUTS) -> tuple[Layout, str]:
    """The layout of a source, and by what it was told.

    Raises:
        CaseError: the source is not there, or has none or several of the layouts.
    """
    if not source.exists():
        raise CaseError(f"source {source} does not exist; correct the path")
    found = {name: reason for name, row in rows.items() if (reason := row.recognize(source))}
    if not found:
        raise CaseError(
            f"source {source} has none of the layouts {', '.join(rows)}; {_inside(source, rows)}correct the path, or "
            "name its layout with --layout"
        )
    if len(found) > 1:
        told = "; ".join(f"{name}: {reason}" for name, reason in found.items())
        raise CaseError(f"source {source} could have {len(found)} layouts ({told}); name one with --layout")
    return next(iter(found.items()))
