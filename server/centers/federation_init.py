"""What makes a prepared study one that centers can join: the coordinator's settings, authority, certificate, secret.

Doing it again with the same answers changes nothing; above all, the authority is made once.
"""

import secrets
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from protocol.errors import LaunchError, StudyError
from protocol.storage.atomic_files import make_private_folder, provide_private
from server.study.coordinator_settings import CoordinatorSettings, read_coordinator, write_coordinator
from server.study.directory import StudyDirectory
from server.superlink.doors import Doors
from server.tls.authority import (
    CERTIFICATE_FILE,
    KEY_FILE,
    AskPassphrase,
    Authority,
    encrypt_authority,
    is_open_key,
    open_authority,
    provide_authority,
    provide_server_certificate,
    read_certificate,
    refuse_encrypted,
    utc_now,
    write_public,
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
    _provide_certificates(directory, coordinator)
    provide_link_secret(directory.link_secret)
    for folder in (*directory.hidden_from_runs, *(path.parent for path in Doors(directory.root).by_name().values())):
        make_private_folder(folder)
    if not directory.coordinator.exists():
        write_coordinator(directory.coordinator, coordinator)


def _provide_certificates(directory: StudyDirectory, coordinator: CoordinatorSettings) -> None:
    """Authority and server's certificate, where they are missing; once both are there, no key of the authority's is."""
    folder, known = authority_folder(directory, coordinator), directory.authority_certificate
    if known.exists() and directory.server_certificate.exists():
        if (folder / CERTIFICATE_FILE).exists():
            _refuse_other_authority(read_certificate(folder / CERTIFICATE_FILE), directory)
        return
    if known.exists():
        authority = open_own_authority(directory, coordinator)
    else:
        authority = provide_authority(folder, coordinator.consortium, now=utc_now())
        _copy_certificate(authority, directory)
    provide_server_certificate(
        authority,
        coordinator.host,
        key_file=directory.server_key,
        certificate_file=directory.server_certificate,
        now=utc_now(),
    )


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


def explain_exposed_authority(directory: StudyDirectory, coordinator: CoordinatorSettings) -> str:
    """What to do where this account, which serves, can use the authority's key; empty where it cannot."""
    folder = authority_folder(directory, coordinator)
    if not is_open_key(folder / KEY_FILE):
        return ""
    return (
        f"the authority's key {folder / KEY_FILE} can be used by the account that serves: whoever takes over a program "
        "here could play the coordinator to every center for years. It is needed once a year, to renew the "
        f"certificate. Take folder {folder} away until then (to another account, another machine, a safe), or give "
        f"the key a passphrase: `concilium certificate --study {directory.root} --encrypt-authority`"
    )


def encrypt_own_authority(directory: StudyDirectory, passphrase: bytes) -> Path:
    """Give the authority's key a passphrase; gives its file.

    Raises:
        StudyError: this is no coordinator's directory.
        EnrolmentError: the key cannot be read, or has a passphrase already.
        StorageError: the disk refuses.
    """
    folder = authority_folder(directory, read_coordinator(directory.coordinator))
    encrypt_authority(folder, passphrase)
    return folder / KEY_FILE


def renew_certificate(directory: StudyDirectory, ask: AskPassphrase = refuse_encrypted) -> None:
    """Sign a new certificate for the server's key and the endpoint of coordinator.toml, by the same authority.

    Args:
        directory: the coordinator's.
        ask: gives the passphrase of the authority's key, where it has one.

    Raises:
        StudyError: this is no coordinator's directory.
        EnrolmentError: the authority is another than the one in the kits, or cannot be read.
    """
    coordinator = read_coordinator(directory.coordinator)
    provide_server_certificate(
        open_own_authority(directory, coordinator, ask),
        coordinator.host,
        key_file=directory.server_key,
        certificate_file=directory.server_certificate,
        now=utc_now(),
    )


def open_own_authority(
    directory: StudyDirectory, coordinator: CoordinatorSettings, ask: AskPassphrase = refuse_encrypted
) -> Authority:
    """The authority whose certificate the kits carry, with its key.

    Raises:
        StudyError: coordinator.toml names another one.
        EnrolmentError: it cannot be read.
    """
    authority = open_authority(authority_folder(directory, coordinator), ask)
    _refuse_other_authority(authority.certificate, directory)
    return authority


def authority_folder(directory: StudyDirectory, coordinator: CoordinatorSettings) -> Path:
    """Where the authority's key is."""
    return Path(coordinator.authority) if coordinator.authority else directory.authority


def _copy_certificate(authority: Authority, directory: StudyDirectory) -> None:
    """The authority's certificate, in the place where everything that only trusts it looks."""
    if not directory.authority_certificate.exists():
        directory.authority.mkdir(exist_ok=True, mode=0o700)
        write_public(directory.authority_certificate, authority.certificate.public_bytes(Encoding.PEM))


def _refuse_other_authority(found: Certificate, directory: StudyDirectory) -> None:
    if found != read_certificate(directory.authority_certificate):
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
