"""Versions, pointers and seals of the bank."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BankError, StorageError
from protocol.messages.settings import Adapter, Model, StudySettings
from protocol.messages.tensors import content_hash
from protocol.storage.sealed_json import read_sealed, seal
from strategies.bank.bank import AdapterBank
from strategies.bank.peft_format import adapter_config, config_bytes

SETTINGS = StudySettings(study="toy", seed=3, model=Model(name="tiny", options={"width": 4, "depths": (1, 2)}))
CONFIG = adapter_config(Adapter(rank=2, alpha=4), targets=["blocks.0.qkv"], modules_to_save=["pet_embedding"])
KEY = "blocks.0.qkv#lora_a"


def adapter(value: float) -> dict[str, np.ndarray]:
    return {KEY: np.full((2, 4), value, np.float32), "pet_embedding.weight": np.full((3,), value, np.float32)}


@pytest.fixture
def bank(tmp_path) -> AdapterBank:
    bank = AdapterBank.create(tmp_path / "bank", SETTINGS, CONFIG)
    bank.put_backbone({"w": np.arange(4, dtype=np.float32)})
    return bank


def backbone_of(bank: AdapterBank) -> str:
    return content_hash({"w": np.arange(4, dtype=np.float32)})


def add(bank: AdapterBank, value: float, server_round: int, name: str = "shared", parent: str | None = None):
    return bank.add(
        name,
        adapter(value),
        center="",
        stage="adapt",
        server_round=server_round,
        backbone=backbone_of(bank),
        support={"pet": 3, "peft": 5},
        parent=parent,
    )


def test_an_entry_says_what_it_is_and_gives_its_tensors_back(bank):
    first = add(bank, 1.0, 1)
    second = add(bank, 2.0, 2, parent=first.reference)
    assert (first.version, second.version, second.parent) == (1, 2, "shared/0001")
    assert (second.tensor_count, second.tensor_bytes) == (2, 4 * (8 + 3))
    assert second.support == {"pet": 3, "peft": 5}
    reopened = AdapterBank(bank.root)
    assert reopened.settings == SETTINGS
    assert reopened.head("shared") == second
    assert reopened.entries() == (first, second)
    assert content_hash(reopened.tensors(second)) == content_hash(adapter(2.0)) == second.sha256


def test_the_same_run_writes_the_same_bytes_twice(tmp_path):
    for run in ("one", "two"):
        add_to = AdapterBank.create(tmp_path / run, SETTINGS, CONFIG)
        add_to.put_backbone({"w": np.arange(4, dtype=np.float32)})
        add(add_to, 1.0, 1)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 6
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def test_a_repeated_round_is_not_a_second_version(bank):
    first = add(bank, 1.0, 1)
    assert add(bank, 1.0, 1) == first
    assert add(bank, 1.0, 2).version == 2
    assert add(bank, 1.5, 2).version == 3


def test_creating_again_opens_the_same_bank_and_refuses_another_study(bank):
    add(bank, 1.0, 1)
    (bank.root / "adapters" / ".left.part").mkdir()
    assert len(AdapterBank.create(bank.root, SETTINGS, CONFIG).entries()) == 1
    assert not (bank.root / "adapters" / ".left.part").exists()
    with pytest.raises(BankError, match=r"other settings.*\(seed\)"):
        AdapterBank.create(bank.root, SETTINGS.model_copy(update={"seed": 4}), CONFIG)


def test_a_rollback_moves_the_pointer_and_keeps_every_version(bank):
    first, _ = add(bank, 1.0, 1), add(bank, 2.0, 2)
    bank.rollback("shared", 1)
    assert bank.head("shared") == first
    assert [entry.version for entry in bank.entries()] == [1, 2]
    with pytest.raises(BankError, match=r"no version 7 .*\[1, 2\]"):
        bank.rollback("shared", 7)


def test_a_crash_before_the_pointer_leaves_the_old_one_valid(bank, monkeypatch):
    add(bank, 1.0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(AdapterBank, "_set_head", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            add(bank, 2.0, 2)
    assert bank.head("shared").version == 1
    again = add(bank, 2.0, 2)
    assert (again.version, bank.head("shared")) == (2, again)


def test_a_center_without_adapters_still_names_its_backbone(bank):
    entry = bank.add(
        "center-a", {}, center="center-a", stage="full", server_round=1, backbone=backbone_of(bank), support={}
    )
    assert bank.tensors(entry) == {}
    assert bank.backbone(entry.backbone)["w"].tolist() == [0, 1, 2, 3]


def test_a_backbone_is_kept_once_and_must_be_there(bank):
    weights = {"w": np.arange(4, dtype=np.float32)}
    assert bank.put_backbone(weights) == bank.put_backbone(weights)
    assert len(list((bank.root / "backbones").iterdir())) == 1
    missing = "0" * 64
    with pytest.raises(BankError, match=f"backbone {missing} is not in the bank"):
        bank.add("shared", {}, center="", stage="s", server_round=1, backbone=missing, support={})
    with pytest.raises(BankError, match="cannot be read"):
        bank.backbone(missing)


@pytest.mark.parametrize("name", ["../etc", "a/b", "", ".hidden", "a" * 65, "ü", "a\n"])
def test_a_name_cannot_leave_the_bank(bank, name):
    with pytest.raises(BankError, match="not an adapter's name"):
        add(bank, 1.0, 1, name=name)
    with pytest.raises(BankError, match="not an adapter's name"):
        bank.head(name)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "entry.json", "../HEAD"])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_one_flipped_bit_is_noticed(bank, file, share):
    add(bank, 1.0, 1)
    path = bank.root / "adapters" / "shared" / "0001" / file
    flip(path, int(share * (path.stat().st_size - 2)))
    with pytest.raises(BankError):
        bank.tensors(bank.head("shared"))


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "entry.json"])
def test_a_missing_file_is_noticed(bank, file):
    entry = add(bank, 1.0, 1)
    (bank.root / "adapters" / "shared" / "0001" / file).unlink()
    with pytest.raises(BankError, match=file):
        bank.tensors(bank.entry("shared", entry.version))


def test_a_damaged_backbone_names_both_hashes_and_is_healed_by_putting_it_again(bank):
    sha256 = backbone_of(bank)
    flip(bank.root / "backbones" / f"{sha256}.safetensors", -1)
    with pytest.raises(BankError, match=f"found [0-9a-f]{{64}}, expected {sha256}"):
        bank.backbone(sha256)
    bank.put_backbone({"w": np.arange(4, dtype=np.float32)})
    assert bank.backbone(sha256)["w"].tolist() == [0, 1, 2, 3]


def test_no_bank_and_no_adapter_say_what_to_do(bank, tmp_path):
    with pytest.raises(BankError, match=r"no adapter bank at .*elsewhere"):
        AdapterBank(tmp_path / "elsewhere")
    with pytest.raises(BankError, match="has no adapter 'center-z'; it holds: none"):
        bank.head("center-z")
    (bank.root / "study.json").write_text("{}")
    with pytest.raises(BankError, match=r"study\.json is damaged"):
        AdapterBank(bank.root)


def test_a_disk_that_fills_leaves_the_bank_as_it_was(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    try:
        bank = AdapterBank.create(disk / "bank", SETTINGS, CONFIG)
        bank.put_backbone({"w": np.arange(4, dtype=np.float32)})
        before = add(bank, 1.0, 1)
        with pytest.raises(StorageError, match=r"No space left.*the previous version is untouched"):
            bank.add(
                "shared",
                {KEY: np.zeros((2, 200_000), np.float32)},
                center="",
                stage="adapt",
                server_round=2,
                backbone=backbone_of(bank),
                support={},
            )
        reopened = AdapterBank(disk / "bank")
        assert reopened.entries() == (before,)
        assert content_hash(reopened.tensors(reopened.head("shared"))) == content_hash(adapter(1.0))
        assert list(bank.root.rglob(".*.part")) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_adapter_of_the_study_s_rank_has_the_study_s_configuration(bank):
    entries = [
        add(bank, 1.0, 1),
        bank.add("b", {}, center="b", stage="s", server_round=1, support={}, backbone=backbone_of(bank)),
    ]
    for entry in entries:
        path = bank.root / "adapters" / entry.name / "0001" / "adapter_config.json"
        assert path.read_bytes() == config_bytes(CONFIG)


def test_an_export_carries_the_backbone_and_never_overwrites(bank, tmp_path):
    add(bank, 1.0, 1)
    add(bank, 2.0, 2)
    assert bank.export("shared", tmp_path / "out", version=1).version == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "backbone.safetensors",
        "entry.json",
        "study.json",
    ]
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["r"] == 2
    with pytest.raises(StorageError, match="not empty"):
        bank.export("shared", tmp_path / "out")


@pytest.mark.parametrize("schema", [None, 1, 3])
def test_a_bank_of_another_schema_is_refused_with_what_to_do(bank, schema):
    """Banks without a schema are of the first one, in which a residual's folder had another name."""
    add(bank, 1.0, 1)
    path = bank.root / "study.json"
    study = {key: value for key, value in read_sealed(path).items() if key != "schema"}
    path.write_bytes(seal(study if schema is None else {**study, "schema": schema}))
    for opened in (lambda: AdapterBank(bank.root), lambda: AdapterBank.create(bank.root, SETTINGS, CONFIG)):
        with pytest.raises(
            BankError, match=rf"is an adapter bank of schema {schema or 1}, .* reads schema 2 only.*run"
        ):
            opened()
