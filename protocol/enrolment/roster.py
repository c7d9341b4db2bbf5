"""The roster of a study: which center has enrolled which key, under the signature of the study's authority.

Centers that sum among themselves need each other's keys from somebody they trust already: the authority, whose
certificate came with their kits and whose fingerprint they compared by telephone. The coordinator passes the roster on
and can change nothing of it.
"""

from collections.abc import Mapping
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.errors import SecureSumError
from protocol.messages.secure_sum import Roster, roster_statement


def sign_roster(
    study: str, keys: Mapping[str, str], authority: ec.EllipticCurvePrivateKey, *, issued_s: int = 0
) -> Roster:
    """A roster with its signature; `keys`: center -> OpenSSH line of its public key; issued_s: since 1970."""
    unsigned = Roster(study=study, keys=dict(sorted(keys.items())), issued=issued_s)
    signature = authority.sign(roster_statement(unsigned), ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    return replace(unsigned, signature=signature.hex())


def check_roster(roster: Roster | None, authority_pem: str, study: str) -> Roster:
    """The roster, once it is known to be the authority's and of the study.

    Raises:
        SecureSumError: there is none, it is of another study or by another authority, or this side knows none.
    """
    if not authority_pem:
        raise SecureSumError(
            "this trainer knows no authority, so that nobody's key can be checked; join again with the center's kit"
        )
    if roster is None or roster.study != study:
        found = "none" if roster is None else f"that of study '{roster.study}'"
        raise SecureSumError(f"the coordinator sent no roster of study '{study}' (found {found}); ask it for one")
    public = x509.load_pem_x509_certificate(authority_pem.encode()).public_key()
    try:
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        public.verify(bytes.fromhex(roster.signature), roster_statement(roster), ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise SecureSumError(
            f"the roster of study '{study}' is not signed by the authority of this center's kit: somebody put keys "
            "of his own into it. Nothing was done; telephone the other centers"
        ) from None
    return roster
