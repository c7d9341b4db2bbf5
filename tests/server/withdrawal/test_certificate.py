"""A certificate says what was removed and what nobody can promise; the authority vouches for it."""

from pathlib import Path

import pytest

from protocol.errors import WithdrawalError
from protocol.storage.sealed_json import seal, unseal
from server.tls.authority import provide_authority, utc_now
from server.withdrawal.certificate import (
    Statement,
    Version,
    issue,
    not_promised,
    read_certificate_of,
    write_certificate,
)

STATEMENT = Statement(
    study="light",
    center="c",
    issued_at="2026-01-01T00:00:00+00:00",
    revoked="It is revoked: its key is turned away.",
    first_stage="stage-2",
    rounds=(3, 4),
    removed=(Version(reference="c/0001", sha256="ab", stage="stage-2", server_round=4),),
    in_use="shared/0001",
    in_use_sha256="cd",
    replay="",
    replayed_stages=(),
    replay_reason="The later stages cannot be trained again: <none>",
    influenced=(),
    tracking="These are marked:",
    marked=("run center/c", "version 1 of light.c (c/0001)"),
    not_promised=not_promised("light", "c"),
)


def test_a_signed_certificate_is_read_back_and_a_changed_one_refused(tmp_path: Path) -> None:
    """Also where the change was sealed anew."""
    path = tmp_path / "c.json"
    write_certificate(path, issue(STATEMENT, provide_authority(tmp_path / "ca", "Test", now=utc_now())))
    assert read_certificate_of(path).statement == STATEMENT
    content = unseal(path.read_bytes())
    content["statement"]["removed"] = []
    path.write_bytes(seal(content))
    with pytest.raises(WithdrawalError, match="InvalidSignature"):
        read_certificate_of(path)


def test_what_was_signed_before_backbones_were_named_still_holds() -> None:
    assert b"_backbones" not in STATEMENT.signed_bytes
    assert b"_backbones" in STATEMENT.model_copy(update={"removed_backbones": ("ef",)}).signed_bytes


def test_the_page_says_it_for_people(tmp_path: Path) -> None:
    write_certificate(tmp_path / "c.json", issue(STATEMENT, None))
    page = (tmp_path / "c.html").read_text()
    assert "Center c has withdrawn from study light" in page
    assert "In use is shared/0001 (cd)" in page
    assert "not signed" in page
    assert "Copies that left the bank before" in page
    assert ("version 1 of light.c (c/0001)" in page, "what is marked is not deleted" in page) == (True, True)
    assert "&lt;none&gt;" in page
