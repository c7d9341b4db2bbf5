"""The center's key: made here, never sent, mode 0600 from the first moment; and the answers signed with it."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from client.home.center_home import CenterHome, HomeError
from protocol.enrolment.answer import RENEWAL, EnrolmentAnswer, answer_bytes, token_proof
from protocol.storage.atomic_files import write_private, write_private_text


def provide_node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key at `path` (NIST P-384, OpenSSH), drawn when there is none yet; `path`.pub holds the public one.

    Raises:
        HomeError: what lies there is no such key.
        StorageError: the disk refuses.
    """
    if not path.exists():
        private = ec.generate_private_key(ec.SECP384R1())
        write_private(path, private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key = read_node_key(path)
    write_private_text(path.with_name(path.name + ".pub"), public_line(key) + "\n")
    return key


def read_node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key at `path`.

    Raises:
        HomeError: no such file, not readable, or no elliptic-curve key without a passphrase.
    """
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except OSError as error:
        raise HomeError(f"the center's key {path} cannot be read ({error.strerror}); join first") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise HomeError(
            f"{path} is no OpenSSH key without a passphrase; restore it from a backup, or move it away and join with a "
            "new kit"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise HomeError(f"{path} is no elliptic-curve key, which Flower asks for; move it away and join with a new kit")
    return key


def public_line(key: ec.EllipticCurvePrivateKey) -> str:
    """The public key as one OpenSSH line."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def first_answer(
    *, center: str, study: str, serial: str, token: str, key: ec.EllipticCurvePrivateKey
) -> EnrolmentAnswer:
    """The answer to a kit: the public key, proven with the kit's token."""
    line = public_line(key)
    message = answer_bytes(center=center, study=study, serial=serial, public_key=line)
    return EnrolmentAnswer(
        center=center, study=study, serial=serial, public_key=line, proof=token_proof(token, message)
    )


def renewal_answer(
    *, center: str, study: str, current: ec.EllipticCurvePrivateKey, following: ec.EllipticCurvePrivateKey
) -> EnrolmentAnswer:
    """The answer that replaces a key: the new public key, signed by the one in use."""
    line = public_line(following)
    message = answer_bytes(center=center, study=study, serial=RENEWAL, public_key=line)
    proof = current.sign(message, ec.ECDSA(hashes.SHA384())).hex()
    return EnrolmentAnswer(center=center, study=study, serial=RENEWAL, public_key=line, proof=proof)


def adopt_next_key(home: CenterHome) -> None:
    """Put the renewed key in the old one's place, in one rename; the old one is gone afterwards."""
    key = read_node_key(home.next_key)
    home.next_key.replace(home.key)
    write_private_text(home.key.with_name("key.pub"), public_line(key) + "\n")
    for left in (home.next_key.with_name("key.next.pub"), home.node_id):
        left.unlink(missing_ok=True)
