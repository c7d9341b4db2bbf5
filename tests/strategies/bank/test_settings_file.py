"""A bank belongs to one study, and to one schema."""

from pathlib import Path

import pytest

from protocol.errors import BankError
from protocol.storage.sealed_json import seal
from strategies.bank.settings_file import SETTINGS_FILE, read_study_record, refuse_other_study, study_record
from tests.support.bank_of_numbers import number_settings


def test_a_bank_of_another_study_is_refused_by_what_differs(tmp_path: Path) -> None:
    settings = number_settings()
    (tmp_path / SETTINGS_FILE).write_bytes(seal(study_record(settings, {"r": 2})))
    refuse_other_study(tmp_path, study_record(settings, {"r": 2}))
    with pytest.raises(BankError, match=r"with other settings .*\(adapter_config\)"):
        refuse_other_study(tmp_path, study_record(settings, {"r": 3}))


def test_a_bank_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_bytes(seal({"schema": 1}))
    with pytest.raises(BankError, match="schema 1"):
        read_study_record(tmp_path)
