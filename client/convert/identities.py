"""The private folder of a conversion: the key of its case ids, and whom they stand for. It never leaves the center.

    case id    = "case-" + c(identity)      patient id = "p-" + c(patient)
    c(text)    = first 12 characters of base32(HMAC-SHA256(key, text)), lower case: 60 bits

    <private>/key         32 random bytes
    <private>/cases.json  case id -> identity, patient, source, origins
    <private>/issues.json all issues of the last run, with paths and UIDs; of `corrections`: corrections-issues.json
    <private>/state.json  what was converted from which files
    <private>/lock        held by the conversion at work
    <private>/unpacked/   members of zip archives
    <private>/labels/     labels that others took the place of

Folders have mode 0700, files 0600. Two runs with one key give one patient one id, whatever the source.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from client.data.checks import Issue
from protocol.errors import CaseError
from protocol.storage.atomic_files import make_private_folder, provide_private, write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal_if_sealed

KEY_BYTES = 32
ID_CHARACTERS = 12
OPEN_TO_OTHERS = 0o077

Content = TypeVar("Content")


@dataclass(frozen=True)
class Origin:
    """Whom a case id stands for. source: the folder it was converted from; origins: as in `ReadCase`."""

    identity: str
    patient: str
    source: str
    origins: Mapping[str, str | list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PrivateFolder:
    """The open private folder of a conversion."""

    path: Path
    key: bytes = field(repr=False)

    @property
    def unpacked(self) -> Path:
        """Where archives are unpacked to."""
        return self.path / "unpacked"

    @property
    def state(self) -> Path:
        """What was made of which files."""
        return self.path / "state.json"

    def labels_of(self, case: str) -> Path:
        """Where labels of a case lie that others took the place of."""
        return self.path / "labels" / case

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder for one conversion.

        Raises:
            CaseError: another one is at work with it.
        """
        try:
            with FileLock(self.path / "lock", timeout=0, mode=0o600):
                yield
        except Timeout as error:
            raise CaseError(
                f"another conversion is at work with the private folder {self.path}; wait until it ends"
            ) from error

    def case_id(self, identity: str) -> str:
        """The id of a case, such as "case-k3v7…", from what names it in its source."""
        return f"case-{self._hash(f'case {identity}')}"

    def patient_id(self, patient: str) -> str:
        """The id of a patient, such as "p-k3v7…"."""
        return f"p-{self._hash(f'patient {patient}')}"

    def read_origins(self) -> dict[str, Origin]:
        """Case id -> whom it stands for, of all runs; empty before the first.

        Raises:
            CaseError: the file is damaged.
        """
        return _read(self.path / "cases.json", TypeAdapter(dict[str, Origin]), {})

    def write_origins(self, origins: Mapping[str, Origin]) -> None:
        """Keep whom the ids stand for."""
        content = {case: asdict(origin) for case, origin in sorted(origins.items())}
        write_private(self.path / "cases.json", seal(content))

    def write_issues(self, issues: Sequence[Issue], file: str = "issues.json") -> None:
        """Keep all issues of a run, with their sources."""
        write_private(self.path / file, json.dumps([asdict(issue) for issue in issues], indent=1).encode())

    def read_issues(self) -> list[Issue]:
        """What `write_issues` kept; empty before the first run.

        Raises:
            CaseError: the file is damaged.
        """
        return _read(self.path / "issues.json", TypeAdapter(list[Issue]), [])

    def _hash(self, text: str) -> str:
        digest = hmac.digest(self.key, text.encode("utf-8", "surrogateescape"), hashlib.sha256)
        return base64.b32encode(digest).decode().lower()[:ID_CHARACTERS]


def default_private(dest: Path) -> Path:
    """The private folder of a data folder where the user names none: beside it."""
    return dest.resolve().with_name(f"{dest.resolve().name}.private")


def open_private(path: Path) -> PrivateFolder:
    """Open the private folder, which is made with a new key where there is none.

    Raises:
        CaseError: others can read it, its key is gone or of another length, or it cannot be used.
        StorageError: it cannot be made.
    """
    make_private_folder(path)
    try:
        _close_to_others(path)
        if (path / "cases.json").exists() and not (path / "key").exists():
            raise CaseError(
                f"private folder {path} has cases.json but no key: new ids would not agree with those given before; "
                "restore the key from a backup, or convert into a new folder"
            )
        key = provide_private(path / "key", secrets.token_bytes(KEY_BYTES))
    except OSError as error:
        raise CaseError(f"private folder {path} cannot be used: {error}; correct its owner or permissions") from error
    if len(key) != KEY_BYTES:
        raise CaseError(
            f"private folder {path}: the key has {len(key)} byte(s), expected {KEY_BYTES}; restore it from a backup, "
            "or convert into a new folder"
        )
    _check_key(path, key)
    return PrivateFolder(path, key)


def read_private(path: Path) -> PrivateFolder:
    """Open the private folder of a conversion that was made before.

    Raises:
        CaseError: there is none, or as `open_private`.
    """
    if not (path / "key").exists():
        raise CaseError(
            f"no private folder of a conversion at {path}: key not found; name it with --private, or convert first"
        )
    return open_private(path)


def _check_key(path: Path, key: bytes) -> None:
    """Refuse a key with a changed bit: every id would be another one, and every case there twice."""
    found = hashlib.sha256(key).hexdigest()
    expected = provide_private(path / "key.sha256", found.encode()).decode(errors="replace").strip()
    if found != expected:
        raise CaseError(
            f"private folder {path}: the key has SHA-256 {found[:12]}, when it was made {expected[:12]}; restore key "
            "and key.sha256 from a backup, since ids would not agree with those given before"
        )


def _close_to_others(path: Path) -> None:
    """An empty folder is closed to others; one that holds identities and was open is for its owner to judge."""
    entries = (path, *path.iterdir())
    if not any(entry.stat().st_mode & OPEN_TO_OTHERS for entry in entries):
        return
    if len(entries) == 1:
        path.chmod(0o700)
        return
    raise CaseError(
        f"private folder {path} can be read by others on this machine, and it says whom the case ids stand for; "
        f"make sure that nobody did, then close it: chmod -R go= {path}"
    )


def _read(path: Path, adapter: TypeAdapter[Content], absent: Content) -> Content:
    if not path.exists():
        return absent
    try:
        return adapter.validate_python(unseal_if_sealed(read_whole(path)))
    except (OSError, ValueError) as error:
        raise CaseError(f"{path} cannot be read: {error!r}; restore it from a backup, or remove it") from error
