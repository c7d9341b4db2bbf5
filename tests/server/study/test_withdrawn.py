"""Certificates say who withdrew; a study whose state was taken back does not run on."""

from pathlib import Path

import pytest

from protocol.errors import WithdrawalError
from protocol.storage.sealed_json import seal
from server.study.directory import StudyDirectory
from server.study.withdrawn import Withdrawn, read_withdrawn, refuse_withdrawn


def certify(root: Path, first_stage: str, replay: str = "") -> StudyDirectory:
    directory = StudyDirectory(root)
    directory.withdrawals.mkdir()
    told = {"center": "c", "first_stage": first_stage, "in_use": "shared/0001", "replay": replay}
    (directory.withdrawals / "c.json").write_bytes(seal({"statement": told}))
    return directory


def test_a_study_goes_on_without_a_center_that_never_trained(tmp_path: Path) -> None:
    directory = certify(tmp_path, "")
    refuse_withdrawn(directory)
    assert read_withdrawn(directory) == (Withdrawn("c", "", "shared/0001", ""),)


@pytest.mark.parametrize(("replay", "where"), [("/new", "it goes on without it in /new"), ("", "it cannot go on")])
def test_a_study_that_was_taken_back_names_where_it_goes_on(replay: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(WithdrawalError, match=where):
        refuse_withdrawn(certify(tmp_path, "stage-2", replay))


def test_a_damaged_certificate_is_named(tmp_path: Path) -> None:
    directory = certify(tmp_path, "stage-2")
    (directory.withdrawals / "c.json").write_text("{}")
    with pytest.raises(WithdrawalError, match=r"c\.json is damaged"):
        read_withdrawn(directory)
