"""The bank of the small study before any training: a shared adapter, and a center's own."""

from pathlib import Path

from deploy.study.prepare import initial_state
from protocol.messages.tensors import BACKBONE
from server.study.file import read_study
from strategies.bank.bank import AdapterBank
from tests.support.small_study import STUDY, write_study


def write_bank(folder: Path, text: str = STUDY) -> AdapterBank:
    """A bank with "shared" in version 1, without a case behind its PET, and "center-a" in version 1."""
    folder.mkdir(parents=True, exist_ok=True)
    study = read_study(write_study(folder / "study.toml", text))
    specs, initial, config = initial_state(study)
    groups = {spec.key: spec.group for spec in specs}
    bank = AdapterBank.create(folder / "bank", study.settings, config)
    digest = bank.put_backbone({key: array for key, array in initial.items() if groups[key] == BACKBONE})
    tensors = {key: array for key, array in initial.items() if groups[key] != BACKBONE}
    for name, center, support in (("shared", "", {"peft": 9, "pet": 0}), ("center-a", "center-a", {"peft": 3})):
        bank.add(name, tensors, center=center, stage="adapt", server_round=1, backbone=digest, support=support)
    return bank
