"""Public keys of centers."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.enrolment.public_keys import canonical_key, fingerprint, has_signed
from protocol.errors import EnrolmentError
from tests.support.enrolled_study import new_key, openssh


def test_a_key_that_flower_does_not_take_is_refused() -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    with pytest.raises(EnrolmentError, match="of kind 'ssh-ed25519', expected an elliptic-curve key on a NIST curve"):
        canonical_key(other)


def test_a_canonical_key_has_no_comment() -> None:
    key = openssh(new_key())
    assert canonical_key(f"{key} somebody@somewhere\n") == key


def test_the_fingerprint_is_the_hash_of_the_keys_bytes() -> None:
    """Base64 of SHA-256 of "abc", without its padding."""
    assert fingerprint("kind YWJj comment") == "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0"


def test_a_signature_is_of_one_message_and_one_key() -> None:
    key, other = new_key(), new_key()
    signature = key.sign(b"message", ec.ECDSA(hashes.SHA384())).hex()
    assert has_signed(openssh(key), signature, b"message")
    assert not has_signed(openssh(key), signature, b"massage")
    assert not has_signed(openssh(other), signature, b"message")


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(EnrolmentError, match="no OpenSSH public key"):
        canonical_key("nothing")
