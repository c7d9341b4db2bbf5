"""A center's own adapter in the bank of its federated study."""

from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BankError
from protocol.messages.settings import Adapter, Model, StudySettings
from strategies.bank.bank import AdapterBank
from strategies.bank.peft_format import adapter_config
from strategies.bank.trained_alone import TRAINED_ALONE, adopt, entry_beside_shared, entry_in_use


def bank_of(root: Path, value: float, names: tuple[str, ...], *, backbone: float = 0) -> AdapterBank:
    """A bank whose adapters all hold `value`."""
    settings = StudySettings(study=root.name, seed=0, model=Model(name="tiny"))
    bank = AdapterBank.create(root, settings, adapter_config(Adapter(), targets=["qkv"], modules_to_save=[]))
    digest = bank.put_backbone({"w": np.full(3, backbone, np.float32)})
    tensors = {"qkv#lora_a": np.full((8, 4), value, np.float32)}
    for name in names:
        center = "" if name == "shared" else name
        bank.add(
            name, tensors, center=center, stage=f"of-{root.name}", server_round=7, backbone=digest, support={"peft": 5}
        )
    return bank


@pytest.fixture
def alone(tmp_path: Path) -> AdapterBank:
    return bank_of(tmp_path / "alone", 2, ("shared", "mda", "late"))


@pytest.fixture
def federated(tmp_path: Path) -> AdapterBank:
    return bank_of(tmp_path / "federated", 1, ("shared", "mda"))


def test_it_is_a_new_version_in_use_that_says_where_it_comes_from(federated: AdapterBank, alone: AdapterBank) -> None:
    adopted = adopt(federated, "mda", alone)
    assert federated.head("mda") == adopted
    assert (adopted.reference, adopted.parent, adopted.stage) == ("mda/0002", "mda/0001", "of-alone")
    assert (adopted.provenance, adopted.sha256) == (TRAINED_ALONE, alone.head("mda").sha256)
    assert adopted.backbone == federated.head("shared").backbone
    assert adopted.support == {"peft": 5}
    assert federated.tensors(adopted)["qkv#lora_a"][0, 0] == 2
    assert federated.rollback("mda", 1).provenance == ""


def test_adopting_it_again_makes_no_second_version(federated: AdapterBank, alone: AdapterBank) -> None:
    assert adopt(federated, "mda", alone) == adopt(federated, "mda", alone)
    assert [entry.reference for entry in federated.entries()] == ["mda/0001", "mda/0002", "shared/0001"]


def test_a_center_without_a_version_goes_on_from_the_shared_one(federated: AdapterBank, alone: AdapterBank) -> None:
    assert entry_in_use(federated, "late").reference == "shared/0001"
    assert adopt(federated, "late", alone).parent == "shared/0001"
    assert entry_in_use(federated, "late").reference == "late/0001"


def test_a_router_goes_on_with_what_belongs_to_the_shared_adapter(federated: AdapterBank, alone: AdapterBank) -> None:
    assert entry_beside_shared(federated, "mda").reference == "mda/0001"
    adopt(federated, "mda", alone)
    adopt(federated, "late", alone)
    found = [entry_beside_shared(federated, name).reference for name in ("mda", "late", "shared")]
    assert found == ["mda/0001", "shared/0001", "shared/0001"]


def test_another_backbone_is_refused_and_nothing_changes(federated: AdapterBank, tmp_path: Path) -> None:
    other = bank_of(tmp_path / "other", 2, ("shared", "mda"), backbone=1)
    federated.put_backbone({"w": np.ones(3, np.float32)})
    with pytest.raises(BankError, match=r"adapter 'mda' of .*other stands on backbone .*; move .* away and train"):
        adopt(federated, "mda", other)
    assert federated.head("mda").reference == "mda/0001"
