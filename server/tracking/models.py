"""The adapter bank as registered models: NAME.shared and NAME.<center>, a version for each version of the bank.

`champion` is the version in use, the bank's HEAD: `models:/NAME.shared@champion` is a folder in peft's format. A
version is known by its tags `bank` and `sha256`, so that none is registered twice, whoever registered it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.tracking.store import Store
from strategies.bank.entry import Entry

CHAMPION = "champion"
FOLDER = "adapters"


@dataclass
class _Known:
    """What the store has of one registered model: number by (reference, hash), and where `champion` points."""

    numbers: dict[tuple[str, str], str]
    champion: str


class Models:
    """The registered models of one study in one store."""

    def __init__(self, store: Store, study: str) -> None:
        self._store, self._study = store, study
        self._known: dict[str, _Known] = {}

    def forget(self) -> None:
        """After a failure nobody knows what arrived: ask the store again."""
        self._known.clear()

    def publish(self, run_id: str, entries: Sequence[Entry], head: Entry, folder: Path) -> None:
        """Register the entries of one adapter that are not registered yet, oldest first, and set the alias.

        Args:
            run_id: the run whose artifacts hold the adapter's files.
            entries: all versions of the adapter.
            head: the version in use.
            folder: the bank's folder of the adapter, a folder inside for each version.
        """
        model = model_name(self._study, head.name)
        if model not in self._known:
            self._known[model] = self._look_up(model, head.name)
        known = self._known[model]
        for entry in entries:
            if identity_of(entry) not in known.numbers:
                known.numbers[identity_of(entry)] = self._register(model, run_id, entry, folder)
        number = known.numbers[identity_of(head)]
        if known.champion != number:
            self._store.alias(model, CHAMPION, number)
            known.champion = number

    def _look_up(self, model: str, name: str) -> _Known:
        aliases = self._store.model(model, {"study": self._study, "adapter": name})
        found = self._store.versions(model)
        numbers = {(version.tags.get("bank", ""), version.tags.get("sha256", "")): version.number for version in found}
        return _Known(numbers, aliases.get(CHAMPION, ""))

    def _register(self, model: str, run_id: str, entry: Entry, folder: Path) -> str:
        version = f"{entry.version:04d}"
        self._store.upload(run_id, [folder / version], FOLDER)
        return self._store.add_version(model, run_id, f"{FOLDER}/{version}", _tags(entry)).number


def model_name(study: str, adapter: str) -> str:
    """The registered model of an adapter; MLflow allows no slash and no colon in it."""
    return re.sub(r"[/:]", "-", f"{study}.{adapter}")


def identity_of(entry: Entry) -> tuple[str, str]:
    """What a registered version is known by: its tags `bank` and `sha256`."""
    return entry.reference, entry.sha256


def _tags(entry: Entry) -> dict[str, str]:
    return {
        "bank": entry.reference,
        "sha256": entry.sha256,
        "stage": entry.stage,
        "round": str(entry.server_round),
        "backbone": entry.backbone,
    }
