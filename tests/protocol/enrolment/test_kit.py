"""The kit: what is refused, and with which words."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from pydantic import ValidationError

from protocol.enrolment.kit import KIT_BYTES, Kit, StudyAgreement, authority_fingerprint, read_kit, write_kit
from protocol.enrolment.plan import StudyPlan, agreed_digest
from protocol.errors import KitError
from protocol.messages.labels import Classes, Labels
from protocol.messages.settings import Model, StudySettings
from server.tls.authority import Authority, fingerprint_of, provide_authority

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
SETTINGS = StudySettings(study="sarcoma", seed=0, model=Model(name="pemma-unetr-tiny"))
PLAN = StudyPlan(scored=True)
AGREEMENT = StudyAgreement(
    study="sarcoma",
    title="Sarcoma",
    settings=SETTINGS,
    plan=PLAN,
    agreed_sha256=agreed_digest(SETTINGS, PLAN),
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


Write = Callable[..., Path]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return provide_authority(tmp_path_factory.mktemp("authority"), "North", now=NOW)


@pytest.fixture(scope="module")
def server_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture(scope="module")
def signer(authority: Authority, server_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The server's certificate, from an hour before NOW until 397 days after."""
    return authority.sign("fed.example.org", server_key, now=NOW)


@pytest.fixture
def write(authority: Authority, signer: bytes, server_key: ec.EllipticCurvePrivateKey, tmp_path: Path) -> Write:
    def write_signed(kit: Kit = KIT) -> Path:
        write_kit(tmp_path / "north.kit", kit, pem(authority), signer, server_key)
        return tmp_path / "north.kit"

    return write_signed


@pytest.fixture
def kit_file(write: Write) -> Path:
    return write()


def pem(authority: Authority) -> bytes:
    return authority.certificate.public_bytes(Encoding.PEM)


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


def test_the_same_kit_gives_the_same_bytes(kit_file: Path, write: Write) -> None:
    before = kit_file.read_bytes()
    assert write().read_bytes() == before


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
        lambda content: content.update(signer="no certificate"),
        lambda content: content.update(signer=content["authority"]),
        lambda content: content.update(kit=None),
    ],
)
def test_a_kit_that_was_changed_is_refused(kit_file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(KitError, match=r"not signed by the authority in it.*Ask the coordinator for it again"):
        read_kit(change(kit_file, edit))


def test_a_kit_signed_by_another_key_than_its_signers_is_refused(
    tmp_path: Path, authority: Authority, signer: bytes
) -> None:
    write_kit(tmp_path / "x.kit", KIT, pem(authority), signer, ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(KitError, match="not signed by the authority in it;"):
        read_kit(tmp_path / "x.kit")


def test_a_kit_whose_signer_the_authority_did_not_issue_is_refused(
    tmp_path: Path, authority: Authority, server_key: ec.EllipticCurvePrivateKey
) -> None:
    forged = provide_authority(tmp_path / "other", "North", now=NOW).sign("fed.example.org", server_key, now=NOW)
    write_kit(tmp_path / "x.kit", KIT, pem(authority), forged, server_key)
    with pytest.raises(KitError, match=r"authority in it \(signer not issued by the authority\); it was damaged"):
        read_kit(tmp_path / "x.kit")


@pytest.mark.parametrize("days", [(-1, 14), (0, 398), (398, 400)], ids=["too early", "too long", "too late"])
def test_a_kit_with_a_date_outside_its_signers_certificate_is_refused(write: Write, days: tuple[int, int]) -> None:
    issued, expires = (NOW + timedelta(days=count) for count in days)
    with pytest.raises(KitError, match=r"certificate of its signer is valid from 2026-08-01 to 2027-09-02; ask"):
        read_kit(write(KIT.model_copy(update={"issued_at": issued, "expires_at": expires})))


def test_a_kit_may_last_as_long_as_its_signers_certificate(write: Write) -> None:
    kit = KIT.model_copy(update={"expires_at": NOW + timedelta(days=397)})
    assert read_kit(write(kit))[0] == kit


def test_another_authority_cannot_be_put_into_a_kit(kit_file: Path, tmp_path: Path) -> None:
    other = pem(provide_authority(tmp_path / "other", "North", now=NOW)).decode()
    with pytest.raises(KitError, match="not signed by the authority in it"):
        read_kit(change(kit_file, lambda content: content.update(authority=other)))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda content: content.pop("authority"), r"holds \['kit', 'readme', 'signature', 'signer'\], expected"),
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


def test_a_kit_of_another_schema_asks_for_an_update_and_shows_no_token(write: Write) -> None:
    other = Kit.model_construct(**{**dict(KIT), "schema_version": 2, "agreement": AGREEMENT})
    path = write(other)
    with pytest.raises(KitError, match=r"schema_version.*another version") as caught:
        read_kit(path)
    assert KIT.token not in str(caught.value)


@pytest.mark.parametrize("center", ["../x", "a/b", "", "a b", "x" * 65])
def test_a_kit_names_a_center_that_is_safe_as_a_file_name(center: str) -> None:
    with pytest.raises(ValidationError, match="no name of a center"):
        Kit.model_validate({**KIT.model_dump(), "center": center})


def test_settings_that_are_not_those_of_the_digest_are_refused() -> None:
    """The trainer holds the coordinator to the digest: what a center reads must be what it then gets."""
    other = SETTINGS.model_copy(update={"seed": 1})
    with pytest.raises(ValidationError, match=f"agreed to are {agreed_digest(SETTINGS, PLAN)[:12]}"):
        StudyAgreement.model_validate({**dict(AGREEMENT), "settings": other})


def test_a_kit_says_what_the_table_of_a_center_must_hold(write: Write) -> None:
    labels = Labels(classes=Classes(column="metastasis"))
    settings = SETTINGS.model_copy(update={"tasks": ("classification",), "labels": labels})
    changes = {"settings": settings, "agreed_sha256": agreed_digest(settings, PLAN), "rows": {"center": ("a", "b")}}
    kit, _ = read_kit(write(KIT.model_copy(update={"agreement": AGREEMENT.model_copy(update=changes)})))
    assert (kit.agreement.settings, kit.agreement.rows) == (settings, {"center": ("a", "b")})


@pytest.mark.parametrize("whose", ["authority", "signer"])
def test_a_certificate_of_a_version_that_does_not_exist_is_damage(kit_file: Path, whose: str):
    """Its version, 3, is written as 2; cryptography's error about 9 is no ValueError."""
    document = json.loads(kit_file.read_text())
    der = load_pem_x509_certificate(document[whose].encode()).public_bytes(Encoding.DER)
    changed = base64.encodebytes(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09", 1)).decode()
    document[whose] = f"-----BEGIN CERTIFICATE-----\n{changed}-----END CERTIFICATE-----\n"
    kit_file.write_text(json.dumps(document))
    with pytest.raises(KitError, match="not signed by the authority in it"):
        read_kit(kit_file)
