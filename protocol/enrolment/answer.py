"""A center's answer to a kit, and the one that renews its key: a public key and a proof, no secret.

The proof comes from whoever held the kit:

    proof = HMAC-SHA256(key = SHA-256(token), message = answer_bytes(center, study, serial, public_key))

The coordinator keeps SHA-256(token), never the token. An answer that renews a key has the serial "renewal", and its
proof is a signature of the same bytes by the key it replaces: ECDSA with SHA-384, DER, as hex.
"""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from protocol.errors import KitError
from protocol.messages.base import Settings
from protocol.messages.settings import findings
from protocol.names import CenterName
from protocol.storage.atomic_files import write_private_text
from protocol.storage.regular_files import read_regular

RENEWAL = "renewal"
ANSWER_BYTES = 1 << 16
WHICH = "give the file CENTER.answer that `concilium-center join` wrote at the center"


class EnrolmentAnswer(Settings):
    """A center's public key (one OpenSSH line) and the proof that goes with it."""

    schema_version: Literal[1] = 1
    center: CenterName
    study: str
    serial: str
    public_key: str
    proof: Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")]

    @property
    def message(self) -> bytes:
        """What the proof is about."""
        return answer_bytes(center=self.center, study=self.study, serial=self.serial, public_key=self.public_key)


def answer_bytes(*, center: str, study: str, serial: str, public_key: str) -> bytes:
    """The bytes that a proof is made over: everything of an answer but the proof."""
    content = {"schema_version": 1, "center": center, "study": study, "serial": serial, "public_key": public_key}
    return b"concilium-answer\n" + json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def token_verifier(token: str) -> str:
    """What a coordinator keeps of a token: its SHA-256, as hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_proof(token: str, message: bytes) -> str:
    """The proof, as hex, that whoever holds `token` wrote `message`."""
    return verifier_proof(token_verifier(token), message)


def verifier_proof(verifier: str, message: bytes) -> str:
    """`token_proof` from what the coordinator kept; compare it with `hmac.compare_digest`."""
    return hmac.new(bytes.fromhex(verifier), message, hashlib.sha256).hexdigest()


def write_answer(path: Path, answer: EnrolmentAnswer) -> None:
    """Write an answer as JSON.

    Raises:
        StorageError: the disk refuses.
    """
    write_private_text(path, answer.model_dump_json(indent=1) + "\n")


def read_answer(path: Path) -> EnrolmentAnswer:
    """Read what `write_answer` wrote.

    Raises:
        KitError: the file cannot be read, or is no answer.
    """
    try:
        if path.stat().st_size > ANSWER_BYTES:
            raise KitError(f"answer {path} has {path.stat().st_size} bytes, expected at most {ANSWER_BYTES}; {WHICH}")
        return EnrolmentAnswer.model_validate_json(read_regular(path, ANSWER_BYTES))
    except OSError as error:
        raise KitError(f"answer {path} cannot be read ({error.strerror}); {WHICH}") from error
    except ValidationError as error:
        raise KitError(f"answer {path} is not an answer to a kit ({'; '.join(findings(error))}); {WHICH}") from error
