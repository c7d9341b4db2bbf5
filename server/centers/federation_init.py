"""What makes a prepared study one that centers can join: the coordinator's settings, authority, certificate, secret.

Doing it again with the same answers changes nothing; above all, the authority is made once.
"""

import secrets
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from protocol.errors import LaunchError, StudyError
from protocol.storage.atomic_files import provide_private, write_bytes
from server.study.coordinator_settings import CoordinatorSettings, read_coordinator, write_coordinator
from server.study.directory import StudyDirectory
from server.tls.authority import (
    Authority,
    open_authority,
    provide_authority,
    provide_server_certificate,
    read_certificate,
    utc_now,
)


def init_federation(directory: StudyDirectory, coordinator: CoordinatorSettings) -> None:
    """Write what is missing of settings, authority, server certificate and the secret of SuperLink and SuperExec.

    Raises:
        StudyError: the directory has other settings already.
        EnrolmentError: an authority or a certificate cannot be read.
        StorageError: the disk refuses.
    """
    if directory.coordinator.exists():
        _refuse_other_settings(directory.coordinator, coordinator)
    authority = provide_authority(authority_folder(directory, coordinator), coordinator.consortium, now=utc_now())
    if coordinator.authority:
        _copy_certificate(authority, directory)
    if not directory.server_certificate.exists():
        provide_server_certificate(
            authority,
            coordinator.host,
            key_file=directory.server_key,
            certificate_file=directory.server_certificate,
            now=utc_now(),
        )
    provide_link_secret(directory.link_secret)
    for folder in directory.hidden_from_runs:
        folder.mkdir(mode=0o700, exist_ok=True)
    if not directory.coordinator.exists():
        write_coordinator(directory.coordinator, coordinator)


def provide_link_secret(path: Path) -> None:
    """Make what SuperLink and SuperExec know each other by, where there is none yet; nobody else can read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    provide_private(path, secrets.token_bytes(32))


def refuse_expired(directory: StudyDirectory, now: datetime) -> None:
    """Refuse a server's certificate that no center would trust any more; `now` is aware.

    Raises:
        EnrolmentError: it cannot be read.
        LaunchError: it has expired.
    """
    expires_at = read_certificate(directory.server_certificate).not_valid_after_utc
    if expires_at <= now:
        raise LaunchError(
            f"the server's certificate {directory.server_certificate} expired on {expires_at:%Y-%m-%d}, and no center "
            f"would trust it; run `concilium certificate --study {directory.root} --renew`, then start `serve` again"
        )


def renew_certificate(directory: StudyDirectory) -> None:
    """Sign a new certificate for the server's key and the endpoint of coordinator.toml, by the same authority.

    Raises:
        StudyError: this is no coordinator's directory.
        EnrolmentError: the authority is another than the one in the kits, or cannot be read.
    """
    coordinator = read_coordinator(directory.coordinator)
    provide_server_certificate(
        open_own_authority(directory, coordinator),
        coordinator.host,
        key_file=directory.server_key,
        certificate_file=directory.server_certificate,
        now=utc_now(),
    )


def open_own_authority(directory: StudyDirectory, coordinator: CoordinatorSettings) -> Authority:
    """The authority whose certificate the kits carry, with its key.

    Raises:
        StudyError: coordinator.toml names another one.
        EnrolmentError: it cannot be read.
    """
    authority = open_authority(authority_folder(directory, coordinator))
    _refuse_other_authority(authority, directory)
    return authority


def authority_folder(directory: StudyDirectory, coordinator: CoordinatorSettings) -> Path:
    """Where the authority's key is."""
    return Path(coordinator.authority) if coordinator.authority else directory.authority


def _copy_certificate(authority: Authority, directory: StudyDirectory) -> None:
    """A shared authority's certificate, in the place where everything that only trusts it looks."""
    if not directory.authority_certificate.exists():
        directory.authority.mkdir(exist_ok=True, mode=0o700)
        write_bytes(directory.authority_certificate, authority.certificate.public_bytes(Encoding.PEM))
    _refuse_other_authority(authority, directory)


def _refuse_other_authority(authority: Authority, directory: StudyDirectory) -> None:
    if authority.certificate != read_certificate(directory.authority_certificate):
        raise StudyError(
            f"the certificate authority that coordinator.toml names is not {directory.authority_certificate}, which "
            "the kits carry; restore its folder, or correct `authority` in coordinator.toml"
        )


def _refuse_other_settings(path: Path, wanted: CoordinatorSettings) -> None:
    before = read_coordinator(path).model_dump()
    other = [
        f"{name} is {before[name]!r} there, {value!r} was asked"
        for name, value in wanted.model_dump().items()
        if before[name] != value
    ]
    if other:
        raise StudyError(
            f"{path} has other settings ({'; '.join(other)}); leave the options out to keep them. To change them, edit "
            "the file, then run `concilium certificate --renew`; centers need new kits where the endpoint changes"
        )
