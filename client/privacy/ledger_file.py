"""Lines of a privacy ledger: what one says, how it is made, and why a file is not believed.

    time, kind, mechanism, noise_multiplier, sample_rate, steps, study, stage, server_round    the release
    epsilon, delta what its patients were promised for all releases together; null where nothing was
    subjects      keyed hashes of the cases and patients it stands on; only where `cohort` is new
    cohort        SHA-256 over these hashes
    content       SHA-256 of what left, where no mechanism stood before it: the same bits are the same release
    key           SHA-256 of the key that hashed them
    number, chain the line's place (`protocol.storage.chain`)

From the numbers alone anybody can compute epsilon again; lines without a mechanism have none. Files of version 1, which
have private rounds only and no `content`, are read as they are, and go on with lines of version 2.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from client.data.block_file import RecordsError
from client.privacy.case_hashes import KEY, digest_of
from client.privacy.release import Mechanism, Release, ReleaseKind
from protocol.storage.chain import head_path, lines_in, link_of
from protocol.storage.chain_check import check_chain

LEDGER = "privacy.jsonl"
PLACES = ("trainer", ".")
SCHEMA_VERSION = 2
READABLE = (1, 2)
SLACK = timedelta(minutes=5)
"""How far a clock may have been set back; more, and the file is of a time that has not come yet."""


@dataclass(frozen=True)
class Promise:
    """An epsilon at a delta."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Entry:
    """A release with the time it was written down, and the hashes of the cases and patients it stands on.

    promise: the epsilon and delta that its patients were promised for all private releases together; None where nothing
    was. content: SHA-256 of what left without a mechanism; "" of what left with one.
    """

    release: Release
    time: datetime
    subjects: frozenset[str]
    promise: Promise | None = None
    content: str = ""


def place_of(home: Path) -> Path | None:
    """The folder of a home that has its ledger, or what a lost one leaves behind; None where there never was one.

    A center's home has it under `trainer`, a plain trainer's directly in it.
    """
    signs = (LEDGER, head_path(Path(LEDGER)).name, KEY)
    folders = (home / place for place in PLACES)
    return next((folder for folder in folders if any((folder / sign).exists() for sign in signs)), None)


class Line(BaseModel):
    """What one line says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    time: AwareDatetime
    kind: ReleaseKind
    mechanism: Mechanism
    noise_multiplier: float
    sample_rate: float
    steps: int
    study: str
    stage: str
    server_round: int
    epsilon: float | None = None
    delta: float | None = None
    cohort: str
    subjects: tuple[str, ...] | None = None
    content: str = ""
    key: str
    number: int = Field(ge=1)
    chain: str


def make_line(entry: Entry, key: str, cohorts: Collection[str]) -> Mapping[str, Any]:
    """The line of an entry, without its place in the chain; the hashes of a cohort that stands already are left out."""
    promise = {} if entry.promise is None else asdict(entry.promise)
    content = {"content": entry.content} if entry.content else {}
    cohort = cohort_digest(entry.subjects)
    line = {"schema_version": SCHEMA_VERSION, "time": entry.time.isoformat(timespec="seconds"), "key": key}
    line |= asdict(entry.release) | promise | content | {"cohort": cohort}
    return line if cohort in cohorts else line | {"subjects": sorted(entry.subjects)}


def cohort_digest(subjects: Iterable[str]) -> str:
    """SHA-256 over the hashes of a cohort."""
    return hashlib.sha256("|".join(sorted(subjects)).encode()).hexdigest()


def read_entries(path: Path, key: bytes | None, time: datetime) -> tuple[Entry, ...]:
    """All entries of a ledger; none where neither it nor a key was ever written.

    Args:
        path: the ledger.
        key: what its cases are hashed with; None where there is none.
        time: now.

    A line without a place in a whole chain is what a crash cut off: it was never recorded, and nothing left for it.

    Raises:
        RecordsError: it cannot be trusted; names the file, the first line that is wrong, and what to do.
    """
    if not path.exists() and not head_path(path).exists():
        if key is not None:
            raise _distrust(path, f"is gone, and {KEY} beside it says that there was one")
        return ()
    try:
        chain, lines = check_chain(path), lines_in(path.read_bytes()) if path.exists() else []
    except OSError as error:
        raise _distrust(path, f"cannot be read ({error.strerror})") from error
    if chain.broken is not None:
        raise _distrust(path, f"is not as it was written from line {chain.broken.line} on: {chain.broken.found}")
    read, known = [], dict[str, frozenset[str]]()
    for number, line in enumerate(lines, start=1):
        if link_of(line) is None:
            continue
        found = _read_line(path, number, line)
        _check_line(path, number, found, key, time)
        if found.subjects is not None and found.cohort not in known:
            known[found.cohort] = _cohort(path, number, found.cohort, found.subjects)
        read.append(_entry(path, number, found, known))
    return tuple(read)


def _read_line(path: Path, number: int, line: bytes) -> Line:
    """Read one line; its version first, since another one may have other fields."""
    version = json.loads(line).get("schema_version")
    if version not in READABLE:
        raise _distrust(path, f"has schema {version} in line {number}, expected {' or '.join(map(str, READABLE))}")
    try:
        return Line.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _distrust(path, f"has no entry in line {number} ({where}: {first['msg']})") from error


def _check_line(path: Path, number: int, line: Line, key: bytes | None, time: datetime) -> None:
    """Refuse an entry of a time to come, or with hashes that the key here cannot find again."""
    if line.time > time + SLACK:
        written, here = line.time.isoformat(timespec="seconds"), time.isoformat(timespec="seconds")
        raise _distrust(path, f"has an entry of {written} in line {number}, and it is {here} here: set this clock")
    if key is None or line.key != digest_of(key):
        found = "there is none" if key is None else f"that has SHA-256 {digest_of(key)[:12]}"
        raise _distrust(path, f"was hashed in line {number} with key {line.key[:12]}, and of {KEY} beside it {found}")


def _cohort(path: Path, number: int, cohort: str, subjects: Iterable[str]) -> frozenset[str]:
    """The hashes of a cohort, each of which counts in its digest."""
    if cohort_digest(found := frozenset(subjects)) != cohort:
        raise _distrust(path, f"does not say in line {number} which patients it stands on")
    return found


def _entry(path: Path, number: int, line: Line, known: Mapping[str, frozenset[str]]) -> Entry:
    if (subjects := known.get(line.cohort)) is None:
        raise _distrust(path, f"does not say in line {number} which patients it stands on")
    try:
        release = Release(**{field.name: getattr(line, field.name) for field in fields(Release)})
    except ValueError as error:
        raise _distrust(path, f"has no release in line {number} ({error})") from error
    promised = line.epsilon is not None and line.delta is not None
    promise = Promise(line.epsilon or 0.0, line.delta or 0.0) if promised else None
    return Entry(release, line.time, subjects, promise, line.content)


def _distrust(path: Path, what: str) -> RecordsError:
    return RecordsError(
        f"{path} {what}; it says what patients of this center were promised, and nothing more leaves of them without "
        "it. Put it back from a backup of the home, with what lies beside it"
    )
