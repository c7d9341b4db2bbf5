"""Kits and answers as a stranger may write them: read as they are, and a kit's content signed as an authority would."""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.enrolment.answer import EnrolmentAnswer, read_answer, write_answer
from protocol.enrolment.kit import Kit, StudyAgreement, read_kit, write_kit
from protocol.enrolment.plan import StudyPlan, agreed_digest
from protocol.errors import KitError
from protocol.messages.settings import Model, StudySettings
from server.tls.authority import Authority, provide_authority

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
SETTINGS = StudySettings(study="sarcoma", seed=0, model=Model(name="pemma-unetr-tiny"))
PLAN = StudyPlan(scored=True)
ANSWER = EnrolmentAnswer(center="north", study="sarcoma", serial="0" * 32, public_key="ssh-ed25519 AAAA", proof="00ff")
SIGNED = b"\x01"


def agreement() -> StudyAgreement:
    """What the kit's center agrees to."""
    return StudyAgreement(
        study="sarcoma",
        title="Sarcoma",
        settings=SETTINGS,
        plan=PLAN,
        agreed_sha256=agreed_digest(SETTINGS, PLAN),
        model="pemma-unetr-tiny",
        modalities=("ct", "pet"),
        flower="1.41",
        concilium="0.1.0",
        bundle_sha256="b" * 64,
        image="client:1",
        disk_bytes=1,
        minimum_cases=3,
        bytes_down_per_round=5,
        bytes_up_per_round=4,
    )


class KitTarget:
    """Reads bytes as kit and as answer; after a first byte of 1, the rest as the content of a kit that is signed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name, "north.kit")
        self._key = ec.generate_private_key(ec.SECP384R1())
        authority: Authority = provide_authority(Path(self._folder.name, "authority"), "North", now=NOW)
        self._authority = authority.certificate.public_bytes(Encoding.PEM)
        self._signer = authority.sign("fed.example.org", self._key, now=NOW)
        kit = Kit(
            consortium="North",
            center="north",
            endpoint="fed.example.org:443",
            serial="0" * 32,
            token="t" * 43,
            issued_at=NOW,
            expires_at=NOW + timedelta(days=14),
            agreement=agreement(),
        )
        write_kit(self._file, kit, self._authority, self._signer, self._key)
        whole = self._file.read_bytes()
        write_answer(self._file, ANSWER)
        content = json.dumps(json.loads(whole)["kit"]).encode()
        self.seeds = (whole, self._file.read_bytes(), SIGNED + content)

    def __call__(self, data: bytes) -> None:
        """Only the documented error may come of it."""
        for read in (self._read_signed,) if data[:1] == SIGNED else (self._read_kit, self._read_answer):
            try:
                read(data)
            except KitError:
                continue

    def _read_kit(self, data: bytes) -> None:
        self._file.write_bytes(data)
        read_kit(self._file)

    def _read_answer(self, data: bytes) -> None:
        self._file.write_bytes(data)
        read_answer(self._file)

    def _read_signed(self, data: bytes) -> None:
        try:
            content = json.loads(data[1:])
        except (ValueError, RecursionError):
            return
        document: dict[str, Any] = {
            "readme": [],
            "kit": content,
            "authority": self._authority.decode(),
            "signer": self._signer.decode(),
        }
        try:
            message = b"concilium-kit\n" + json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
            signature = self._key.sign(message, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
            self._file.write_text(json.dumps({**document, "signature": signature.hex()}))
        except (ValueError, RecursionError):
            return
        read_kit(self._file)
