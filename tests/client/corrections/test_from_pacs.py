"""Edited objects from the PACS: those of predicted studies, and nothing else."""

from dataclasses import replace
from pathlib import Path

from client.corrections.from_pacs import fetch_edited
from client.corrections.predictions import find_predictions
from client.pacs.contract import FoundSeries
from tests.support.corrected_study import Corrected
from tests.support.pacs import AT_ONCE, PacsInMemory


def test_segs_and_structure_sets_of_predicted_studies_are_fetched(made: Corrected, tmp_path: Path) -> None:
    (predicted,), _ = find_predictions(made.predictions)
    kinds = {"1": "CT", "2": "SEG", "3": "RTSTRUCT"}
    pacs = PacsInMemory(
        [
            FoundSeries(uid, f"{uid}.{number}", modality, (f"{uid}.{number}.1",))
            for uid in ("1.1", "1.2")
            for number, modality in kinds.items()
        ]
    )
    folder = fetch_edited(pacs, [replace(predicted, study_uid="1.1")] * 2, tmp_path, patience=AT_ONCE)
    assert folder.parent == tmp_path / "edited"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.dcm"))
    assert names == ["1.1/1.1.2/1.1.2.1.dcm", "1.1/1.1.3/1.1.3.1.dcm"]


def test_without_any_the_folder_is_empty(tmp_path: Path) -> None:
    assert list(fetch_edited(PacsInMemory(), [], tmp_path, patience=AT_ONCE).iterdir()) == []
