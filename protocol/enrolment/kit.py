"""The onboarding kit and the answer to it: the two files that a coordinator and a hospital exchange by hand.

A kit is a stored zip archive, `CENTER.kit`, for the eyes of one center:

    kit.json      where the coordinator is, what the study needs, a one-time token, an expiry
    ca.crt        the authority that signed the server's certificate
    README.txt    what to do, in ten lines
    SHA256SUMS    checksums of the other three

The answer carries the center's public key and a proof that it comes from whoever held the kit:

    proof = HMAC-SHA256(key = SHA-256(token), message = answer_bytes(center, study, serial, public_key))

The coordinator keeps SHA-256(token), never the token. An answer that renews a key has the serial "renewal", and its
proof is a signature of the same bytes by the key it replaces: ECDSA with SHA-384, DER, as hex.
"""

import hashlib
import hmac
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, NonNegativeInt, ValidationError

from protocol.errors import KitError
from protocol.messages.settings import Settings, findings
from protocol.names import NAME
from protocol.storage.atomic_files import write_private, write_text

RENEWAL = "renewal"
RUN_OPTIONS = ("study-directory",)
"""What a run may be told."""
BUNDLE_FILES = frozenset({"pyproject.toml", ".info/CONTENT"})
"""All that a Flower bundle holds: it names two installed apps and carries no code."""
KIT_FILE, AUTHORITY_FILE, README_FILE, SUMS_FILE = "kit.json", "ca.crt", "README.txt", "SHA256SUMS"
MEMBERS = (KIT_FILE, AUTHORITY_FILE, README_FILE, SUMS_FILE)
MEMBER_BYTES = 1 << 20
ANSWER_BYTES = 1 << 16
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
ENDPOINT = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)):(?P<port>[0-9]{1,5})"
)

README = """\
This is the onboarding kit of center '{center}' for the study '{study}' of {consortium}.
It holds a one-time token: keep it to yourself, pass it on encrypted, delete it once you are enrolled.
It can be used until {expires_at:%Y-%m-%d %H:%M} UTC.

1. Run:      concilium-center join {center}.kit --data DIR --home HOME
   It checks this machine, makes a key that never leaves it, and writes HOME/{center}.answer.
2. Send {center}.answer to the coordinator; it holds a public key and a proof, no secret.
3. When the coordinator has accepted it, run the command of step 1 again: the center joins.

The coordinator is reached at {endpoint}; the center opens no port. kit.json says what the study needs.
"""


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Host and port of "host:port"; an IPv6 address stands in brackets there and without them in the result.

    Raises:
        ValueError: it is not of that form.
    """
    found = ENDPOINT.fullmatch(endpoint)
    if not found:
        raise ValueError(f"'{endpoint}' is not of the form HOST:PORT, such as concilium.example.org:443")
    if not 0 < int(found["port"]) < 65536:
        raise ValueError(f"'{endpoint}' names port {found['port']}, expected 1 to 65535")
    return found["address"] or found["name"], int(found["port"])


def _is_endpoint(text: str) -> str:
    host_and_port(text)
    return text


def _is_center(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"'{text}' is no name of a center: letters, digits, '.', '_' and '-', at most 64")
    return text


Endpoint = Annotated[str, AfterValidator(_is_endpoint)]
CenterName = Annotated[str, AfterValidator(_is_center)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StudyAgreement(Settings):
    """What a center agrees to when it joins: the study, the code, and what they need of it.

    settings_sha256: `protocol.messages.settings.settings_digest` of the settings that will come with every instruction.
    modalities: what the study expects of this center. flower: major.minor. concilium: the coordinator's version.
    bundle_sha256: the one Flower bundle that may run. run_options: the run options that may be set from outside.
    image: reference of the client image. backbone_sha256: content hash of the backbone that goes as a file of its
    own; empty where none does. disk_bytes, gpu_memory_bytes: estimates (the coordinator's); a GPU of 0 bytes means that
    a CPU suffices. bytes_down_per_round, bytes_up_per_round: the largest of all stages.
    """

    study: str
    title: str
    settings_sha256: Sha256
    model: str
    modalities: tuple[Literal["ct", "pet"], ...]
    flower: str
    concilium: str
    bundle_sha256: Sha256
    run_options: tuple[str, ...] = ("study-directory",)
    image: str
    backbone_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    backbone_bytes: NonNegativeInt = 0
    disk_bytes: NonNegativeInt
    gpu_memory_bytes: NonNegativeInt = 0
    minimum_cases: NonNegativeInt
    bytes_down_per_round: NonNegativeInt
    bytes_up_per_round: NonNegativeInt


class Kit(Settings):
    """One center's invitation; `token` is the secret in it and appears in no repr."""

    schema_version: Literal[1] = 1
    consortium: str
    center: CenterName
    endpoint: Endpoint
    serial: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    token: Annotated[str, Field(min_length=32, repr=False)]
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    agreement: StudyAgreement

    def expired(self, now: datetime) -> bool:
        """Whether the kit can no longer be used at `now` (aware)."""
        return now >= self.expires_at


class EnrolmentAnswer(Settings):
    """A center's public key (one OpenSSH line) and the proof that goes with it; no secret."""

    schema_version: Literal[1] = 1
    center: CenterName
    study: str
    serial: str
    public_key: str
    proof: Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")]

    @property
    def signed_bytes(self) -> bytes:
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


def write_kit(path: Path, kit: Kit, ca_pem: bytes) -> None:
    """Write a kit that only its owner can read (mode 0600); the same kit gives the same bytes.

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
    files = {KIT_FILE: _json(kit), AUTHORITY_FILE: ca_pem, README_FILE: readme.encode()}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    write_private(path, _archive({**files, SUMS_FILE: sums.encode()}))


def read_kit(path: Path) -> tuple[Kit, bytes]:
    """A kit and the authority's certificate in it (PEM); whether it has expired is the caller's to judge.

    The checksums find damage and careless edits. Who may replace the whole file may replace them too: what protects
    a kit on its way is the channel it is sent through.

    Raises:
        KitError: the file cannot be read or is no kit; a member is missing, unknown or too large; a checksum differs;
            the schema is one this version does not know.
    """
    files = _members(path)
    sums = dict(_sum_lines(files[SUMS_FILE]))
    for name in (KIT_FILE, AUTHORITY_FILE, README_FILE):
        found = hashlib.sha256(files[name]).hexdigest()
        if found != sums.get(name):
            raise KitError(
                f"kit {path}: checksum of '{name}' is {found}, {SUMS_FILE} says {sums.get(name, 'nothing about it')}; "
                "the kit was damaged or changed on its way. Ask the coordinator for it again"
            )
    try:
        return Kit.model_validate_json(files[KIT_FILE]), files[AUTHORITY_FILE]
    except ValidationError as error:
        raise KitError(
            f"kit {path}: '{KIT_FILE}' does not hold what this version expects ({_said(error)}); it was made by "
            "another version of concilium. Update the center, or ask the coordinator for a kit of its version"
        ) from error


def write_answer(path: Path, answer: EnrolmentAnswer) -> None:
    """Write an answer as JSON.

    Raises:
        StorageError: the disk refuses.
    """
    write_text(path, _json(answer).decode())


def read_answer(path: Path) -> EnrolmentAnswer:
    """Read what `write_answer` wrote.

    Raises:
        KitError: the file cannot be read, or is no answer.
    """
    try:
        if path.stat().st_size > ANSWER_BYTES:
            raise KitError(f"answer {path} has {path.stat().st_size} bytes, expected at most {ANSWER_BYTES}; {_WHICH}")
        return EnrolmentAnswer.model_validate_json(path.read_bytes())
    except OSError as error:
        raise KitError(f"answer {path} cannot be read ({error.strerror}); {_WHICH}") from error
    except ValidationError as error:
        raise KitError(f"answer {path} is not an answer to a kit ({_said(error)}); {_WHICH}") from error


_WHICH = "give the file CENTER.answer that `concilium-center join` wrote at the center"


def _json(content: Settings) -> bytes:
    return (content.model_dump_json(indent=1) + "\n").encode()


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name, ZIP_DATE)
            member.create_system, member.external_attr = 3, 0o600 << 16
            archive.writestr(member, data)
    return buffer.getvalue()


def _members(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
            names = [member.filename for member in found]
            missing, extra = sorted(set(MEMBERS) - set(names)), sorted(set(names) - set(MEMBERS))
            if missing or extra or len(names) != len(MEMBERS):
                raise KitError(
                    f"kit {path}: missing {missing or 'nothing'}, unknown {extra or 'nothing'}, {len(names)} files, "
                    f"expected each of {list(MEMBERS)} once; ask the coordinator for the kit again"
                )
            large = [member.filename for member in found if member.file_size > MEMBER_BYTES]
            if large:
                raise KitError(f"kit {path}: {large} larger than {MEMBER_BYTES} bytes; ask the coordinator again")
            return {name: archive.read(name) for name in names}
    except OSError as error:
        raise KitError(f"kit {path} cannot be read ({error.strerror}); give the file the coordinator sent") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise KitError(f"kit {path} is not a whole kit ({error}); ask the coordinator for it again") from error


def _sum_lines(data: bytes) -> list[tuple[str, str]]:
    lines = (line.partition("  ") for line in data.decode("ascii", "replace").splitlines())
    return [(name, digest) for digest, _, name in lines]


def _said(error: ValidationError) -> str:
    return "; ".join(findings(error))
