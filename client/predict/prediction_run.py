"""Predicts scan after scan; a scan that cannot be used stops none of the others, and what was written stays."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.predict.contract import FoundScan, Prediction
from client.predict.outputs import write_prediction
from client.predict.predicting import Predictor
from protocol.errors import CaseError
from protocol.storage.atomic_files import make_private_folder

Write = Callable[[Prediction, Path], Mapping[str, str]]
"""Writes something more of a prediction into its folder, and tells what -> name of the file."""


@dataclass(frozen=True)
class Outcome:
    """What became of a scan: its folder and record, or why there is none."""

    case: str
    folder: Path
    record: dict[str, Any] | None = None
    error: str = ""


def predict_scans(
    scans: Iterable[FoundScan], predictor: Predictor, out: Path, also: Iterable[Write] = ()
) -> Iterator[Outcome]:
    """Predict each scan into `out / case`, and tell of it when it is done.

    Args:
        scans: read one at a time.
        predictor: for all of them.
        out: the folder of all, private.
        also: what else is written of each prediction.

    Raises:
        StorageError: the disk is full or refuses; no other scan could be written either.
    """
    writes = tuple(also)
    for scan in scans:
        yield _predict_one(scan, predictor, out / scan.case, writes)


def _predict_one(found: FoundScan, predictor: Predictor, folder: Path, also: tuple[Write, ...]) -> Outcome:
    try:
        prediction = predictor.predict(found.read())
        make_private_folder(folder)
        beside = {name: file for write in also for name, file in write(prediction, folder).items()}
        return Outcome(found.case, folder, write_prediction(prediction, folder, beside))
    except CaseError as error:
        return Outcome(found.case, folder, error=str(error))
