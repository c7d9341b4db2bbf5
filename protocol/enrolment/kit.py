"""The onboarding kit, `CENTER.kit`: one signed JSON file for the eyes of one center.

    readme      what to do, in ten lines
    kit         where the coordinator is, what the study needs, a one-time token, an expiry
    authority   the certificate (PEM) of the consortium's authority
    signer      the server's certificate (PEM), which that authority issued
    signature   of the server's key over the canonical JSON of the other four: ECDSA with SHA-384, DER, as hex

The authority's own key is not needed and can stay offline. The signature shows damage and any change by somebody
without the server's key. Whoever makes an authority of their own can sign a kit of their own: against that the center
compares the authority's fingerprint with the coordinator by telephone.

A center reads its kit again long after it has joined, so the signer's certificate need not be valid at that moment. It
must cover the kit's dates, `issued_at` and `expires_at`: with a server's key that was stolen nobody makes a kit that
outlives the certificate, not even one with an earlier date.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import AwareDatetime, Field, NonNegativeInt, ValidationError, model_validator

from protocol.enrolment.endpoint import Endpoint
from protocol.enrolment.plan import StudyPlan, check_digest
from protocol.errors import KitError
from protocol.messages.base import Settings
from protocol.messages.settings import StudySettings, findings
from protocol.modalities import Modality
from protocol.names import CenterName
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_regular

RUN_OPTIONS = ("study-directory",)
"""What a run may be told."""
BUNDLE_FILES = frozenset({"pyproject.toml", ".info/CONTENT"})
"""All that a Flower bundle holds: it names two installed apps and carries no code."""
KIT_BYTES = 1 << 20
KEYS = ("readme", "kit", "authority", "signer", "signature")
UNREADABLE_CERTIFICATE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)
"""All that a damaged certificate raises: cryptography's own errors have no common base."""
README = """\
This is the onboarding kit of center '{center}' for the study '{study}' of {consortium}.
It holds a one-time token: keep it to yourself, pass it on encrypted, delete it once you are enrolled.
It can be used until {expires_at:%Y-%m-%d %H:%M} UTC.

1. Run:      concilium-center join {center}.kit --data DIR --home HOME
   It checks this machine, makes a key that never leaves it, and writes HOME/{center}.answer.
2. Send {center}.answer to the coordinator; it holds a public key and a proof, no secret.
3. When the coordinator has accepted it, run the command of step 1 again: the center joins.

The coordinator is reached at {endpoint}; the center opens no port. 'kit' says what the study needs.
"""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StudyAgreement(Settings):
    """What a center agrees to when it joins: the study, the code, and what they need of it.

    settings: those that will come with every instruction. plan: all that the center may be asked. agreed_sha256: the
    `agreed_digest` of both, which the trainer holds the coordinator to. modalities: what the study expects of this
    center. rows: column -> value, or one of several, of the rows that are this center's in a table of labels that
    several share. flower: major.minor.
    concilium: the coordinator's version. bundle_sha256: the one Flower bundle that may run. run_options: the run
    options that may be set from outside. image: reference of the client image. backbone_sha256: content hash of the
    backbone that goes as a file of its own; empty where none does. disk_bytes, gpu_memory_bytes: estimates (the
    coordinator's); a GPU of 0 bytes means that a CPU suffices. bytes_down_per_round, bytes_up_per_round: the largest
    of all stages.
    """

    study: str
    title: str
    settings: StudySettings
    plan: StudyPlan
    agreed_sha256: Sha256
    model: str
    modalities: tuple[Modality, ...]
    rows: dict[str, str | tuple[str, ...]] = {}
    flower: str
    concilium: str
    bundle_sha256: Sha256
    run_options: tuple[str, ...] = RUN_OPTIONS
    image: str
    backbone_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    backbone_bytes: NonNegativeInt = 0
    disk_bytes: NonNegativeInt
    gpu_memory_bytes: NonNegativeInt = 0
    minimum_cases: NonNegativeInt
    bytes_down_per_round: NonNegativeInt
    bytes_up_per_round: NonNegativeInt

    @model_validator(mode="after")
    def _agreed_has_its_digest(self) -> Self:
        check_digest(self.settings, self.plan, self.agreed_sha256)
        return self


class Kit(Settings):
    """One center's invitation; `token` is the secret in it and appears in no repr."""

    schema_version: Literal[4] = 4
    consortium: str
    center: CenterName
    endpoint: Endpoint
    serial: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    token: Annotated[str, Field(min_length=32, repr=False)]
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    agreement: StudyAgreement

    def is_expired(self, now: datetime) -> bool:
        """Whether the kit can no longer be used at `now` (aware)."""
        return now >= self.expires_at


def write_kit(path: Path, kit: Kit, authority_pem: bytes, signer_pem: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a kit, signed, that only its owner can read (mode 0600); the same kit gives the same bytes.

    Args:
        path: the file.
        kit: its content.
        authority_pem: certificate of the authority.
        signer_pem: certificate of the server, issued by that authority.
        key: the server's.

    Raises:
        StorageError: the disk refuses.
    """
    readme = README.format(
        center=kit.center,
        study=kit.agreement.study,
        consortium=kit.consortium,
        expires_at=kit.expires_at,
        endpoint=kit.endpoint,
    )
    document = {
        "readme": readme.splitlines(),
        "kit": kit.model_dump(mode="json"),
        "authority": authority_pem.decode("ascii"),
        "signer": signer_pem.decode("ascii"),
    }
    signature = key.sign(_canonical_bytes(document), ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    write_private(path, (json.dumps({**document, "signature": signature.hex()}, indent=1) + "\n").encode())


def read_kit(path: Path) -> tuple[Kit, bytes]:
    """A kit and the authority's certificate in it (PEM); whether it has expired is the caller's to judge.

    Raises:
        KitError: the file cannot be read, is too large or no kit; it was damaged or changed, or its signer was not
            issued by the authority in it, or did not sign it, or has a certificate that does not cover the kit's
            dates; its schema is one this version does not know.
    """
    document = _read_document(path)
    try:
        authority_pem = str(document["authority"]).encode()
        authority = x509.load_pem_x509_certificate(authority_pem)
        signer = x509.load_pem_x509_certificate(str(document["signer"]).encode())
        _check_issuer(signer, authority)
        _check_signature(document, signer)
    except (InvalidSignature, *UNREADABLE_CERTIFICATE) as error:
        reason = f" ({error})" if isinstance(error, InvalidSignature) and error.args else ""
        raise KitError(
            f"kit {path} is not signed by the authority in it{reason}; it was damaged or changed on its way. Ask the "
            "coordinator for it again"
        ) from error
    kit = _parse_kit(path, document["kit"])
    _check_dates(path, kit, signer)
    return kit, authority_pem


def authority_fingerprint(authority_pem: bytes) -> str:
    """SHA-256 of the authority's certificate, as hex: what center and coordinator compare by telephone."""
    return x509.load_pem_x509_certificate(authority_pem).fingerprint(hashes.SHA256()).hex()


def _read_document(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if size > KIT_BYTES:
            raise KitError(
                f"kit {path} has {size} bytes, expected at most {KIT_BYTES}; ask the coordinator for it again"
            )
        found = json.loads(read_regular(path, KIT_BYTES))
    except OSError as error:
        raise KitError(f"kit {path} cannot be read ({error.strerror}); give the file the coordinator sent") from error
    except (ValueError, RecursionError) as error:
        raise KitError(f"kit {path} is not a whole kit ({error}); ask the coordinator for it again") from error
    names = sorted(found) if isinstance(found, dict) else type(found).__name__
    if names != sorted(KEYS):
        raise KitError(f"kit {path} holds {names}, expected {sorted(KEYS)}; ask the coordinator for the kit again")
    return dict(found)


def _parse_kit(path: Path, content: Any) -> Kit:
    try:
        return Kit.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise KitError(
            f"kit {path} does not hold what this version expects ({'; '.join(findings(error))}); it was made by "
            "another version of concilium. Update the center, or ask the coordinator for a kit of its version"
        ) from error


def _check_issuer(signer: x509.Certificate, authority: x509.Certificate) -> None:
    try:
        signer.verify_directly_issued_by(authority)
    except (InvalidSignature, *UNREADABLE_CERTIFICATE) as error:
        raise InvalidSignature("signer not issued by the authority") from error


def _check_dates(path: Path, kit: Kit, signer: x509.Certificate) -> None:
    since, until = signer.not_valid_before_utc, signer.not_valid_after_utc
    if not since <= kit.issued_at <= until or kit.expires_at > until:
        raise KitError(
            f"kit {path} was issued on {kit.issued_at:%Y-%m-%d} and can be used until {kit.expires_at:%Y-%m-%d}, but "
            f"the certificate of its signer is valid from {since:%Y-%m-%d} to {until:%Y-%m-%d}; ask the coordinator "
            "for a new kit"
        )


def _check_signature(document: Mapping[str, Any], signer: x509.Certificate) -> None:
    """InvalidSignature or ValueError where the signer's key is on no elliptic curve or did not sign the document."""
    public = signer.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise InvalidSignature
    rest = {name: value for name, value in document.items() if name != "signature"}
    public.verify(bytes.fromhex(str(document["signature"])), _canonical_bytes(rest), ec.ECDSA(hashes.SHA384()))


def _canonical_bytes(document: Mapping[str, Any]) -> bytes:
    return b"concilium-kit\n" + json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
