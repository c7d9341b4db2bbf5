"""Public keys of centers: one OpenSSH line each, on a NIST curve, because Flower takes no other."""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from protocol.errors import EnrolmentError

CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def canonical_key(text: str) -> str:
    """A public key as one OpenSSH line without a comment.

    Raises:
        EnrolmentError: it is no OpenSSH public key, or not on a NIST curve.
    """
    return _load(text).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def fingerprint(key: str) -> str:
    """The fingerprint of a canonical key, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def has_signed(key: str, signature: str, message: bytes) -> bool:
    """Whether `signature` (ECDSA with SHA-384, DER, hex) of `message` is by the owner of `key`."""
    try:
        _load(key).verify(bytes.fromhex(signature), message, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True


def _load(text: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EnrolmentError(f"this is no OpenSSH public key ({error}); the center makes one with `join`") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVES):
        raise EnrolmentError(
            f"the key is of kind '{text.partition(' ')[0]}', expected an elliptic-curve key on a NIST curve such as "
            "ecdsa-sha2-nistp384; let the center make one with `concilium-center join`"
        )
    return key
