"""`study.json` of a bank: its schema, the settings of the study it belongs to, and peft's configuration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.errors import BankError
from protocol.messages.settings import StudySettings
from protocol.storage.sealed_json import read_sealed

SCHEMA = 2
SETTINGS_FILE = "study.json"


def study_record(settings: StudySettings, adapter_config: Mapping[str, Any]) -> dict[str, Any]:
    """What the bank of a study says."""
    return {"schema": SCHEMA, "settings": settings.model_dump(mode="json"), "adapter_config": dict(adapter_config)}


def read_study_record(root: Path) -> dict[str, Any]:
    """What the bank at `root` says.

    Raises:
        BankError: the file is damaged, or the bank is of another schema.
    """
    study = read_sealed(root / SETTINGS_FILE)
    if (found := study.get("schema", 1)) != SCHEMA:
        raise BankError(
            f"{root} is an adapter bank of schema {found}, and this version of concilium reads schema {SCHEMA} only: "
            "tensors have other names there. Export its adapters with the version that wrote it, or run the study again"
        )
    return study


def refuse_other_study(root: Path, study: Mapping[str, Any]) -> None:
    """Refuse the bank at `root` where it says anything else than `study`.

    Raises:
        BankError: it does, or it is damaged.
    """
    found = read_study_record(root)
    if found != json.loads(json.dumps(study)):
        raise BankError(
            f"{root} holds the bank of study '{found['settings']['study']}' with other settings than study "
            f"'{study['settings']['study']}' now has ({_differences(found, study)}); choose another output directory"
        )


def _differences(found: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    pairs = {**now["settings"], "adapter_config": now["adapter_config"]}
    there = {**found["settings"], "adapter_config": found["adapter_config"]}
    return ", ".join(key for key in pairs if json.dumps(pairs[key]) != json.dumps(there.get(key))) or "other keys"
