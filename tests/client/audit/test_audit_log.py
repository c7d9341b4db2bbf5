from pathlib import Path

import pytest

from client.audit.audit_log import AUDITS, read_audits, record_audit
from protocol.errors import CaseError
from tests.support.carded_study import audit_of, write_carded


def test_an_audit_takes_the_place_of_an_earlier_one_of_the_same_version(tmp_path: Path) -> None:
    entry = write_carded(tmp_path)
    for steps in (10, 20):
        record_audit(tmp_path, audit_of(entry, steps=steps))
    record_audit(tmp_path, audit_of(entry, adapter_sha256="0" * 64))
    assert [audit.steps for audit in read_audits(tmp_path / AUDITS)] == [20, 40]


def test_a_check_of_a_candidate_stands_beside_an_audit_of_the_same_tensors(tmp_path: Path) -> None:
    entry = write_carded(tmp_path)
    record_audit(tmp_path, audit_of(entry))
    record_audit(tmp_path, audit_of(entry, answered="compared"))
    assert [audit.answered for audit in read_audits(tmp_path / AUDITS)] == [None, "compared"]


def test_before_the_first_there_is_none(tmp_path: Path) -> None:
    assert read_audits(tmp_path / AUDITS) == ()


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    record_audit(tmp_path, audit_of(write_carded(tmp_path)))
    path = tmp_path / AUDITS
    path.write_bytes(path.read_bytes().replace(b"0.8", b"0.5"))
    with pytest.raises(CaseError, match="audit again"):
        read_audits(path)
