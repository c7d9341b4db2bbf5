"""The roster of a study comes back as it was written, and no other study's is taken."""

from pathlib import Path

import pytest

from protocol.errors import StudyError
from protocol.messages.secure_sum import Roster
from server.study.roster_file import read_roster, write_roster

ROSTER = Roster("sts", {"a": "ecdsa-sha2-nistp384 AAAA"}, signature="ab" * 50)


def test_it_comes_back(tmp_path: Path) -> None:
    write_roster(tmp_path / "roster.json", ROSTER)
    assert read_roster(tmp_path / "roster.json", "sts") == ROSTER


def test_without_one_the_command_that_makes_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"concilium roster --study {tmp_path}"):
        read_roster(tmp_path / "roster.json", "sts")


@pytest.mark.parametrize("text", ["", "{}", '{"study": "sts"}', "\xff"])
def test_a_damaged_one_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "roster.json").write_text(text)
    with pytest.raises(StudyError, match="cannot be used"):
        read_roster(tmp_path / "roster.json", "sts")


def test_another_studys_is_refused(tmp_path: Path) -> None:
    write_roster(tmp_path / "roster.json", ROSTER)
    with pytest.raises(StudyError, match="of study 'sts', expected 'other'"):
        read_roster(tmp_path / "roster.json", "other")
