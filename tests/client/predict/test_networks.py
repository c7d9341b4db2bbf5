"""What answers for a scan: an adapter of the bank, or what its router chooses, each told apart by a hash."""

from typing import Any

import numpy as np
import pytest

from client.data.preprocessing import PreparedCase
from client.learning.assembly import row_of
from client.predict import networks
from client.predict.networks import one_adapter, routed_adapters
from protocol.errors import BankError
from strategies.bank.bank import AdapterBank
from tests.support.small_bank import write_bank
from tests.support.threshold_network import Threshold

CASE = PreparedCase("a", np.zeros((4, 4, 4), np.float32))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> AdapterBank:
    return write_bank(tmp_path_factory.mktemp("bank"))


@pytest.mark.parametrize("name", ["shared", "center-a"])
def test_an_adapter_is_told_by_name_version_and_hash(bank: AdapterBank, name: str) -> None:
    found = one_adapter(bank, row_of(bank.settings), name, None, device="cpu")(CASE)
    entry = bank.head(name)
    assert (found.algorithm.adapter, found.algorithm.sha256) == (f"{name}/0001", entry.sha256)
    assert found.facts["backbone_sha256"] == entry.backbone
    assert (found.algorithm.study, found.issues) == ("small", ())


def test_an_adapter_or_version_that_is_not_there_is_refused(bank: AdapterBank) -> None:
    with pytest.raises(BankError, match="no adapter 'center-z'"):
        one_adapter(bank, row_of(bank.settings), "center-z", None, device="cpu")
    with pytest.raises(BankError, match="no version 7"):
        one_adapter(bank, row_of(bank.settings), "shared", 7, device="cpu")


def routed(bank: AdapterBank, monkeypatch: pytest.MonkeyPatch, route: dict[str, Any]) -> Any:
    """What is told of a scan on this route."""

    class Routed:
        def __init__(self, *_: object, **__: object) -> None:
            self.routes = {"a": route}

        def model_for(self, _case: PreparedCase) -> Threshold:
            return Threshold()

    monkeypatch.setattr(networks, "RoutedModels", Routed)
    return routed_adapters(bank, row_of(bank.settings), device="cpu")(CASE)


def test_a_route_is_told_by_its_adapters_and_their_weights(bank: AdapterBank, monkeypatch: pytest.MonkeyPatch) -> None:
    route = {"weights": {"center-a": 0.8}, "known": True, "distance": 1.0}
    found, other = (routed(bank, monkeypatch, {**route, "weights": {"center-a": weight}}) for weight in (0.8, 0.7))
    assert [(part["reference"], part["weight"]) for part in found.facts["parts"]] == [
        ("shared/0001", 1.0),
        ("center-a/0001", 0.8),
    ]
    assert (found.algorithm.adapter, found.issues) == ("routed", ())
    assert found.algorithm.sha256 == found.facts["sha256"] != other.facts["sha256"]


def test_a_scan_that_the_router_does_not_know_is_told(bank: AdapterBank, monkeypatch: pytest.MonkeyPatch) -> None:
    found = routed(bank, monkeypatch, {"weights": {}, "known": False, "distance": None})
    assert [part["name"] for part in found.facts["parts"]] == ["shared"]
    assert [issue.code for issue in found.issues] == ["unknown-scan"]


def test_a_bank_without_a_router_routes_nothing(bank: AdapterBank) -> None:
    with pytest.raises(BankError):
        routed_adapters(bank, row_of(bank.settings), device="cpu")
