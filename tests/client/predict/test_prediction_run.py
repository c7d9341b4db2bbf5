"""Scan after scan: one that cannot be used stops none of the others."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from client.predict.contract import FoundScan, Prediction, Scan
from client.predict.prediction_run import predict_scans
from protocol.errors import CaseError, StorageError
from tests.support.predicted_scan import made_scan, predictor


def refuse() -> Scan:
    raise CaseError("no volume can be made of it")


def test_a_bad_study_is_told_and_the_next_one_predicted(tmp_path: Path) -> None:
    scan = made_scan(tmp_path / "source").scan
    scans = [FoundScan("bad", refuse), FoundScan("good", lambda: scan)]
    bad, good = predict_scans(scans, predictor(), tmp_path / "out")
    assert (bad.record, bad.error) == (None, "no volume can be made of it")
    assert good.record is not None
    assert (good.folder / "prediction.json").exists()
    assert not bad.folder.exists()


def test_what_else_is_written_is_named_in_the_record(tmp_path: Path) -> None:
    scan = made_scan(tmp_path / "source").scan

    def also(_prediction: Prediction, folder: Path) -> Mapping[str, str]:
        (folder / "more.txt").write_text("more")
        return {"more": "more.txt"}

    (found,) = predict_scans([FoundScan("good", lambda: scan)], predictor(), tmp_path / "out", (also,))
    assert found.record is not None
    assert found.record["files"]["more"] == "more.txt"
    assert (tmp_path / "out" / "good").stat().st_mode & 0o777 == 0o700


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    def fill(_prediction: Prediction, _folder: Path) -> Mapping[str, str]:
        raise StorageError("no space")

    scan = made_scan(tmp_path / "source").scan
    run = predict_scans([FoundScan("a", lambda: scan)] * 2, predictor(), tmp_path / "out", (fill,))
    with pytest.raises(StorageError, match="no space"):
        next(run)
