"""What is kept of how sure masks are, read back."""

from pathlib import Path

import pytest

from client.scores.calibration_rows import read_calibration
from protocol.errors import CaseError
from protocol.storage.sealed_json import seal


def test_a_file_that_is_not_there_has_no_row_and_one_without_its_seal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    assert read_calibration(path) == ()
    path.write_text('{"schema": 1, "rows": []}')
    with pytest.raises(CaseError, match="cannot be read"):
        read_calibration(path)


def test_rows_of_a_later_schema_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(seal({"schema": 1, "rows": []}))
    assert read_calibration(path) == ()
    path.write_bytes(seal({"schema": 2, "rows": []}))
    with pytest.raises(CaseError, match="evaluate again to replace it"):
        read_calibration(path)
