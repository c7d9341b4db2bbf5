"""The bank held against the log: every file of it has its event, and every event its file.

Of a bank that an earlier version began, whose log does not tell every file, backbones that no event put there and what
lies beside the bank's own files are not looked at, and versions are held against what the bank would write.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from protocol.errors import BankError
from protocol.storage.sealed_json import read_sealed
from server.audit.finding import Finding, Weight, is_last_of_its_writer
from server.audit.told_file import AGAIN, digest_at, tells_every_file, told_file_findings
from server.study.audit_log import AuditEvent
from strategies.bank.backbone_files import FOLDER, backbone_path, hashes_in
from strategies.bank.bank import ENTRY_FILE, HEAD_FILE, AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.routing_file import ROUTER_FILE
from strategies.bank.settings_file import SETTINGS_FILE
from strategies.bank.told import digest
from strategies.bank.tombstone import TOMBSTONE_FILE

TENSORS = ".safetensors"
OF_A_BANK = re.compile(
    rf"{SETTINGS_FILE}|{ROUTER_FILE}|{FOLDER}/[0-9a-f]{{64}}{TENSORS}|adapters/[^/]+/({HEAD_FILE}|[0-9][^/]*/.+)"
)
"""Names below its folder of what has findings of its own."""
MOVES_OF_BACKBONES = ("backbone", "backbone_removed")
TOLD = {"bank", "backbone", "backbone_removed", "version", "head", "tombstone"}


def bank_findings(root: Path, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    """What of the bank at `root` and of the log does not agree."""
    told = [found for found in events if found.event in TOLD]
    if not root.exists():
        if told and not is_last_of_its_writer(events, told[0]):
            yield Finding("broken", str(root), f"it is missing; event {told[0].number} made it")
        return
    yield from _settings_findings(root, told)
    yield from told_file_findings(root / ROUTER_FILE, "router", events)
    for sha256 in hashes_in(root / FOLDER):
        yield from _backbone_findings(root, sha256, events, told)
    if tells_every_file(events):
        yield from _stray_findings(root)
    folders = {f"{path.parent.name}/{path.name}": path for path in sorted(root.glob("adapters/*/[0-9]*"))}
    for reference, folder in folders.items():
        yield from _version_findings(root, reference, folder, told)
    yield from _missing_versions(root, folders.keys(), events, told)
    names = {path.parent.name for path in root.glob(f"adapters/*/{HEAD_FILE}")}
    for name in sorted(names | {str(found.facts["adapter"]) for found in told if found.event == "head"}):
        yield from _head_findings(root, name, events, told)


def _settings_findings(root: Path, told: Sequence[AuditEvent]) -> Iterator[Finding]:
    made = _last(told, "bank")
    path = root / SETTINGS_FILE
    if not path.exists() or made is None or digest(path.read_bytes()) != made.facts["sha256"]:
        yield Finding("broken", str(path), "it is not what the log says was written")


def _version_findings(root: Path, reference: str, folder: Path, told: Sequence[AuditEvent]) -> Iterator[Finding]:
    made, entry_file = _last(told, "version", reference), folder / ENTRY_FILE
    if made is None:
        yield Finding("broken", str(folder), "no event of the log made this version")
        return
    if not entry_file.exists() or digest(entry_file.read_bytes()) != made.facts["entry_sha256"]:
        yield Finding("broken", str(entry_file), f"it is not the entry that event {made.number} announced")
        return
    withdrawn = _last(told, "tombstone", reference)
    if withdrawn is not None:
        yield from _tombstone_findings(folder, withdrawn)
        return
    if (folder / TOMBSTONE_FILE).exists():
        yield Finding("broken", str(folder / TOMBSTONE_FILE), "no event of the log withdrew this version")
        return
    announced: Mapping[str, str] = made.facts.get("files", {})
    if announced and (found := list(_file_findings(folder, made, announced))):
        yield from found
        return
    try:
        bank = AdapterBank(root)
        entry = Entry(**read_sealed(entry_file))
        tensors = bank.tensors(entry)
        if not backbone_path(root, entry.backbone).is_file():
            yield Finding("broken", str(folder), f"its backbone {entry.backbone} is missing")
    except BankError as error:
        yield Finding("broken", str(folder), str(error))
        return
    if not announced:
        yield from _file_findings(folder, made, _as_written(bank.files(entry, tensors)))


def _as_written(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 by name; "" of tensors, which another version of safetensors may lay out otherwise and that are read."""
    return {name: "" if name.endswith(TENSORS) else digest(data) for name, data in files.items()}


def _file_findings(folder: Path, made: AuditEvent, announced: Mapping[str, str]) -> Iterator[Finding]:
    """Files of a version that are missing, changed, or that nobody wrote."""
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
    for name in sorted(there | announced.keys()):
        path = folder / name
        if name not in announced:
            yield Finding("broken", str(path), f"event {made.number} made this version without such a file")
        elif name not in there:
            yield Finding("broken", str(path), f"it is missing; event {made.number} made it")
        elif announced[name] and digest_at(path) != announced[name]:
            yield Finding("broken", str(path), f"it is not what event {made.number} announced")


def _backbone_findings(
    root: Path, sha256: str, events: Sequence[AuditEvent], told: Sequence[AuditEvent]
) -> Iterator[Finding]:
    path = backbone_path(root, sha256)
    moves = [found for found in told if found.event in MOVES_OF_BACKBONES and found.facts["sha256"] == sha256]
    last = moves[-1] if moves else None
    if last is None and tells_every_file(events):
        yield Finding("broken", str(path), "no event of the log put this backbone there")
    elif last is not None and last.event == "backbone_removed":
        weight: Weight = "unfinished" if is_last_of_its_writer(events, last) else "broken"
        yield Finding(weight, str(path), f"it is there; event {last.number} removed it, with a center that withdrew")
    elif last is not None and digest_at(path) != last.facts["file_sha256"]:
        yield Finding("broken", str(path), f"it is not what event {last.number} announced")
    elif last is None:
        try:
            AdapterBank(root).backbone(sha256)
        except BankError as error:
            yield Finding("broken", str(path), str(error))


def _stray_findings(root: Path) -> Iterator[Finding]:
    """Files that a bank does not have; what a killed writer left unfinished is none that anybody reads."""
    for path in sorted(found for found in root.rglob("*") if found.is_symlink() or not found.is_dir()):
        name = str(path.relative_to(root))
        if not OF_A_BANK.fullmatch(name) and not any(part.endswith(".part") for part in path.relative_to(root).parts):
            yield Finding("broken", str(path), "a bank has no such file, and no event of the log wrote it")


def _tombstone_findings(folder: Path, withdrawn: AuditEvent) -> Iterator[Finding]:
    path = folder / TOMBSTONE_FILE
    left = {found.name for found in folder.rglob("*")} - {ENTRY_FILE, TOMBSTONE_FILE}
    if not path.exists() or left:
        yield Finding("unfinished", str(folder), f"event {withdrawn.number} withdrew it, its files remain; {AGAIN}")
    elif digest(path.read_bytes()) != withdrawn.facts["tombstone_sha256"]:
        yield Finding("broken", str(path), f"it is not the tombstone that event {withdrawn.number} announced")


def _missing_versions(
    root: Path, there: Collection[str], events: Sequence[AuditEvent], told: Sequence[AuditEvent]
) -> Iterator[Finding]:
    """Versions that the log made and that are nowhere."""
    references = dict.fromkeys(str(found.facts["reference"]) for found in told if found.event == "version")
    for reference in references:
        made = _last(told, "version", reference)
        if reference in there or made is None:
            continue
        folder = root / "adapters" / reference
        if is_last_of_its_writer(events, made):
            yield Finding("unfinished", str(folder), f"event {made.number} announced it; {AGAIN}")
        else:
            yield Finding("broken", str(folder), f"it is missing; event {made.number} made it")


def _head_findings(
    root: Path, name: str, events: Sequence[AuditEvent], told: Sequence[AuditEvent]
) -> Iterator[Finding]:
    path = root / "adapters" / name / HEAD_FILE
    moves = [found for found in told if found.event == "head" and found.facts["adapter"] == name]
    try:
        version = int(read_sealed(path)["version"]) if path.exists() else 0
    except (BankError, KeyError, ValueError) as error:
        yield Finding("broken", str(path), str(error))
        return
    if moves and version == moves[-1].facts["version"]:
        return
    before = [found.facts["version"] for found in moves if not is_last_of_its_writer(events, found)]
    said = f"it names version {version}" if version else "it is missing"
    if not moves:
        yield Finding("broken", str(path), f"{said}, and no event of the log moved it there")
    elif is_last_of_its_writer(events, moves[-1]) and version == (before[-1] if before else 0):
        found = f"{said}; event {moves[-1].number} announced version {moves[-1].facts['version']}; {AGAIN}"
        yield Finding("unfinished", str(path), found)
    else:
        yield Finding("broken", str(path), f"{said}, event {moves[-1].number} moved it to {moves[-1].facts['version']}")


def _last(told: Sequence[AuditEvent], event: str, reference: str = "") -> AuditEvent | None:
    found = [each for each in told if each.event == event and (not reference or each.facts["reference"] == reference)]
    return found[-1] if found else None
