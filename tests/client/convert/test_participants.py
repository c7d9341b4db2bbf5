"""The table says whose a case is, and keeps what a center added."""

from pathlib import Path

import pytest

from client.convert.participants import write_participants
from protocol.errors import CaseError


def test_cases_and_patients_are_listed(tmp_path: Path) -> None:
    write_participants(tmp_path, {"case-b": "p-1", "case-a": "p-1"})
    assert (tmp_path / "participants.csv").read_text() == "case,patient\ncase-a,p-1\ncase-b,p-1\n"


def test_added_columns_and_other_cases_are_kept(tmp_path: Path) -> None:
    (tmp_path / "participants.csv").write_text("case;patient;metastasis\ncase-a;p-1;1\nmine;me;0\n")
    write_participants(tmp_path, {"case-a": "p-1", "case-b": "p-2"})
    lines = (tmp_path / "participants.csv").read_text().splitlines()
    assert lines == ["case,patient,metastasis", "case-a,p-1,1", "case-b,p-2,", "mine,me,0"]


def test_no_case_makes_no_table(tmp_path: Path) -> None:
    write_participants(tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "participants.csv").write_text("case,patient\na,b,c\n")
    with pytest.raises(CaseError):
        write_participants(tmp_path, {"case-a": "p-1"})
    assert (tmp_path / "participants.csv").read_text() == "case,patient\na,b,c\n"
