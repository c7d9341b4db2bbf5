"""The predictions that a correction may be of: what `predict` left in a folder, found by their records."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.data.checks import Issue
from client.data.volume import Volume, read_volume
from client.dicom.findings import find_in_archive
from client.predict.record import RECORD
from protocol.errors import CaseError
from protocol.storage.parsed_text import LARGEST_TEXT_BYTES
from protocol.storage.regular_files import read_regular

Text = Annotated[str, Field(min_length=1)]


class _Read(BaseModel):
    """Base of what is read of a record; other keys are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Input(_Read):
    study_uid: Text
    ct_series_uid: str = ""
    pet_series_uid: str = ""
    frame_of_reference_uid: str = ""


class _Grid(_Read):
    of: Literal["ct", "pet", "ct, resampled", "pet, resampled"]


class _Files(_Read):
    mask: Text


class _Object(_Read):
    sop_uid: str = ""


class _Record(_Read):
    schema_: Literal[1, 2] = Field(alias="schema")
    case: Text
    program: str = ""
    study: str = ""
    adapter: dict[str, object] = {}
    input: _Input
    grid: _Grid
    files: _Files
    dicom: dict[str, _Object] = {}


@dataclass(frozen=True)
class Predicted:
    """A prediction of a DICOM study.

    series_uids: those it was made of, first the one whose grid the mask has. sop_uids: its own DICOM objects. facts: of
    study, adapter and program that made it, as its record says.
    """

    folder: Path
    case: str
    study_uid: str
    series_uids: tuple[str, ...]
    frame_of_reference_uid: str
    sop_uids: frozenset[str]
    facts: dict[str, object]
    mask_file: Path

    def read_mask(self) -> Volume:
        """The predicted mask.

        Raises:
            CaseError: it cannot be read.
        """
        return read_volume(self.mask_file, "mask")


def find_predictions(folder: Path) -> tuple[tuple[Predicted, ...], tuple[Issue, ...]]:
    """Every prediction in a folder and the folders in it, and what is wrong with the others.

    Raises:
        CaseError: there is none.
    """
    records = sorted({*folder.glob(RECORD), *folder.glob(f"*/{RECORD}")})
    found, issues = [], []
    for path in records:
        try:
            found.append(_read(path))
        except (OSError, ValidationError) as error:
            issues.append(_unreadable(path, error))
    if not records:
        raise CaseError(f"{folder} has no {RECORD}, nor has a folder in it; give what `concilium-center predict` wrote")
    return tuple(found), tuple(issues)


def _read(path: Path) -> Predicted:
    record = _Record.model_validate_json(read_regular(path, LARGEST_TEXT_BYTES))
    given = record.input
    uids = [given.ct_series_uid, given.pet_series_uid]
    ordered = uids if record.grid.of.startswith("ct") else uids[::-1]
    return Predicted(
        path.parent,
        record.case,
        given.study_uid,
        tuple(uid for uid in ordered if uid),
        given.frame_of_reference_uid,
        frozenset(item.sop_uid for item in record.dicom.values() if item.sop_uid),
        {"study": record.study, "adapter": record.adapter, "program": record.program},
        path.parent / record.files.mask,
    )


def _unreadable(path: Path, error: Exception) -> Issue:
    lacks = (
        ", ".join(".".join(map(str, row["loc"])) for row in error.errors())
        if isinstance(error, ValidationError)
        else ""
    )
    found = "a prediction without study, grid or mask" if lacks else "a record of a prediction that cannot be read"
    step = "nothing to do if it is of image files, which name no study; else predict again"
    return find_in_archive(
        "prediction-record", found, "one of a DICOM study", step, grade="note", source=f"{path}: {lacks or error}"
    )
