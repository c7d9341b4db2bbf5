"""Which SuperLink is trusted: one that the authority has certified, or, of those, the one that holds a study's key.

Studies that share an authority have SuperLinks that any of them would trust. Which one it is shows in the key: it stays
when a certificate is renewed, so that a SuperLink that still shows the one before counts as well. The key is looked at
in the handshake of every connection, before anything is asked.
"""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.errors import LaunchError
from server.superlink.control_causes import LinkAwayError
from server.tls.authority import read_certificate


def trust(ca: Path) -> ssl.SSLContext:
    """Trust in one authority and no other.

    Raises:
        LaunchError: its certificate cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise LaunchError(
            f"the authority's certificate {ca} cannot be read ({error.strerror or error}); make the consortium's "
            "directory with `concilium study init`, or restore it from the backup"
        ) from error


def trust_in_server(ca: Path, certificate: Path, address: str) -> ssl.SSLContext:
    """Trust in the one server, certified by `ca`, that holds the key of `certificate`; `address` is for the message.

    Raises:
        LaunchError: the authority's certificate cannot be read.
        EnrolmentError: the server's cannot.
    """
    expected = read_certificate(certificate)

    class KeyCheckedSocket(ssl.SSLSocket):
        """Ends a handshake with any other server."""

        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of ssl
            super().do_handshake(block)
            shown = x509.load_der_x509_certificate(self.getpeercert(binary_form=True) or b"")
            if _key(shown) != _key(expected):
                self.close()
                raise LinkAwayError(_explain_other(address, shown, certificate, expected))

    context = trust(ca)
    context.sslsocket_class = KeyCheckedSocket
    return context


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _explain_other(address: str, shown: x509.Certificate, certificate: Path, expected: x509.Certificate) -> str:
    return (
        f"the SuperLink at {address} is not this study's: it shows certificate {_describe(shown)}, expected the key of "
        f"{certificate}, {_describe(expected)}. Nothing was asked of it. Where this study's server.key was replaced, "
        "restart its SuperLink; otherwise see which program listens there"
    )


def _describe(certificate: x509.Certificate) -> str:
    return f"{certificate.subject.rfc4514_string()} of serial number {certificate.serial_number:x}"
