"""What the authority signs is a head, and nothing before it can change any more."""

from pathlib import Path

import pytest

from protocol.errors import AuditError
from server.audit.signed_head import (
    SignedHead,
    check_signature,
    head_of_event,
    read_signed_head,
    sign_head,
    write_signed_head,
)
from server.study.audit_log import AuditLog, read_events
from server.tls.authority import Authority, provide_authority, utc_now


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return provide_authority(tmp_path / "ca", "Test", now=utc_now())


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    found = AuditLog(tmp_path / "audit.jsonl")
    for number in range(2):
        found.record("round", {"server_round": number})
    return found


def test_a_signature_is_an_event_whose_chain_is_what_it_signs(log: AuditLog, authority: Authority) -> None:
    signed = sign_head(log, "light", authority, now=utc_now())
    event = read_events(log.path)[-1]
    assert (signed.lines, signed.head, event.number) == (2, event.chain, 3)
    assert head_of_event(event.facts) == signed
    assert check_signature(signed, authority.certificate) == ""


@pytest.mark.parametrize("change", [{"lines": 1}, {"head": "0" * 64}, {"study": "other"}, {"signature": "00"}])
def test_nothing_of_what_was_signed_can_change(change: dict[str, object], log: AuditLog, authority: Authority) -> None:
    signed = sign_head(log, "light", authority, now=utc_now())
    assert check_signature(signed.model_copy(update=change), authority.certificate)


def test_another_authority_is_named(log: AuditLog, authority: Authority, tmp_path: Path) -> None:
    signed = sign_head(log, "light", authority, now=utc_now())
    other = provide_authority(tmp_path / "other", "Test", now=utc_now())
    assert "not by" in check_signature(signed, other.certificate)


def test_a_log_without_an_event_or_with_a_changed_line_is_not_signed(tmp_path: Path, authority: Authority) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    with pytest.raises(AuditError, match="no event yet"):
        sign_head(log, "light", authority, now=utc_now())
    for number in range(2):
        log.record("round", {"server_round": number})
    log.path.write_bytes(log.path.read_bytes().replace(b'"server_round": 0', b'"server_round": 7'))
    with pytest.raises(AuditError, match="line 1 does not stand as written"):
        sign_head(log, "light", authority, now=utc_now())


def test_a_link_in_the_place_of_the_log_is_not_followed(log: AuditLog, authority: Authority, tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(log.path)
    with pytest.raises(AuditError, match="is a link"):
        sign_head(AuditLog(link), "light", authority, now=utc_now())


def test_a_copy_is_read_as_it_was_written_or_refused(tmp_path: Path) -> None:
    signed = SignedHead(study="light", lines=1, head="0" * 64, signed_at="now", authority="")
    write_signed_head(tmp_path / "head.json", signed)
    assert read_signed_head(tmp_path / "head.json") == signed
    data = (tmp_path / "head.json").read_bytes().replace(b'"lines": 1', b'"lines": 2')
    (tmp_path / "head.json").write_bytes(data)
    with pytest.raises(AuditError, match="it was changed"):
        read_signed_head(tmp_path / "head.json")
