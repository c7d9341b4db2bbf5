"""A finished study on disk as a card is made of it: a bank without torch, and the result written by hand."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from protocol.messages.audit import Attack, Audit, Share
from protocol.messages.settings import Adapter, Model, StudySettings
from protocol.storage.sealed_json import seal
from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.peft_format import adapter_config
from tests.support.example_result import example_result

CONFIG = adapter_config(Adapter(rank=2, alpha=4), targets=["blocks.0.qkv"], modules_to_save=["pet_embedding"])


def carded_result(**changes: Any) -> dict[str, Any]:
    """The example, with what a card looks at beside it."""
    strategy = {"gate": {"tolerance": 0.01, "confidence": 0.9, "liars": 1 / 3}, "personal": []}
    found = deepcopy(example_result())
    # The example's rounds hold no support: every center sent what its stage trains, center-d no PET.
    for row in found["rounds"]:
        stage = next(stage for stage in found["stages"] if stage["name"] == row["stage"])
        row["support"] = {group: 6 for group in stage["trained_groups"] if not row["error"]}
    more = {"strategy": {**strategy, "aggregation": {"scheme": "alt-exact"}}, "rollbacks": [], "service": []}
    gates = [{**gate, "kept": [], "branches": []} for gate in found["gates"] if gate["stage"] in ("arrive-d",)]
    return {**found, **more, "gates": gates, **changes}


def withheld_result(setting: str) -> dict[str, Any]:
    """The same where every center holds back all figures of a setting after the last stage, so that no case is told."""
    found = carded_result()
    matrix = found["matrices"][setting]
    centers = len(matrix["centers"])
    for name in ("dice", "hd95_mm"):
        matrix[name][2] = [None] * centers
        matrix.setdefault("suppressed", {})[name] = [[row == 2] * centers for row in range(3)]
    matrix["cases"][2] = [0] * centers
    return found


def write_carded(root: Path, result: dict[str, Any] | None = None) -> Entry:
    """A bank with "shared" in two versions, of stages adapt and arrive-d, and the result; returns the second one."""
    settings = StudySettings(study="demo", seed=7, model=Model(name="tiny"))
    bank = AdapterBank.create(root / "bank", settings, CONFIG)
    backbone = bank.put_backbone({"w": np.arange(4, dtype=np.float32)})
    entry, parent = None, None
    for stage, number, value in (("adapt", 9, 1.0), ("arrive-d", 12, 2.0)):
        tensors = {"blocks.0.qkv#lora_a": np.full((2, 4), value, np.float32)}
        whose = {"center": "", "stage": stage, "server_round": number, "backbone": backbone, "support": {"peft": 12}}
        entry = bank.add("shared", tensors, parent=parent, **whose)  # type: ignore[arg-type]
        parent = entry.reference
    assert entry is not None
    (root / "result.json").write_bytes(seal(result or carded_result()))
    return entry


def audit_of(entry: Entry, **changes: Any) -> Audit:
    told, mistaken = Share(found=3, of=7, low=0.1, high=0.82), Share(found=0, of=5, low=0, high=0.53)
    counts: dict[str, Any] = {"members": 7, "others": 5, "undefined": 0}
    attack = Attack(
        attack="loss-threshold",
        **counts,
        auc=0.8,
        auc_low=0.55,
        auc_high=0.97,
        one_percent=False,
        told=told,
        mistaken=mistaken,
    )
    found: dict[str, Any] = {
        "center": "center-a",
        "study": "demo",
        "reference": entry.reference,
        "adapter_sha256": entry.sha256,
        "backbone_sha256": entry.backbone,
        "task": "segmentation",
        "shadows": 8,
        "steps": 40,
        "private": False,
        "attacks": (attack,),
    }
    return Audit(**found | changes)


def spent_by(center: str | None, *studies: str) -> dict[str, Any]:
    """What a center prints of its ledger: 2.5 of a promised 3 at delta 1e-5."""
    return {
        "center": center,
        "studies": studies or ("demo",),
        "spent": [{"delta": 1e-5, "epsilon": 2.5, "promised": 3.0, "left": 0.5}],
        "by_kind": {"training": {"entries": 4, "without_mechanism": 0}},
        "curve": [{"entries": 4, "epsilon": 2.5}],
    }
