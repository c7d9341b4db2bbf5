"""What an earlier version left without an event is taken over at the first event as it is found."""

from pathlib import Path

from server.study.audit_log import AuditLog, read_events
from strategies.bank.backbone_files import FOLDER, backbone_path, hashes_in
from strategies.bank.bank import ENTRY_FILE, AdapterBank
from strategies.bank.routing_file import ROUTER_FILE
from strategies.bank.settings_file import SETTINGS_FILE
from strategies.bank.told import EVERY_FILE, digest, digests, naming

FOUND = {"taken_over": True}


def take_over_bank(bank: AdapterBank, log: AuditLog) -> None:
    """Tell the log of a bank that no event made: its settings, every version, every HEAD. Nothing of a bank it knows.

    Raises:
        BankError: the bank is damaged.
        StorageError: the log cannot be written.
    """
    if any(event.event == "bank" for event in read_events(log.path)):
        return
    log.record("bank", {**FOUND, "sha256": digest((bank.root / SETTINGS_FILE).read_bytes())})
    for entry in bank.entries():
        folder = bank.root / "adapters" / entry.reference
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        log.record("version", {**FOUND, **naming(entry), **digests(files, ENTRY_FILE)})
    for name in bank.names():
        log.record("head", {**FOUND, **naming(bank.head(name))})


def take_over_files(bank: AdapterBank, result: Path, log: AuditLog) -> None:
    """Tell a log from before every file had its event of backbones, router and result; nothing once it knows them.

    Raises:
        StorageError: the log cannot be written.
    """
    made = [event for event in read_events(log.path) if event.event == "bank"]
    if not made or any(EVERY_FILE.items() <= event.facts.items() for event in made):
        return
    for sha256 in hashes_in(bank.root / FOLDER):
        file_sha256 = digest(backbone_path(bank.root, sha256).read_bytes())
        log.record("backbone", {**FOUND, "sha256": sha256, "file_sha256": file_sha256})
    for event, path in (("router", bank.root / ROUTER_FILE), ("result", result)):
        if path.exists():
            log.record(event, {**FOUND, "sha256": digest(path.read_bytes())})
    log.record("bank", {**FOUND, "sha256": made[-1].facts["sha256"], **EVERY_FILE})
