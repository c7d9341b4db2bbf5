from pathlib import Path

import pytest

from protocol.errors import CaseError
from protocol.messages.audit import read_audit, write_audit
from tests.support.carded_study import audit_of, write_carded


def test_an_audit_is_read_as_it_was_written(tmp_path: Path) -> None:
    audit = audit_of(write_carded(tmp_path))
    write_audit(tmp_path / "audit.json", audit)
    assert read_audit(tmp_path / "audit.json") == audit


def test_an_attack_that_is_withheld_and_given_is_refused(tmp_path: Path) -> None:
    audit = audit_of(write_carded(tmp_path))
    write_audit(tmp_path / "a.json", audit.model_copy(update={"suppressed": ("loss-threshold",)}))
    with pytest.raises(CaseError, match="suppressed and given as well"):
        read_audit(tmp_path / "a.json")


def test_a_digit_that_was_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    write_audit(path, audit_of(write_carded(tmp_path)))
    path.write_bytes(path.read_bytes().replace(b'"auc": 0.8', b'"auc": 0.5'))
    with pytest.raises(CaseError, match="it was changed"):
        read_audit(path)
