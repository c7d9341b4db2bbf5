"""A study that began before it had an audit log: what is there at its first event is taken over as it is found."""

from server.study.audit_log import AuditLog, read_events
from strategies.bank.bank import ENTRY_FILE, AdapterBank
from strategies.bank.settings_file import SETTINGS_FILE
from strategies.bank.told import digest, naming


def take_over_bank(bank: AdapterBank, log: AuditLog) -> None:
    """Tell the log of a bank that no event made: its settings, every version, every HEAD. Nothing of a bank it knows.

    Raises:
        BankError: the bank is damaged.
        StorageError: the log cannot be written.
    """
    if any(event.event == "bank" for event in read_events(log.path)):
        return
    found = {"taken_over": True}
    log.record("bank", {**found, "sha256": digest((bank.root / SETTINGS_FILE).read_bytes())})
    for entry in bank.entries():
        data = (bank.root / "adapters" / entry.reference / ENTRY_FILE).read_bytes()
        log.record("version", {**found, **naming(entry), "entry_sha256": digest(data)})
    for name in bank.names():
        log.record("head", {**found, **naming(bank.head(name))})
