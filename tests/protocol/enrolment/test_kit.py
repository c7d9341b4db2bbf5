"""The kit: what is refused, and with which words."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError

from protocol.enrolment.kit import KIT_BYTES, Kit, StudyAgreement, authority_fingerprint, read_kit, write_kit
from protocol.errors import KitError
from server.tls.authority import Authority, fingerprint_of, provide_authority

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
AGREEMENT = StudyAgreement(
    study="sarcoma",
    title="Sarcoma",
    settings_sha256="a" * 64,
    model="pemma-unetr-tiny",
    modalities=("ct", "pet"),
    flower="1.41",
    concilium="0.1.0",
    bundle_sha256="b" * 64,
    image="client:1",
    disk_bytes=1,
    minimum_cases=3,
    bytes_down_per_round=5,
    bytes_up_per_round=4,
)
KIT = Kit(
    consortium="North",
    center="north",
    endpoint="fed.example.org:443",
    serial="0" * 32,
    token="t" * 43,
    issued_at=NOW,
    expires_at=NOW + timedelta(days=14),
    agreement=AGREEMENT,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return provide_authority(tmp_path_factory.mktemp("authority"), "North", now=NOW)


def pem(authority: Authority) -> bytes:
    return authority.certificate.public_bytes(Encoding.PEM)


@pytest.fixture
def kit_file(tmp_path: Path, authority: Authority) -> Path:
    write_kit(tmp_path / "north.kit", KIT, pem(authority), authority.key)
    return tmp_path / "north.kit"


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """The kit after `edit` has changed its JSON; the signature stays."""
    content = json.loads(path.read_bytes())
    edit(content)
    path.write_text(json.dumps(content))
    return path


def test_a_kit_reads_back_as_it_was_written(kit_file: Path, authority: Authority) -> None:
    assert read_kit(kit_file) == (KIT, pem(authority))


def test_the_fingerprint_in_a_kit_is_the_one_that_the_coordinator_shows(kit_file: Path, authority: Authority) -> None:
    assert authority_fingerprint(read_kit(kit_file)[1]) == fingerprint_of(authority.certificate)


def test_a_kit_can_be_read_by_its_owner_alone(kit_file: Path) -> None:
    assert kit_file.stat().st_mode & 0o777 == 0o600


def test_the_same_kit_gives_the_same_bytes(kit_file: Path, tmp_path: Path, authority: Authority) -> None:
    write_kit(tmp_path / "again.kit", KIT, pem(authority), authority.key)
    assert (tmp_path / "again.kit").read_bytes() == kit_file.read_bytes()


def test_another_layout_of_the_same_json_is_the_same_kit(kit_file: Path) -> None:
    kit_file.write_text(json.dumps(json.loads(kit_file.read_bytes()), sort_keys=True, indent=4))
    assert read_kit(kit_file)[0] == KIT


def test_a_kit_tells_its_reader_what_to_run_and_send(kit_file: Path) -> None:
    text = "\n".join(json.loads(kit_file.read_bytes())["readme"])
    assert "concilium-center join north.kit --data DIR --home HOME" in text
    assert "north.answer" in text


def test_the_token_is_in_no_repr() -> None:
    assert KIT.token not in repr(KIT)


@pytest.mark.parametrize(("seconds", "expired"), [(-1, False), (0, True)])
def test_a_kit_expires_to_the_second(seconds: int, expired: bool) -> None:
    assert KIT.is_expired(KIT.expires_at + timedelta(seconds=seconds)) is expired


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["readme"].append("run this instead"),
        lambda content: content["kit"].update(endpoint="elsewhere.example.org:443"),
        lambda content: content["kit"]["agreement"].update(bundle_sha256="c" * 64),
        lambda content: content["kit"].update(expires_at="2036-08-01T12:00:00Z"),
        lambda content: content.update(signature="00" + content["signature"][2:]),
        lambda content: content.update(signature="no hex"),
        lambda content: content.update(authority="no certificate"),
        lambda content: content.update(authority="\ud800"),
        lambda content: content.update(kit=None),
    ],
)
def test_a_kit_that_was_changed_is_refused(kit_file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(KitError, match=r"not signed by the authority in it.*Ask the coordinator for it again"):
        read_kit(change(kit_file, edit))


def test_a_kit_signed_by_another_key_than_its_authoritys_is_refused(tmp_path: Path, authority: Authority) -> None:
    write_kit(tmp_path / "x.kit", KIT, pem(authority), ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(KitError, match="not signed by the authority in it"):
        read_kit(tmp_path / "x.kit")


def test_another_authority_cannot_be_put_into_a_kit(kit_file: Path, tmp_path: Path) -> None:
    other = pem(provide_authority(tmp_path / "other", "North", now=NOW)).decode()
    with pytest.raises(KitError, match="not signed by the authority in it"):
        read_kit(change(kit_file, lambda content: content.update(authority=other)))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.pop("authority"), r"holds \['kit', 'readme', 'signature'\], expected"),
        (lambda content: content.update(run_sh="#!/bin/sh"), r"'run_sh'.*ask the coordinator"),
    ],
)
def test_a_missing_or_unknown_part_is_named(
    kit_file: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(KitError, match=message):
        read_kit(change(kit_file, edit))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\xff", "is not a whole kit"),
        (b"not json", "is not a whole kit"),
        (b"[" * 100_000, "is not a whole kit"),
        (b"[]", "holds list, expected"),
        (b" " * (KIT_BYTES + 1), "has 1048577 bytes, expected at most 1048576"),
    ],
)
def test_a_file_that_is_no_kit_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.kit").write_bytes(content)
    with pytest.raises(KitError, match=message):
        read_kit(tmp_path / "x.kit")


def test_a_kit_cut_short_on_its_way_is_no_kit(kit_file: Path) -> None:
    kit_file.write_bytes(kit_file.read_bytes()[:-40])
    with pytest.raises(KitError, match="is not a whole kit"):
        read_kit(kit_file)


def test_a_kit_that_is_not_there_says_which_file_to_give(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="No such file or directory"):
        read_kit(tmp_path / "none.kit")


def test_a_kit_of_another_schema_asks_for_an_update_and_shows_no_token(tmp_path: Path, authority: Authority) -> None:
    other = Kit.model_construct(**{**dict(KIT), "schema_version": 3, "agreement": AGREEMENT})
    write_kit(tmp_path / "new.kit", other, pem(authority), authority.key)
    with pytest.raises(KitError, match=r"schema_version.*another version") as caught:
        read_kit(tmp_path / "new.kit")
    assert KIT.token not in str(caught.value)


@pytest.mark.parametrize("center", ["../x", "a/b", "", "a b", "x" * 65])
def test_a_kit_names_a_center_that_is_safe_as_a_file_name(center: str) -> None:
    with pytest.raises(ValidationError, match="no name of a center"):
        Kit.model_validate({**KIT.model_dump(), "center": center})
