"""A scan of an unknown center: the bank's router, asked with features of the frozen backbone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from client.cli.app import app
from client.data.preprocessing import PreparedCase
from client.data.synthetic import CENTERS, write_synthetic_cohort
from client.learning import routing
from client.learning.assembly import row_of
from client.learning.routing import RoutedModels
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import BankError
from server.study.directory import StudyDirectory
from strategies.bank.bank import AdapterBank
from strategies.bank.routing_file import read_routers, write_routers
from strategies.bank.trained_alone import TRAINED_ALONE
from strategies.continual.router import Route
from tests.support.small_study import STUDY, run, write_study

PERSONAL = """[strategy]
personal = ["center"]
router = true
[centers.center-a]"""


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients a center: with several training cases there is scatter to measure distances by."""
    folder = tmp_path_factory.mktemp("patients")
    few = [replace(center, patients=6) for center in CENTERS if center.name in {"center-a", "center-d"}]
    write_synthetic_cohort(folder, centers=few, seed=1)
    return folder


@pytest.fixture(scope="module")
def routed(patients: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    """The small study with center adapters that have moved, and prototypes."""
    folder = tmp_path_factory.mktemp("routed")
    text = STUDY.replace("[centers.center-a]", PERSONAL)
    text = text.replace("local_steps = 4", "local_steps = 4\nsettle_rounds = 1")
    return run(write_study(folder / "study.toml", text), patients, folder / "out")


def case_like(value: float) -> PreparedCase:
    image = np.full((16, 16, 16), value, dtype=np.float32)
    return PreparedCase(name=f"case-{value}", ct=image, pet=image)


def test_a_bank_has_a_router_for_each_set_of_images(routed: StudyDirectory) -> None:
    """Center-d has no PET: with CT alone both centers are known, with CT and PET only center-a."""
    routers = read_routers(routed.bank)
    assert {blocks: router.centers for blocks, router in routers.items()}["features.ct"] == ("center-a", "center-d")


def test_a_scan_like_no_center_is_served_the_shared_adapter_alone(routed: StudyDirectory) -> None:
    bank = AdapterBank(routed.bank)
    models = RoutedModels(bank, row_of(bank.settings), device="cpu")
    found = parameters_by_key(models.model_for(case_like(1e3)))
    assert models.routes["case-1000.0"]["known"] is False
    assert models.routes["case-1000.0"]["weights"] == {}
    own = [parameter for key, parameter in found.items() if key.endswith("#center_b")]
    assert not any(parameter.detach().any() for parameter in own), "no center's own adapter is at work"


def test_the_command_scores_each_case_with_its_route(routed: StudyDirectory, patients: Path) -> None:
    arguments = ["evaluate", "--bank", str(routed.bank), "--adapter", "routed", "--data", str(patients / "center-a")]
    outcome = CliRunner().invoke(app, [*arguments, "--modalities", "ct", "--json"])
    assert outcome.exit_code == 0, outcome.output
    table = json.loads(outcome.stdout)
    assert {row["case"] for row in table["cases"]} == set(table["routes"])
    for route in table["routes"].values():
        assert set(route) == {"weights", "distance", "known", "posterior"}
        assert sum(route["weights"].values()) <= 1 + 1e-6


def test_a_center_that_is_served_its_own_still_lends_what_belongs_to_the_shared_adapter(
    routed: StudyDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it trained alone has no center adapter: without its parent the route would lead nowhere."""
    router = SimpleNamespace(route=lambda _: Route({"center-a": 1.0}, distance=0.0, known=True, posterior={}))
    monkeypatch.setattr(routing, "read_routers", lambda _: {"features.ct+features.pet": router})
    shutil.copytree(routed.bank, tmp_path / "bank")
    bank = AdapterBank(tmp_path / "bank")
    before, shared = bank.head("center-a"), bank.head("shared")
    bank.add(
        "center-a",
        bank.tensors(shared),
        center="center-a",
        stage="alone-center-a",
        server_round=1,
        support={},
        backbone=shared.backbone,
        parent=before.reference,
        provenance=TRAINED_ALONE,
    )
    found = parameters_by_key(RoutedModels(bank, row_of(bank.settings), device="cpu").model_for(case_like(0.5)))
    expected = {key: array for key, array in bank.tensors(before).items() if key.endswith("#center_b")}
    assert any(array.any() for array in expected.values())
    assert all(np.array_equal(found[key].detach().numpy(), array) for key, array in expected.items())


def test_a_bank_without_prototypes_says_what_to_do(finished: StudyDirectory) -> None:
    bank = AdapterBank(finished.bank)
    with pytest.raises(BankError, match=r"no router.json; run the study with router = true"):
        RoutedModels(bank, row_of(bank.settings), device="cpu")


def test_prototypes_of_single_cases_make_no_router(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = {
        "a": {
            "features.ct@mean": np.zeros(2, np.float32),
            "features.ct@scatter": np.zeros((2, 2), np.float32),
            "features.ct@count": np.ones(1, np.float32),
        }
    }
    write_routers(tmp_path, own)
    assert "no router for scans with features.ct" in caplog.text
    assert not (tmp_path / "router.json").exists()
