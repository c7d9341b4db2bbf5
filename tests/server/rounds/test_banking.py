"""What enters the bank at the end of a stage, and what a rollback of the bank means for the next one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.rounds.banking import bank_stage, current_shared, sum_support
from server.study.history import History, RoundRecord
from strategies.bank.entry import Entry
from tests.support.entered_study import enter

RECORDS = (
    RoundRecord("adapt", 1, "a", support={"peft": 5}),
    RoundRecord("adapt", 1, "b", support={"peft": 2, "pet": 1}),
    RoundRecord("adapt", 2, "c", error="no-answer"),
)


def test_the_cases_behind_each_group_add_up() -> None:
    assert sum_support(RECORDS) == {"peft": 7, "pet": 1}


def test_the_shared_adapter_and_that_of_each_center_that_trained_are_added_once(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    state = replace(entered.state, history=History(rounds=RECORDS), server_round=2)
    entries = bank_stage(entered.bank, state, entered.builder, entered.prepared.study)
    assert [(entry.name, entry.center, dict(entry.support)) for entry in entries] == [
        ("shared", "", {"peft": 7, "pet": 1}),
        ("a", "a", {"peft": 5}),
        ("b", "b", {"peft": 2, "pet": 1}),
    ]
    again = bank_stage(entered.bank, state, entered.builder, entered.prepared.study)
    assert [entry.reference for entry in again] == [entry.reference for entry in entries]
    assert len(entered.bank.entries()) == 3


def test_a_rollback_takes_the_later_versions_residual_away(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    first, bank, groups = entered.state.shared, entered.bank, entered.prepared.groups
    second = {
        **{key: array + np.float32(0.5) for key, array in first.items()},
        "qkv#residual_a": np.ones((1, 4), np.float32),
        "qkv#residual_b": np.ones((4, 1), np.float32),
    }
    for number, tensors in ((1, first), (2, second)):
        bank.add(
            "shared",
            tensors,
            center="",
            stage=f"s{number}",
            server_round=number,
            backbone=entered.state.backbone_hash,
            support={},
        )
    state = replace(entered.state, shared=second)
    assert sorted(current_shared(bank, state, groups)) == sorted(second)
    bank.rollback("shared", 1)
    back = current_shared(bank, state, groups)
    assert sorted(back) == sorted(first)
    assert all(np.array_equal(back[key], first[key]) for key in first)


def test_the_bank_is_read_once_for_the_parents_of_all_centers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, read = enter(tmp_path), list[int]()
    entries = entered.bank.entries

    def count() -> tuple[Entry, ...]:
        read.append(1)
        return entries()

    monkeypatch.setattr(entered.bank, "entries", count)
    state = replace(entered.state, history=History(rounds=RECORDS), server_round=2)
    assert len(bank_stage(entered.bank, state, entered.builder, entered.prepared.study)) == 3
    assert len(read) == 1
