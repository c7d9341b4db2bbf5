"""What of a bank can be used: names whose version in use still has its tensors."""

from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry


def living_names(bank: AdapterBank) -> list[str]:
    """The names of a bank whose version in use was not withdrawn, sorted."""
    return [name for name in bank.names() if bank.tombstone(bank.head(name)) is None]


def living_entries(bank: AdapterBank) -> tuple[Entry, ...]:
    """Every version that was not withdrawn, by name and version."""
    return tuple(entry for entry in bank.entries() if bank.tombstone(entry) is None)
