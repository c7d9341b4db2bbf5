"""The layouts that `convert` reads, one row each, and which of them a source has.

A layout is told by what only it has; a source that two rows recognize is not guessed at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.convert.contract import Choices, FoundCases
from client.data.conversion import Layout
from protocol.errors import CaseError


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


LAYOUTS: Mapping[Layout, LayoutRow] = {}
"""Layout -> its row, such as `LayoutRow(recognize_nifti, lambda search: find_nifti_cases(search.source, ...))`."""


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
            f"source {source} has none of the layouts {', '.join(rows)}; correct the path, or name its layout "
            "with --layout"
        )
    if len(found) > 1:
        told = "; ".join(f"{name}: {reason}" for name, reason in found.items())
        raise CaseError(f"source {source} could have {len(found)} layouts ({told}); name one with --layout")
    return next(iter(found.items()))
