"""The bank and the log, each held against the other, on events written by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.audit.bank_check import bank_findings
from server.study.audit_log import AuditLog, read_events
from strategies.bank.backbone_files import backbone_path
from strategies.bank.bank import AdapterBank
from strategies.bank.routing_file import ROUTER_FILE, remove_routers, write_routers
from strategies.bank.tombstone import Tombstone
from tests.support.bank_of_numbers import add_version, number_bank

GONE = Tombstone("a", "center 'a' withdrew")


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.jsonl")


@pytest.fixture
def bank(tmp_path: Path, log: AuditLog) -> AdapterBank:
    found = number_bank(tmp_path / "bank", log.record)
    add_version(found, "shared", 1.0)
    return found


def weights(bank: AdapterBank, log: AuditLog) -> list[str]:
    return [found.weight for found in bank_findings(bank.root, read_events(log.path))]


def test_what_the_bank_told_is_what_is_there(bank: AdapterBank, log: AuditLog) -> None:
    assert weights(bank, log) == []


def test_a_version_that_was_announced_and_never_written_is_unfinished(bank: AdapterBank, log: AuditLog) -> None:
    facts: dict[str, Any] = {"adapter": "shared", "version": 2, "reference": "shared/0002", "sha256": ""}
    AuditLog(log.path).record("version", {**facts, "entry_sha256": ""})
    assert weights(bank, log) == ["unfinished"]


def test_a_version_that_nobody_announced_is_broken(bank: AdapterBank, log: AuditLog) -> None:
    add_version(AdapterBank(bank.root), "shared", 2.0)
    assert weights(bank, log) == ["broken", "broken"]  # the version, and the HEAD that names it


def test_a_withdrawn_version_is_whole_and_one_half_removed_is_unfinished(bank: AdapterBank, log: AuditLog) -> None:
    entry = add_version(bank, "a", 3.0)
    bank.withdraw(entry, GONE)
    assert weights(bank, log) == []
    (bank.root / "adapters" / "a" / "0001" / "adapter_model.safetensors").write_bytes(b"left")
    assert weights(bank, log) == ["unfinished"]


def test_a_tombstone_that_nobody_announced_is_broken(bank: AdapterBank, log: AuditLog) -> None:
    entry = add_version(bank, "a", 3.0)
    AdapterBank(bank.root).withdraw(entry, GONE)
    assert weights(bank, log) == ["broken"]


def test_a_router_is_what_was_announced_until_it_is_removed(bank: AdapterBank, log: AuditLog) -> None:
    path, found = bank.root / ROUTER_FILE, {"mean": np.ones(1), "scatter": np.ones((1, 1)), "count": np.full(1, 4.0)}
    own = {"a": {f"features.ct@{part}": array.astype(np.float32) for part, array in found.items()}}
    for _ in range(2):
        write_routers(bank.root, own, bank.tell)
    assert [event.event for event in read_events(log.path)].count("router") == 1
    assert weights(bank, log) == []
    path.write_bytes(path.read_bytes().replace(b"4.0", b"5.0"))
    assert weights(bank, log) == ["broken"]
    write_routers(bank.root, own, bank.tell)
    assert weights(bank, log) == []
    remove_routers(bank.root, bank.tell)
    assert (path.exists(), weights(bank, log)) == (False, [])
    AuditLog(log.path).record("router", {"sha256": "ab"})
    assert weights(bank, log) == ["unfinished"]
    path.write_bytes(b"{}")
    assert weights(bank, log) == ["broken"]


def test_a_backbone_that_was_removed_and_is_there_again_is_broken(bank: AdapterBank, log: AuditLog) -> None:
    sha256 = bank.put_backbone({"w": np.zeros(1, np.float32)})
    path = backbone_path(bank.root, sha256)
    before = path.read_bytes()
    bank.remove_backbone(sha256)
    assert weights(bank, log) == []
    path.write_bytes(before)
    assert weights(bank, log) == ["unfinished"], "the last of its writer: it may have died before it was removed"
    add_version(bank, "a", 1.0)
    assert weights(bank, log) == ["broken"]


def test_a_version_without_its_backbone_is_broken(bank: AdapterBank, log: AuditLog) -> None:
    backbone_path(bank.root, bank.head("shared").backbone).unlink()
    assert weights(bank, log) == ["broken"]


def test_a_bank_that_is_gone_is_broken(bank: AdapterBank, log: AuditLog, tmp_path: Path) -> None:
    bank.root.rename(tmp_path / "elsewhere")
    assert weights(bank, log) == ["broken"]
