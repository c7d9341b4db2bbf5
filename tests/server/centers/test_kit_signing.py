"""The server's key signs kits: what it signs a center reads, and what is refused before anything is signed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.enrolment.kit import authority_fingerprint, read_kit
from protocol.errors import EnrolmentError, LaunchError
from server.centers.federation_init import renew_certificate
from server.centers.kit_signing import open_kit_signer
from server.study.directory import StudyDirectory
from server.tls.authority import (
    fingerprint_of,
    provide_authority,
    provide_server_certificate,
    read_certificate,
)
from tests.support.coordinator_stand_in import kit

NOW = datetime.now(UTC)


def test_a_signed_kit_carries_the_authority_and_not_its_key(directory: StudyDirectory, tmp_path: Path) -> None:
    invitation = kit("fed.example.org:443")
    open_kit_signer(directory, NOW).sign(tmp_path / "a.kit", invitation)
    found, authority = read_kit(tmp_path / "a.kit")
    assert found == invitation
    assert authority_fingerprint(authority) == fingerprint_of(read_certificate(directory.authority_certificate))


def test_a_kit_is_readable_after_the_servers_key_and_certificate_were_replaced(
    directory: StudyDirectory, tmp_path: Path
) -> None:
    invitation = kit("fed.example.org:443")
    before = open_kit_signer(directory, NOW)
    before.sign(tmp_path / "a.kit", invitation)
    directory.server_key.unlink()
    renew_certificate(directory)
    assert open_kit_signer(directory, NOW).key.public_key() != before.key.public_key()
    assert read_kit(tmp_path / "a.kit")[0] == invitation


def test_an_expired_certificate_signs_nothing(directory: StudyDirectory) -> None:
    with pytest.raises(LaunchError, match=r"expired on .*concilium certificate"):
        open_kit_signer(directory, read_certificate(directory.server_certificate).not_valid_after_utc)


def test_a_key_that_is_not_the_certificates_signs_nothing(directory: StudyDirectory, tmp_path: Path) -> None:
    other = provide_authority(tmp_path / "other", "Test consortium", now=NOW)
    provide_server_certificate(
        other, "x", key_file=tmp_path / "x.key", certificate_file=tmp_path / "x.crt", now=NOW - timedelta(days=1)
    )
    directory.server_key.write_bytes((tmp_path / "x.key").read_bytes())
    with pytest.raises(EnrolmentError, match=r"server.key is not the key of .*server.crt; run .*--renew"):
        open_kit_signer(directory, NOW)


def test_a_certificate_of_another_authority_signs_nothing(directory: StudyDirectory, tmp_path: Path) -> None:
    other = provide_authority(tmp_path / "other", "Test consortium", now=NOW)
    provide_server_certificate(
        other, "x", key_file=directory.server_key, certificate_file=directory.server_certificate, now=NOW
    )
    with pytest.raises(EnrolmentError, match=r"was not issued by .*ca.crt, which the kits carry"):
        open_kit_signer(directory, NOW)
