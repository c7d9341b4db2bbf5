"""What signs the kits: the server's key, whose certificate the authority issued; the authority's own key stays away."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.enrolment.kit import Kit, write_kit
from protocol.errors import EnrolmentError
from server.centers.federation_init import refuse_expired
from server.study.directory import StudyDirectory
from server.tls.authority import read_certificate, read_key


@dataclass(frozen=True)
class KitSigner:
    """The server's key and certificate, and the certificate of the authority that issued it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    authority: x509.Certificate

    @property
    def valid_until(self) -> datetime:
        """When the server's certificate ends, and with it every kit that it signs."""
        return self.certificate.not_valid_after_utc

    def sign(self, path: Path, kit: Kit) -> None:
        """Write a kit, signed.

        Raises:
            StorageError: the disk refuses.
        """
        authority, certificate = (found.public_bytes(Encoding.PEM) for found in (self.authority, self.certificate))
        write_kit(path, kit, authority, certificate, self.key)


def open_kit_signer(directory: StudyDirectory, now: datetime) -> KitSigner:
    """The server's key and certificate, fit to sign a kit at `now` (aware).

    Raises:
        EnrolmentError: key or certificate cannot be read, do not belong together, or the authority in the directory
            did not issue the certificate.
        LaunchError: the certificate has expired.
    """
    refuse_expired(directory, now)
    certificate, authority = (
        read_certificate(path) for path in (directory.server_certificate, directory.authority_certificate)
    )
    key = read_key(directory.server_key)
    renew = f"run `concilium certificate --study {directory.root} --renew`, then restart `concilium serve`"
    if key.public_key() != certificate.public_key():
        raise EnrolmentError(f"{directory.server_key} is not the key of {directory.server_certificate}; {renew}")
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError) as error:
        raise EnrolmentError(
            f"{directory.server_certificate} was not issued by {directory.authority_certificate}, which the kits "
            f"carry; {renew}"
        ) from error
    return KitSigner(key, certificate, authority)
