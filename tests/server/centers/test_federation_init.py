"""What makes a prepared study one that centers can join, made once."""

from datetime import timedelta
from pathlib import Path

import pytest

from protocol.errors import EnrolmentError, LaunchError, StudyError
from server.centers.federation_init import (
    encrypt_own_authority,
    explain_exposed_authority,
    init_federation,
    open_own_authority,
    provide_link_secret,
    refuse_expired,
    renew_certificate,
)
from server.study.directory import StudyDirectory
from server.superlink.doors import Doors
from server.tls.authority import provide_authority, read_certificate, utc_now
from tests.support.enrolled_study import COORDINATOR


def contents(directory: StudyDirectory) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()}


def test_doing_it_again_changes_no_byte(directory: StudyDirectory) -> None:
    before = contents(directory)
    init_federation(directory, COORDINATOR)
    assert contents(directory) == before


def test_other_settings_are_refused_by_name(directory: StudyDirectory) -> None:
    other = COORDINATOR.model_copy(update={"image": "client:2"})
    with pytest.raises(StudyError, match=r"other settings \(image is 'client:1' there, 'client:2' was asked\)"):
        init_federation(directory, other)


def test_the_secret_is_drawn_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "link" / "secret"
    provide_link_secret(path)
    first = path.read_bytes()
    provide_link_secret(path)
    assert (len(first), path.read_bytes() == first, path.stat().st_mode & 0o777) == (32, True, 0o600)


def test_a_certificate_is_good_until_the_moment_it_expires(directory: StudyDirectory) -> None:
    end = read_certificate(directory.server_certificate).not_valid_after_utc
    refuse_expired(directory, end - timedelta(seconds=1))
    with pytest.raises(LaunchError, match="no center would trust it; run `concilium certificate"):
        refuse_expired(directory, end)


def test_a_renewed_certificate_keeps_the_key(directory: StudyDirectory) -> None:
    before, key = read_certificate(directory.server_certificate), directory.server_key.read_bytes()
    renew_certificate(directory)
    after = read_certificate(directory.server_certificate)
    assert directory.server_key.read_bytes() == key
    assert (after.public_key(), after.issuer) == (before.public_key(), before.issuer)
    assert after.serial_number != before.serial_number


def test_an_authority_that_the_kits_do_not_carry_signs_nothing(directory: StudyDirectory, tmp_path: Path) -> None:
    provide_authority(tmp_path / "other", "Test consortium", now=utc_now())
    elsewhere = COORDINATOR.model_copy(update={"authority": str(tmp_path / "other")})
    with pytest.raises(StudyError, match="which the kits carry"):
        open_own_authority(directory, elsewhere)


def test_a_key_that_the_serving_account_can_use_is_told(directory: StudyDirectory) -> None:
    said = explain_exposed_authority(directory, COORDINATOR)
    assert str(directory.authority_key) in said
    assert "--encrypt-authority" in said


def test_a_key_that_is_away_or_has_a_passphrase_is_not_told(directory: StudyDirectory, tmp_path: Path) -> None:
    assert encrypt_own_authority(directory, b"p") == directory.authority_key
    assert explain_exposed_authority(directory, COORDINATOR) == ""
    directory.authority_key.rename(tmp_path / "away")
    assert explain_exposed_authority(directory, COORDINATOR) == ""


def test_an_initialised_study_needs_no_key_of_the_authority(directory: StudyDirectory) -> None:
    directory.authority_key.unlink()
    before = contents(directory)
    init_federation(directory, COORDINATOR)
    assert contents(directory) == before


def test_renewing_asks_for_the_passphrase(directory: StudyDirectory) -> None:
    encrypt_own_authority(directory, b"p")
    with pytest.raises(EnrolmentError, match="has a passphrase, and nobody was asked"):
        renew_certificate(directory)
    before = directory.server_certificate.read_bytes()
    renew_certificate(directory, lambda path: b"p" if path == directory.authority_key else b"")
    assert directory.server_certificate.read_bytes() != before


def test_a_folder_for_each_door_is_there_to_be_mounted(directory: StudyDirectory) -> None:
    folders = [path.parent for path in Doors(directory.root).by_name().values()]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
