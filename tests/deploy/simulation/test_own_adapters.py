"""A center that federation serves badly, in the small study: trained alone, judged by figures that are given."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from client.data.preprocessing import PreparedCase
from client.learning.assembly import row_of
from client.scores.bank_evaluation import load_adapter
from client.scores.scoring import Network
from client.scores.side_by_side import SideBySide, score_side_by_side
from client.tasks.contract import CenterTask
from deploy.simulation import local_only, own_adapters
from deploy.simulation.local_only import FOLDER, simulate_alone
from deploy.simulation.own_adapters import read_both, serve_better, validation_cases
from fusion_models.adapters.keys import parameters_by_key
from protocol.messages.scores import Comparison
from server.results.result import read_result
from server.results.service import read_services
from server.study.directory import StudyDirectory
from strategies.bank.bank import AdapterBank
from strategies.bank.trained_alone import TRAINED_ALONE

TESTS = {"center-a": None, "center-d": None}


def judge(
    first: Network, second: Network, task: CenterTask, cases: Sequence[PreparedCase], rng: np.random.Generator
) -> SideBySide:
    """What the one validation case says, but for center-d: 0.2 better by itself on four that nobody has."""
    found = score_side_by_side(first, second, task, cases, rng)
    return SideBySide(0.5, 0.7, Comparison(4, -0.2, 0.01)) if cases[0].pet is None else found


def refuse(*_: object) -> SideBySide:
    raise AssertionError("what was decided is not scored again")


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def study(
    finished: StudyDirectory, cohort: Path, tmp_path_factory: pytest.TempPathFactory, told: list[str]
) -> Iterator[StudyDirectory]:
    """A copy of the small study after its centers trained alone; its tracking store stays the original's."""
    directory = StudyDirectory(tmp_path_factory.mktemp("beside") / "out")
    shutil.copytree(finished.root, directory.root, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_adapters, "score_side_by_side", judge)
        patch.setattr(local_only, "replay", lambda root, _uri: told.append(str(root)))
        console = Console(quiet=True)
        told.append(simulate_alone(directory, cohort, engine="in-process", device="cpu", console=console))
        yield directory


def again(study: StudyDirectory, cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command once more, after the training."""
    monkeypatch.setattr(own_adapters, "score_side_by_side", refuse)
    rows = {row["center"]: row["test"] for row in (read_result(study.result) or {})["service"]}
    assert rows.keys() == TESTS.keys()
    kept = {service.center: service.test for service in read_services(study.service)}
    serve_better(study, StudyDirectory(study.root / FOLDER), cohort, kept, device="cpu")


def test_the_center_s_own_is_in_use_and_says_where_it_comes_from(
    study: StudyDirectory, finished: StudyDirectory
) -> None:
    bank, before, alone = (AdapterBank(root) for root in (study.bank, finished.bank, study.root / FOLDER / "bank"))
    own, federated = bank.head("center-d"), before.head("center-d")
    assert (own.provenance, own.parent, own.backbone) == (TRAINED_ALONE, federated.reference, federated.backbone)
    assert own.sha256 == alone.head("center-d").sha256 != federated.sha256
    assert [bank.head(name) for name in ("center-a", "shared")] == [before.head(n) for n in ("center-a", "shared")]
    row = row_of(bank.settings)
    served, trained = (
        parameters_by_key(load_adapter(found, row, "center-d", None, device="cpu")) for found in (bank, alone)
    )
    assert all(np.array_equal(served[key].detach(), trained[key].detach()) for key in trained)


def test_sentence_result_report_and_tracking_say_who_is_served_its_own(study: StudyDirectory, told: list[str]) -> None:
    sentence = told[1]
    assert told[0] == str(study.root)
    assert "Served its own from now on: center-d (federation changes by -0.2000 on 4 validation cases" in sentence
    assert sentence.endswith("Too few validation cases to decide: center-a.")
    first, second = (read_result(study.result) or {})["service"]
    assert (first["own"], first["better_alone"], first["validation"][0]["cases"]) == (False, False, 1)
    assert first["validation"][0]["difference"] == pytest.approx(
        first["validation"][0]["federated"] - first["validation"][0]["alone"]
    )
    assert "say nothing of their noise" in first["reason"]
    assert (second["own"], second["adapter"]) == (True, AdapterBank(study.bank).head("center-d").reference)
    assert second["test"]["difference"] == second["test"]["federated"] - second["test"]["alone"]
    assert "Federated, or trained alone" in study.report.read_text()


def test_cases_that_trained_either_network_judge_nothing(study: StudyDirectory, cohort: Path) -> None:
    both = read_both(study, StudyDirectory(study.root / FOLDER), "cpu")
    (case,) = validation_cases(both, "center-a", cohort)
    (split,) = (study.root / FOLDER / "centers" / "center-a").glob("split-*.json")
    kept = split.read_text()
    split.unlink()
    try:
        moved = json.loads(kept)
        moved["cases"][case.name], moved["patients"] = "train", {}
        del moved["seal"]
        split.write_text(json.dumps(moved))
        assert validation_cases(both, "center-a", cohort) == []
    finally:
        split.write_text(kept)


def test_a_repetition_scores_nothing_and_changes_nothing(
    study: StudyDirectory, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, entries = study.result.read_bytes(), AdapterBank(study.bank).entries()
    again(study, cohort, monkeypatch)
    assert (study.result.read_bytes(), AdapterBank(study.bank).entries()) == (before, entries)


def test_a_run_that_stopped_before_it_wrote_its_decision_goes_on_to_the_same(
    study: StudyDirectory, cohort: Path
) -> None:
    before, entries = study.service.read_bytes(), AdapterBank(study.bank).entries()
    kept = {service.center: service.test for service in read_services(study.service)}
    study.service.unlink()
    serve_better(study, StudyDirectory(study.root / FOLDER), cohort, kept, device="cpu")
    assert (study.service.read_bytes(), AdapterBank(study.bank).entries()) == (before, entries)


def test_a_rollback_by_hand_stands_and_is_told(
    study: StudyDirectory, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = AdapterBank(study.bank)
    own = bank.head("center-d")
    federated = bank.rollback("center-d", own.version - 1)
    again(study, cohort, monkeypatch)
    assert AdapterBank(study.bank).head("center-d") == federated
    _, found = read_services(study.service)
    assert (found.better_alone, found.own, found.adapter) == (True, False, federated.reference)
    assert "federated, by a rollback" in study.report.read_text()
    bank.rollback("center-d", own.version)
    again(study, cohort, monkeypatch)
    assert read_services(study.service)[1].own
