"""The certificate of a withdrawal: what was removed, what was rebuilt, from what, and what nobody can promise.

ROOT/withdrawals/CENTER.json    the statement, sealed, and the authority's signature where there is an authority
ROOT/withdrawals/CENTER.html    the same for people
"""

import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from protocol.errors import WithdrawalError
from protocol.messages.base import Settings
from protocol.storage.atomic_files import write_private, write_private_text
from protocol.storage.sealed_json import seal, unseal
from reporting.pages import open_templates
from server.tls.authority import Authority

CONTEXT = b"concilium: certificate of withdrawal\n"
NOT_PROMISED = (
    "Copies that left the bank before: exports, adapters that were given away, backups, and what was done with them.",
    "MLflow: what is marked is not deleted. Curves, versions and files stay until its administrator removes them.",
    "What is at the center itself: its home, its log of what left, its own copies.",
    "Figures that were reported: result.json, report and matrices tell what was scored then, the center's among them.",
    "Decisions that the gate took with its voice: they are taken again in a replay alone.",
    "What it trained alone for comparison, in the study's folder alone/: withdraw it there too.",
)

PRIVATE_REPLAY = (
    "The study has [privacy], and the other centers' patients have spent what the rounds up to now cost: their ledgers "
    "keep them. Stages that are trained again are spent on top, so that a center needs far more noise than the first "
    "time, or sits out (privacy-noise, privacy-spent). `concilium simulate` gives its centers new homes, whose ledgers "
    "know nothing of these rounds: it trains as if there had been no first time, and tells the epsilon of the replay "
    "alone."
)
"""What a replay of a private study costs those who stay."""


class Version(Settings):
    """A version of the bank, by reference, content hash, stage and round."""

    reference: str
    sha256: str
    stage: str
    server_round: int


class Statement(Settings):
    """What a certificate says.

    first_stage: the first that used an update or an observation of the center, "" where none did. rounds: those that
    used an update. removed: its own versions, and those of the shared adapter that it entered, whose tensors are gone.
    in_use: the shared adapter's version from now on, which it never entered; "" where there is none. replay: the
    directory in which the later stages are trained again, "" where none is needed or possible; replay_reason: why, or
    what it costs those who stay. influenced:
    other centers' versions that were trained from a shared state that it entered, and that stay. removed_backbones:
    content hashes of backbones that it helped to train and that are gone. influenced_backbones: of those that stay,
    since influenced versions stand on them. tracking: what became of MLflow, in words. marked: the runs and registered
    versions that are marked there as withdrawn.
    """

    study: str
    center: str
    issued_at: str
    revoked: str
    first_stage: str
    rounds: tuple[int, ...]
    removed: tuple[Version, ...]
    in_use: str
    in_use_sha256: str
    replay: str
    replayed_stages: tuple[str, ...]
    replay_reason: str
    influenced: tuple[Version, ...]
    tracking: str
    marked: tuple[str, ...]
    not_promised: tuple[str, ...]
    removed_backbones: tuple[str, ...] = ()
    influenced_backbones: tuple[str, ...] = ()

    @property
    def signed_bytes(self) -> bytes:
        """The bytes that the authority signs; of a certificate from before backbones were named, without them."""
        told = self.model_dump(mode="json")
        fields = {name: value for name, value in told.items() if value or not name.endswith("_backbones")}
        return CONTEXT + json.dumps(fields, sort_keys=True).encode()


class Certificate(Settings):
    """A statement, and who vouches for it: the authority's signature and certificate (PEM), or nobody."""

    statement: Statement
    signature: str = ""
    authority: str = ""


def not_promised(study: str, center: str) -> tuple[str, ...]:
    """What no withdrawal can promise, with the names of a study."""
    return tuple(text.format(study=study, center=center) for text in NOT_PROMISED)


def issue(statement: Statement, authority: Authority | None) -> Certificate:
    """A certificate, signed where there is an authority."""
    if authority is None:
        return Certificate(statement=statement)
    signature = authority.key.sign(statement.signed_bytes, ec.ECDSA(hashes.SHA384())).hex()
    pem = authority.certificate.public_bytes(Encoding.PEM).decode()
    return Certificate(statement=statement, signature=signature, authority=pem)


def certificate_bytes(certificate: Certificate) -> bytes:
    """What `write_certificate` writes for machines."""
    return seal(certificate.model_dump(mode="json"))


def write_certificate(path: Path, certificate: Certificate) -> None:
    """Write a certificate, and its page beside it.

    Raises:
        StorageError: the disk refuses.
    """
    page = open_templates("server.withdrawal").get_template("certificate.html")
    write_private_text(path.with_suffix(".html"), page.render(it=certificate.statement, signed=certificate.signature))
    write_private(path, certificate_bytes(certificate))


def read_certificate_of(path: Path) -> Certificate:
    """A certificate, whose signature holds where it has one.

    Raises:
        WithdrawalError: it cannot be read, was changed, or the signature is not that of the authority it names.
    """
    try:
        found = Certificate.model_validate(unseal(path.read_bytes()))
        if found.signature:
            _check(found)
    except (OSError, ValueError, TypeError, InvalidSignature) as error:
        raise WithdrawalError(f"certificate {path} cannot be used ({error!r}); restore it from a copy") from error
    return found


def _check(certificate: Certificate) -> None:
    key = load_pem_x509_certificate(certificate.authority.encode()).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the authority's key is no elliptic-curve key")
    key.verify(bytes.fromhex(certificate.signature), certificate.statement.signed_bytes, ec.ECDSA(hashes.SHA384()))
