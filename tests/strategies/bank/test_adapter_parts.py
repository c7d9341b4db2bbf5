"""What an adapter has beside peft's first one, as files."""

import json

import numpy as np
import pytest

from protocol.errors import BankError
from protocol.messages.settings import Adapter
from protocol.messages.tensors import content_hash
from strategies.bank.adapter_parts import default_part, part_files, read_parts
from strategies.bank.peft_format import adapter_config

CONFIG = adapter_config(Adapter(method="dora", rank=2, alpha=4), targets=["m", "n"], modules_to_save=["pet"])
OWN = {
    "m#center_a": np.full((1, 4), 1, np.float32),
    "m#center_b": np.full((3, 1), 2, np.float32),
    "m#residual_a": np.full((5, 4), 3, np.float32),
    "m#residual_b": np.full((3, 5), 4, np.float32),
    "n#residual_a": np.full((2, 4), 5, np.float32),
    "n#residual_b": np.full((3, 2), 6, np.float32),
    "norm#norm_weight": np.full((4,), 7, np.float32),
}
FIRST = {"m#lora_a": np.zeros((2, 4), np.float32), "pet.weight": np.zeros(3, np.float32)}


def test_parts_are_told_from_the_first_adapter() -> None:
    assert set(default_part({**FIRST, **OWN})) == set(FIRST)


def test_parts_come_back_from_their_files() -> None:
    files = part_files({**FIRST, **OWN}, CONFIG)
    assert sorted(files) == [
        "center/adapter_config.json",
        "center/adapter_model.safetensors",
        "norms.safetensors",
        "residual/adapter_config.json",
        "residual/adapter_model.safetensors",
    ]
    assert content_hash(read_parts(files, "bank")) == content_hash(OWN)


def test_a_part_is_plain_lora_of_scale_one_at_every_rank() -> None:
    """Residuals of rank 5 and 2: alpha is the rank, module by module."""
    config = json.loads(part_files(OWN, CONFIG)["residual/adapter_config.json"])
    assert (config["r"], config["lora_alpha"], config["use_dora"]) == (5, 5, False)
    assert config["rank_pattern"] == config["alpha_pattern"] == {"n": 2}
    assert (config["target_modules"], config["modules_to_save"]) == (["m", "n"], None)


def test_what_has_no_part_has_no_files() -> None:
    assert part_files(FIRST, CONFIG) == {}
    assert read_parts({}, "bank") == {}


def test_a_damaged_part_is_named() -> None:
    with pytest.raises(BankError, match=r"bank/center/adapter_model\.safetensors is damaged"):
        read_parts({"center/adapter_model.safetensors": b"no"}, "bank")
