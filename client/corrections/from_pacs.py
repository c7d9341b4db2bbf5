"""Edited objects from the PACS: every SEG and RTSTRUCT that it has of the studies that were predicted."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from client.corrections.predictions import Predicted
from client.pacs.contract import PacsClient
from client.pacs.fetching import fetch_study
from client.pacs.patience import USUAL, Patience
from protocol.storage.atomic_files import make_private_folder

EDITED = ("SEG", "RTSTRUCT")


def fetch_edited(
    client: PacsClient, predictions: Iterable[Predicted], private: Path, *, patience: Patience = USUAL
) -> Path:
    """Fetch them into a new folder of the private folder, where they stay: the ledger names them.

    Raises:
        PacsError: the PACS refuses, does not answer, or keeps back objects that it lists.
        StorageError: the disk is full.
    """
    folder = private / "edited" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    for study_uid in sorted({predicted.study_uid for predicted in predictions}):
        fetch_study(client, study_uid, folder / study_uid, modalities=EDITED, patience=patience)
    make_private_folder(folder)
    return folder
