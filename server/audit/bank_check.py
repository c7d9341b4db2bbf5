"""The bank held against the log: every version, HEAD and tombstone has its event, and every event its file."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from protocol.errors import BankError
from protocol.storage.sealed_json import read_sealed
from server.audit.finding import Finding, is_last_of_its_writer
from server.study.audit_log import AuditEvent
from strategies.bank.bank import ENTRY_FILE, HEAD_FILE, AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.settings_file import SETTINGS_FILE
from strategies.bank.told import digest
from strategies.bank.tombstone import TOMBSTONE_FILE

AGAIN = "the run or command was ended before it was done; resume the study, or give the command again"


def bank_findings(root: Path, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    """What of the bank at `root` and of the log does not agree."""
    told = [found for found in events if found.event in {"bank", "version", "head", "tombstone"}]
    if not root.exists():
        if told and not is_last_of_its_writer(events, told[0]):
            yield Finding("broken", str(root), f"it is missing; event {told[0].number} made it")
        return
    yield from _settings_findings(root, told)
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
    try:
        bank = AdapterBank(root)
        entry = Entry(**read_sealed(entry_file))
        bank.tensors(entry)
        bank.backbone(entry.backbone)
    except BankError as error:
        yield Finding("broken", str(folder), str(error))


def _tombstone_findings(folder: Path, withdrawn: AuditEvent) -> Iterator[Finding]:
    path = folder / TOMBSTONE_FILE
    left = sorted(found.name for found in folder.rglob("*.safetensors"))
    if not path.exists() or left:
        yield Finding("unfinished", str(folder), f"event {withdrawn.number} withdrew it, its tensors remain; {AGAIN}")
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
