"""What of a bank can still be used."""

from pathlib import Path

from strategies.bank.living import living_entries, living_names
from strategies.bank.tombstone import Tombstone
from strategies.bank.trained_alone import entry_in_use
from tests.support.bank_of_numbers import add_version, number_bank


def test_a_name_whose_version_in_use_was_withdrawn_is_served_the_shared_adapter(tmp_path: Path) -> None:
    bank = number_bank(tmp_path / "bank")
    for name in ("shared", "a", "b"):
        add_version(bank, name, 1.0)
    bank.withdraw(bank.head("a"), Tombstone("a", "it withdrew"))
    assert living_names(bank) == ["b", "shared"]
    assert [entry.reference for entry in living_entries(bank)] == ["b/0001", "shared/0001"]
    assert entry_in_use(bank, "a").reference == "shared/0001"
