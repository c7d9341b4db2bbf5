"""The ledger of corrections."""

from pathlib import Path

import pytest

from client.corrections.comparison import Comparison
from client.corrections.ledger import LEDGER, Entry, read_ledger, write_ledger
from protocol.errors import CaseError

ENTRY = Entry(
    *("case-a", "2026-01-01T00:00:00+00:00", "seg", "1.2", "1.3", "/edited/1.dcm", "20260101", "Doe^Jane"),
    Comparison(0.5, 12.0, None, 1.0, 2.0, 1.5, 0.5),
    "ab",
    "labels/case-a/1.nii.gz",
    {"adapter": {"name": "shared"}},
)


def test_a_ledger_reads_back_equal_and_is_for_its_owner_alone(tmp_path: Path):
    assert read_ledger(tmp_path / "private") == ()
    write_ledger(tmp_path / "private", (ENTRY, ENTRY))
    assert read_ledger(tmp_path / "private") == (ENTRY, ENTRY)
    assert (tmp_path / "private" / LEDGER).stat().st_mode & 0o777 == 0o600


def test_a_damaged_ledger_is_refused(tmp_path: Path):
    (tmp_path / LEDGER).write_text('[{"case": 1}]')
    with pytest.raises(CaseError, match="restore it from a backup"):
        read_ledger(tmp_path)
