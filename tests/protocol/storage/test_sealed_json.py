"""A seal finds a damaged byte."""

from pathlib import Path

import pytest

from protocol.errors import BankError
from protocol.storage.sealed_json import read_sealed, seal


def test_content_reads_back_without_its_seal(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(seal({"b": 1, "a": [2.5, None]}))
    assert read_sealed(tmp_path / "a.json") == {"b": 1, "a": [2.5, None]}


def test_the_seal_is_the_hash_of_the_sorted_content() -> None:
    """SHA-256 of {"a": 1}."""
    assert b"f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310" in seal({"a": 1})


def test_another_order_of_keys_has_the_same_seal(tmp_path: Path) -> None:
    text = seal({"a": 1, "b": 2}).decode().replace('"a": 1,\n "b": 2', '"b": 2,\n "a": 1')
    (tmp_path / "a.json").write_text(text)
    assert read_sealed(tmp_path / "a.json") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"a": 1}', "is damaged"),
        ('{"a": 1, "seal": "00"}', "was changed: content f9d860"),
    ],
)
def test_what_does_not_match_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(BankError, match=message):
        read_sealed(tmp_path / "a.json")


def test_no_number_that_json_does_not_know_is_sealed() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal({"a": float("nan")})
