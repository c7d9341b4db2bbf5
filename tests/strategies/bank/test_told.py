"""What a bank tells before it writes."""

from pathlib import Path
from typing import Any

from strategies.bank.told import digest, naming
from tests.support.bank_of_numbers import add_version, number_bank


def test_version_and_head_are_told_once_and_before_they_are_there(tmp_path: Path) -> None:
    told: list[tuple[str, Any, bool]] = []
    folder = tmp_path / "bank" / "adapters" / "shared"

    def tell(event: str, facts: Any) -> None:
        there = (folder / "0001").exists() if event == "version" else (folder / "HEAD").exists()
        told.append((event, facts.get("reference"), there))

    bank = number_bank(tmp_path / "bank", tell)
    for _ in range(2):
        add_version(bank, "shared", 1.0)
    assert told == [
        ("bank", None, False),
        ("backbone", None, False),
        ("version", "shared/0001", False),
        ("head", "shared/0001", False),
    ]


def test_an_event_names_its_version(tmp_path: Path) -> None:
    entry = add_version(number_bank(tmp_path / "bank"), "a", 1.0)
    expected = {"adapter": "a", "version": 1, "reference": "a/0001", "sha256": entry.sha256}
    assert naming(entry) == expected
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
