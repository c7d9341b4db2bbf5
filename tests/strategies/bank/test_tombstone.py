"""A version that was withdrawn: its entry stays, its tensors are gone, and nothing loads it any more."""

from pathlib import Path

import pytest

from protocol.errors import BankError
from strategies.bank.tombstone import Tombstone, read_tombstone
from tests.support.bank_of_numbers import add_version, number_bank

GONE = Tombstone("a", "center 'a' withdrew")


def test_entry_and_lineage_stay_and_the_tensors_are_gone(tmp_path: Path) -> None:
    bank = number_bank(tmp_path / "bank")
    entry = add_version(bank, "a", 1.0)
    for _ in range(2):
        bank.withdraw(entry, GONE)
    folder = bank.root / "adapters" / "a" / "0001"
    assert sorted(path.name for path in folder.iterdir()) == ["entry.json", "tombstone.json"]
    assert (bank.entry("a", 1), bank.tombstone(entry)) == (entry, GONE)


def test_whatever_asks_for_its_tensors_is_told_why_they_are_gone(tmp_path: Path) -> None:
    bank = number_bank(tmp_path / "bank")
    entry = add_version(bank, "a", 1.0)
    add_version(bank, "a", 2.0, "later")
    bank.withdraw(entry, GONE)
    for refused in (lambda: bank.tensors(entry), lambda: bank.rollback("a", 1)):
        with pytest.raises(BankError, match="a/0001 is withdrawn: center 'a' withdrew"):
            refused()
    with pytest.raises(BankError, match="withdrawn"):
        bank.export("a", tmp_path / "export", 1)
    assert bank.head("a").version == 2


def test_what_a_kill_left_of_the_tensors_goes_when_it_is_done_again(tmp_path: Path) -> None:
    bank = number_bank(tmp_path / "bank")
    entry = add_version(bank, "a", 1.0)
    bank.withdraw(entry, GONE)
    left = bank.root / "adapters" / "a" / "0001" / "center" / "adapter_model.safetensors"
    left.parent.mkdir()
    left.write_bytes(b"left")
    bank.withdraw(entry, GONE)
    assert not left.parent.exists()
    assert read_tombstone(left.parent.parent) == GONE
