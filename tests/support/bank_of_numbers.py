"""A bank whose adapters are one number each, on a backbone of one number."""

import tomllib
from pathlib import Path

import numpy as np

from protocol.messages.settings import StudySettings
from server.study.file import Study
from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.told import Tell, tell_nobody
from tests.support.light_study import STUDY

BACKBONE = {"w": np.ones(1, np.float32)}


def number_settings() -> StudySettings:
    return Study.model_validate(tomllib.loads(STUDY)).settings


def number_bank(root: Path, tell: Tell = tell_nobody) -> AdapterBank:
    """A bank with its backbone and no adapter."""
    bank = AdapterBank.create(root, number_settings(), {"peft_type": "LORA"}, tell)
    bank.put_backbone(BACKBONE)
    return bank


def add_version(bank: AdapterBank, name: str, number: float, stage: str = "adapt", server_round: int = 1) -> Entry:
    """A version of an adapter that is this number."""
    return bank.add(
        name,
        {"qkv#lora_a": np.full((2, 4), number, np.float32), "qkv#lora_b": np.full((4, 2), number, np.float32)},
        center="" if name == "shared" else name,
        stage=stage,
        server_round=server_round,
        backbone=bank.put_backbone(BACKBONE),
        support={"peft": 5},
    )
