"""The network that answers for a scan, from a bank: the shared adapter, a center's, or what the router chooses."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from client.data.checks import Issue
from client.data.preprocessing import PreparedCase
from client.dicom.algorithm import Algorithm, program_version
from client.learning.routing import RoutedModels
from client.predict.contract import Answering
from client.scores.bank_evaluation import load_adapter
from fusion_models.model_row import ModelRow
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.trained_alone import entry_beside_shared

ROUTED = "routed"
NetworkFor = Callable[[PreparedCase], Answering]


def one_adapter(bank: AdapterBank, row: ModelRow, name: str, version: int | None, *, device: str) -> NetworkFor:
    """One adapter for every scan; the version in use where none is given.

    Raises:
        BankError: the bank lacks it, or it is damaged.
    """
    entry = bank.entry(name, version)
    model = load_adapter(bank, row, name, entry.version, device=device)
    algorithm = Algorithm(entry.reference, entry.sha256, bank.settings.study, program_version())
    answering = Answering(model, algorithm, facts_of(entry))
    return lambda _case: answering


def routed_adapters(bank: AdapterBank, row: ModelRow, *, device: str) -> NetworkFor:
    """For each scan the shared adapter and, beside it, what the bank's router weighs in.

    Raises:
        BankError: the bank has no router, or an adapter is damaged.
    """
    routed = RoutedModels(bank, row, device=device)

    def network_for(case: PreparedCase) -> Answering:
        model = routed.model_for(case)
        route = routed.routes[case.name]
        facts = _facts_of_route(bank, route)
        algorithm = Algorithm(ROUTED, facts["sha256"], bank.settings.study, program_version())
        return Answering(model, algorithm, facts, () if route["known"] else (_unknown(case.name),))

    return network_for


def facts_of(entry: Entry) -> dict[str, Any]:
    """What a record says of an adapter of the bank; `support` are the training cases behind its groups of tensors."""
    return {
        "name": entry.name,
        "version": entry.version,
        "reference": entry.reference,
        "sha256": entry.sha256,
        "backbone_sha256": entry.backbone,
        "center": entry.center,
        "stage": entry.stage,
        "server_round": entry.server_round,
        "support": dict(entry.support),
    }


def _facts_of_route(bank: AdapterBank, route: Mapping[str, Any]) -> dict[str, Any]:
    """The adapters of a route with their weights; the hash is that of their hashes and weights."""
    weights = {SHARED: 1.0, **route["weights"]}
    parts = [{**facts_of(entry_beside_shared(bank, name)), "weight": weight} for name, weight in weights.items()]
    told = [[part["reference"], part["sha256"], part["weight"]] for part in parts]
    sha256 = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return {
        "name": ROUTED,
        "version": None,
        "reference": ROUTED,
        "sha256": sha256,
        "backbone_sha256": parts[0]["backbone_sha256"],
        "parts": parts,
        "known": route["known"],
        "distance": route["distance"],
    }


def _unknown(case: str) -> Issue:
    message = (
        f"case '{case}': the router does not know scans like this one, so the shared adapter answers alone; read the "
        "result with more doubt"
    )
    return Issue("unknown-scan", case, message, "warning")
