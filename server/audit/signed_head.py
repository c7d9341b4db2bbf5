"""A head of the audit log, signed with the authority's key: nothing before it can change any more unnoticed.

The key lies away from what serves, so that no program signs each event; a person does, now and then (`concilium audit
sign`, `study init`, `certificate --renew`, `withdraw`). What stands after the last signed head is chained alone.

    statement    JSON of study, lines covered, state of the chain after them, and the time
    signature    ECDSA P-384 with SHA-384 over `CONTEXT` and the statement, hex

The signature is an event of the log itself, whose `chain` is the state that it signs, and a file beside the authority's
key, where who may write ROOT does not reach it: with that a log that was cut is found (`concilium audit verify`).
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from protocol.errors import AuditError
from protocol.messages.base import Settings
from protocol.messages.settings import findings
from protocol.storage.atomic_files import write_private
from protocol.storage.chain import Head
from protocol.storage.chain_check import check_chain
from protocol.storage.sealed_json import seal, unseal
from server.study.audit_log import AuditLog
from server.tls.authority import Authority, fingerprint_of

CONTEXT = b"concilium: head of an audit log\n"
EVENT = "signed"


class SignedHead(Settings):
    """What the authority signed: so many lines of a study's log lead to this state; `authority` is its fingerprint."""

    study: str
    lines: int
    head: str
    signed_at: str
    authority: str
    signature: str = ""

    @property
    def statement(self) -> bytes:
        """The bytes that are signed."""
        return CONTEXT + json.dumps(self.model_dump(exclude={"signature"}), sort_keys=True).encode()


def sign_head(log: AuditLog, study: str, authority: Authority, *, now: datetime) -> SignedHead:
    """Sign the log as far as it goes, and say so in it.

    Raises:
        AuditError: the log is empty, a link, or does not stand as it was written.
        StorageError: it cannot be written.
    """
    if log.path.is_symlink():
        raise AuditError(
            f"{log.path} is a link, and whoever put it there chose where a line goes; put the log in its place"
        )
    if broken := check_chain(log.path).broken:
        raise AuditError(f"{log.path} is not signed: line {broken.line} does not stand as written, {broken.found}")
    made: list[SignedHead] = []

    def sign(end: Head) -> Mapping[str, Any]:
        if not end.lines:
            raise AuditError(f"{log.path} has no event yet; there is nothing to sign")
        unsigned = SignedHead(
            study=study,
            lines=end.lines,
            head=end.chain,
            signed_at=now.isoformat(timespec="seconds"),
            authority=fingerprint_of(authority.certificate),
        )
        signature = authority.key.sign(unsigned.statement, ec.ECDSA(hashes.SHA384())).hex()
        made.append(unsigned.model_copy(update={"signature": signature}))
        return made[0].model_dump()

    log.record_made(EVENT, sign)
    return made[0]


def check_signature(signed: SignedHead, certificate: x509.Certificate) -> str:
    """What is wrong with a signature under the authority's certificate; "" where nothing is."""
    key = certificate.public_key()
    if signed.authority != fingerprint_of(certificate):
        return f"it is by authority {signed.authority[:16]}, not by {fingerprint_of(certificate)[:16]}"
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return "the authority's key is no elliptic-curve key"
    try:
        key.verify(bytes.fromhex(signed.signature), signed.statement, ec.ECDSA(hashes.SHA384()))
    except (InvalidSignature, ValueError):
        return "the signature is not the authority's"
    return ""


def head_of_event(facts: Mapping[str, Any]) -> SignedHead | None:
    """The signed head that an event of the log holds; None where it cannot be one."""
    try:
        return SignedHead.model_validate(dict(facts))
    except ValidationError:
        return None


def copy_path(authority: Path, log: Path) -> Path:
    """Where a log's last signed head is kept beside the authority's key; named by the log's first line."""
    return authority / f"audit-{check_chain(log).states[1][:16]}.json"


def write_signed_head(path: Path, signed: SignedHead) -> None:
    """Keep a signed head as a file.

    Raises:
        StorageError: the disk refuses.
    """
    write_private(path, seal(signed.model_dump()))


def read_signed_head(path: Path) -> SignedHead:
    """The signed head that `write_signed_head` wrote.

    Raises:
        AuditError: it cannot be read, or is damaged.
    """
    try:
        return SignedHead.model_validate(unseal(path.read_bytes()))
    except ValidationError as error:
        found = "; ".join(findings(error))
        raise AuditError(f"signed head {path} is damaged ({found}); take another copy of it") from error
    except (OSError, ValueError, TypeError) as error:
        raise AuditError(f"signed head {path} cannot be read ({error}); take another copy of it") from error
