"""Names, configuration and bytes as peft has them, and adapters that peft itself loads."""

import json
from collections import OrderedDict

import numpy as np
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from protocol.errors import BankError
from protocol.messages.settings import Adapter, Model, StudySettings
from protocol.messages.tensors import content_hash
from strategies.bank.bank import AdapterBank
from strategies.bank.peft_format import (
    adapter_config,
    config_bytes,
    config_for,
    from_peft,
    our_key,
    peft_key,
    read_tensors,
    tensor_bytes,
    to_peft,
)

SETTINGS = StudySettings(study="toy", seed=3, model=Model(name="tiny", options={"width": 4, "depths": (1, 2)}))
CONFIG = adapter_config(Adapter(rank=2, alpha=4), targets=["blocks.0.qkv"], modules_to_save=["pet_embedding"])
KEY = "blocks.0.qkv#lora_a"


class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.projection(x)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pet_embedding = Embedding()
        self.blocks = nn.ModuleList(
            [nn.Sequential(OrderedDict(qkv=nn.Linear(4, 12), act=nn.ReLU(), proj=nn.Linear(12, 4)))]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[0](self.pet_embedding(x))


def move(base: Tiny, config: peft.LoraConfig) -> peft.PeftModel:
    """A peft model none of whose exchanged tensors is at its initial value."""
    model = peft.get_peft_model(base, config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.rand(parameter.shape, generator=generator))
    return model


def test_modules_of_different_ranks_are_named_one_by_one():
    tensors = {KEY: np.zeros((2, 4), np.float32), "blocks.0.proj#lora_a": np.zeros((3, 12), np.float32)}
    assert config_for(tensors, CONFIG) == {**CONFIG, "r": 3, "rank_pattern": {"blocks.0.qkv": 2}}


def test_our_names_are_those_peft_writes():
    pairs = {
        "blocks.0.attn.qkv#lora_a": "base_model.model.blocks.0.attn.qkv.lora_A.weight",
        "blocks.0.attn.qkv#lora_b": "base_model.model.blocks.0.attn.qkv.lora_B.weight",
        "blocks.0.attn.qkv#magnitude": "base_model.model.blocks.0.attn.qkv.lora_magnitude_vector",
        "pet_embedding.projection.weight": "base_model.model.pet_embedding.projection.weight",
    }
    assert {key: peft_key(key) for key in pairs} == pairs
    assert {our_key(value): value for value in pairs.values()} == pairs


@given(st.lists(st.from_regex(r"[a-z]{1,5}(\.[0-9a-z]{1,5}){0,3}(#lora_a|#lora_b|#magnitude)?", fullmatch=True)))
def test_names_survive_the_way_to_peft_and_back(keys):
    tensors = {key: np.full((1,), position, np.float32) for position, key in enumerate(keys)}
    assert from_peft(to_peft(tensors)) == tensors


def test_names_outside_the_format_are_refused():
    with pytest.raises(BankError, match="role 'lora_c'"):
        peft_key("a#lora_c")
    with pytest.raises(BankError, match="not in peft's format"):
        our_key("model.a.lora_A.weight")


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_peft_itself_loads_an_exported_adapter_and_gives_identical_outputs(tmp_path, method):
    config = adapter_config(
        Adapter(method=method, rank=2, alpha=4),
        targets=["blocks.0.qkv", "blocks.0.proj"],
        modules_to_save=["pet_embedding"],
    )
    torch.manual_seed(0)
    base, x = Tiny(), torch.rand(5, 3)
    weights = {key: tensor.numpy().copy() for key, tensor in base.state_dict().items()}
    lora = {key: config[key] for key in ("r", "lora_alpha", "target_modules", "modules_to_save", "use_dora")}
    model = move(base, peft.LoraConfig(**lora)).eval()
    tensors = from_peft({key: value.numpy() for key, value in peft.get_peft_model_state_dict(model).items()})

    bank = AdapterBank.create(tmp_path / "bank", SETTINGS, config)
    backbone = bank.put_backbone(weights)
    bank.add("shared", tensors, center="", stage="adapt", server_round=1, backbone=backbone, support={"peft": 1})
    bank.export("shared", tmp_path / "out")

    fresh = Tiny()
    fresh.load_state_dict({key: torch.from_numpy(array) for key, array in bank.backbone(backbone).items()})
    plain = fresh(x)
    loaded = peft.PeftModel.from_pretrained(fresh, str(tmp_path / "out")).eval()
    assert torch.equal(loaded(x), model(x))
    assert not torch.equal(loaded(x), plain)


def test_an_adapter_of_another_rank_says_so_and_peft_loads_it(tmp_path):
    """Study rank 2, the center's 3, alpha 4 for both: its scale is 4 / 3 in peft too."""
    config = adapter_config(Adapter(method="dora", rank=2, alpha=4), targets=["blocks.0.qkv"], modules_to_save=[])
    torch.manual_seed(0)
    base, x = Tiny(), torch.rand(5, 3)
    weights = {key: tensor.numpy().copy() for key, tensor in base.state_dict().items()}
    model = move(base, peft.LoraConfig(r=3, lora_alpha=4, target_modules=["blocks.0.qkv"], use_dora=True)).eval()
    tensors = from_peft({key: value.numpy() for key, value in peft.get_peft_model_state_dict(model).items()})
    assert tensors[KEY].shape == (3, 4)

    bank = AdapterBank.create(tmp_path / "bank", SETTINGS, config)
    backbone = bank.put_backbone(weights)
    origin = {"center": "a", "stage": "s", "server_round": 1, "backbone": backbone, "support": {}}
    entry = bank.add("a", tensors, **origin)
    assert content_hash(bank.tensors(entry)) == entry.sha256
    written = bank.root / "adapters" / "a" / "0001" / "adapter_config.json"
    assert json.loads(written.read_text()) == {**config, "r": 3}

    bank.export("a", tmp_path / "out")
    fresh = Tiny()
    fresh.load_state_dict({key: torch.from_numpy(array) for key, array in weights.items()})
    assert torch.equal(peft.PeftModel.from_pretrained(fresh, str(tmp_path / "out")).eval()(x), model(x))

    written.write_bytes(config_bytes(config))
    with pytest.raises(BankError, match=r"adapter_config\.json differs"):
        bank.tensors(entry)


def test_a_file_holds_float32_and_nothing_else():
    tensors = {"b": np.ones((2, 1), np.float32), "a": np.zeros(3, np.float32)}
    assert content_hash(read_tensors(tensor_bytes(tensors), "x")) == content_hash(tensors)
    with pytest.raises(BankError, match="x is damaged and cannot be read"):
        read_tensors(b"no safetensors", "x")
