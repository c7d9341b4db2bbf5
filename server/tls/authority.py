"""The consortium's certificate authority and the server's certificate.

The authority is made once and outlives versions, servers and studies: centers trust its certificate and nothing else,
so that the server's certificate (397 days) is renewed without a word to them. ECDSA P-384 throughout. The extensions
are those that OpenSSL's strict mode asks for: basic constraints, key usage, and both key identifiers.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import EnrolmentError
from protocol.storage.atomic_files import write_bytes, write_private
from protocol.storage.own_folders import refuse_foreign_entries, take_folder
from protocol.storage.regular_files import read_whole

AUTHORITY_DAYS, SERVER_DAYS = 3652, 397
CLOCK_SLACK = timedelta(hours=1)
COMMON_NAME_LIMIT = 64
KEY_FILE, CERTIFICATE_FILE = "ca.key", "ca.crt"
ENCRYPTED = b"BEGIN ENCRYPTED PRIVATE KEY"
READABLE = 0o644


AskPassphrase = Callable[[Path], bytes]


def refuse_encrypted(path: Path) -> bytes:
    """In place of a passphrase, where nobody can be asked for one.

    Raises:
        EnrolmentError: always.
    """
    raise EnrolmentError(f"key {path} has a passphrase, and nobody was asked for it; use `concilium certificate`")


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its key, which signs, and its certificate, which centers trust."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def sign(self, host: str, key: ec.EllipticCurvePrivateKey, *, now: datetime) -> bytes:
        """A server's certificate (PEM) for `host`, localhost and 127.0.0.1; it never outlives the authority."""
        public = key.public_key()
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        made = (
            x509.CertificateBuilder()
            .subject_name(_name("concilium server"))
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SLACK)
            .not_valid_after(min(now + timedelta(days=SERVER_DAYS), self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(_names_of(host)), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
            .sign(self.key, hashes.SHA384())
        )
        return made.public_bytes(Encoding.PEM)


def provide_authority(folder: Path, consortium: str, *, now: datetime) -> Authority:
    """The authority in `folder`, made there where there is none yet; the folder gets mode 0700.

    Raises:
        EnrolmentError: a part of an authority is there, or it cannot be read.
        StorageError: the disk refuses, the folder is a link, or another account owns it or something in it: an
            authority that somebody else put there would be his.
    """
    key_file, certificate_file = folder / KEY_FILE, folder / CERTIFICATE_FILE
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    take_folder(folder)
    refuse_foreign_entries(folder)
    if key_file.exists() or certificate_file.exists():
        return open_authority(folder)
    key = ec.generate_private_key(ec.SECP384R1())
    public, name = key.public_key(), _name(f"{consortium} certificate authority")
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA384())
    )
    write_private(key_file, _pem(key))
    write_public(certificate_file, certificate.public_bytes(Encoding.PEM))
    return Authority(key, certificate)


def open_authority(folder: Path, ask: AskPassphrase = refuse_encrypted) -> Authority:
    """The authority in `folder`; `ask` gives the passphrase of its key, where it has one.

    Raises:
        EnrolmentError: a file is missing or cannot be read, or key and certificate do not belong together.
    """
    certificate = read_certificate(folder / CERTIFICATE_FILE)
    key = read_key(folder / KEY_FILE, ask)
    if key.public_key() != certificate.public_key():
        raise EnrolmentError(
            f"{folder / KEY_FILE} is not the key of {folder / CERTIFICATE_FILE}; restore both from one backup. A new "
            "authority would be unknown to every center that has a kit"
        )
    return Authority(key, certificate)


def provide_server_certificate(
    authority: Authority, host: str, *, key_file: Path, certificate_file: Path, now: datetime
) -> None:
    """Sign a certificate for the server's key, which is made where there is none; both in place of what was there.

    The key stays across renewals, so that key and certificate match whenever this is broken off. To change it too,
    remove the key's file first.

    Raises:
        EnrolmentError: the key cannot be read.
        StorageError: the disk refuses.
    """
    key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if key_file.exists():
        key = read_key(key_file)
    else:
        key = ec.generate_private_key(ec.SECP384R1())
        write_private(key_file, _pem(key))
    write_public(certificate_file, authority.sign(host, key, now=now))


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate (PEM).

    Raises:
        EnrolmentError: the file is missing or holds none.
    """
    try:
        return x509.load_pem_x509_certificate(read_whole(path))
    except (OSError, ValueError) as error:
        raise EnrolmentError(f"certificate {path} cannot be read ({error}); restore it from a backup") from error


def read_key(path: Path, ask: AskPassphrase = refuse_encrypted) -> ec.EllipticCurvePrivateKey:
    """A private key (PEM); `ask` gives its passphrase, where it has one.

    Raises:
        EnrolmentError: the file is missing or holds no key of an elliptic curve, or the passphrase is another.
    """
    try:
        data = read_whole(path)
        key = load_pem_private_key(data, password=ask(path) if ENCRYPTED in data else None)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no PEM key in it, or another passphrase"
        raise EnrolmentError(f"key {path} cannot be read ({reason}); restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise EnrolmentError(f"key {path} is no elliptic-curve key; restore it from a backup")
    return key


def is_open_key(path: Path) -> bool:
    """Whether this account can use the key at `path` as it lies there, without a passphrase."""
    try:
        return ENCRYPTED not in read_whole(path)
    except OSError:
        return False


def encrypt_authority(folder: Path, passphrase: bytes) -> None:
    """Give the key of the authority in `folder` a passphrase, which nobody can recover.

    Raises:
        EnrolmentError: the key cannot be read, or has a passphrase already.
        StorageError: the disk refuses.
    """
    authority = open_authority(folder)
    sealed = authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
    write_private(folder / KEY_FILE, sealed)


def write_public(path: Path, data: bytes) -> None:
    """A certificate is for everybody who may enter its folder, whoever renewed it."""
    write_bytes(path, data)
    path.chmod(READABLE)


def names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that a server's certificate is for."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in found)


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, as hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


def _names_of(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [_general_name(host), x509.DNSName("localhost")]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    return list(dict.fromkeys(names))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:COMMON_NAME_LIMIT])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
