"""A whole federated continual study on synthetic centers, and what it must leave behind."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient
from peft import PeftModel

from client.learning.assembly import assemble, build, row_of
from client.scores.bank_evaluation import evaluate_cases, evaluation_table, load_adapter, scan_folder
from client.scores.score_rows import read_rows
from deploy.simulation.local import simulate
from protocol.errors import CaseError, QuorumError, StudyError
from server.study import checkpoint as checkpoints
from server.study.directory import StudyDirectory, read_prepared
from strategies.bank.bank import AdapterBank
from tests.support.small_study import STUDY, run, write_study

Result = Mapping[str, Any]


@pytest.fixture(scope="module")
def result(finished: StudyDirectory) -> Result:
    loaded: Result = json.loads(finished.result.read_text())
    return loaded


def test_every_output_is_there(finished: StudyDirectory) -> None:
    pages = [finished.root / "centers" / center / "report.html" for center in ("center-a", "center-d")]
    for path in (finished.result, finished.report, finished.matrix, finished.root / "mlflow.db", *pages):
        assert path.stat().st_size > 0, path


def test_the_matrix_has_a_row_per_stage_and_no_pet_at_a_center_without_pet(result: Result) -> None:
    matrix = result["matrices"]["ct+pet"]
    assert (matrix["stages"], matrix["centers"]) == (["pretrain", "adapt", "arrive"], ["center-a", "center-d"])
    assert [row[1] for row in matrix["dice"]] == [None, None, None]
    assert all(0 <= row[0] <= 1 for row in matrix["dice"])
    assert all(0 <= value <= 1 for row in result["matrices"]["ct"]["dice"] for value in row)


def test_every_center_answered_every_round_it_was_asked(result: Result) -> None:
    asked = [(record["stage"], record["server_round"], record["center"]) for record in result["rounds"]]
    assert asked == [
        ("pretrain", 1, "center-a"),
        ("pretrain", 1, "center-d"),
        ("pretrain", 2, "center-a"),
        ("pretrain", 2, "center-d"),
        ("adapt", 3, "center-a"),
        ("adapt", 3, "center-d"),
        ("adapt", 4, "center-a"),
        ("adapt", 4, "center-d"),
        ("arrive", 5, "center-d"),
    ]
    assert [record["error"] for record in result["rounds"]] == [""] * 9


def test_a_center_without_pet_sends_no_pathway_and_nobody_a_frozen_factor(
    finished: StudyDirectory, result: Result
) -> None:
    """Round 3 trains B and magnitudes, round 4 A: center-a sends the pathway beside them, four bytes a parameter."""
    sizes = {"pet": result["parameters"]["pet"] + result["parameters"]["fusion"]}
    for spec in read_prepared(finished.root).specs:
        role = spec.key.partition("#")[2]
        sizes[role] = sizes.get(role, 0) + int(np.prod(spec.shape))
    up = {(row["server_round"], row["center"]): row["bytes_up"] for row in result["rounds"] if row["stage"] == "adapt"}
    phase_b, phase_a = sizes["lora_b"] + sizes["magnitude"], sizes["lora_a"]
    assert up == {
        (3, "center-a"): 4 * (sizes["pet"] + phase_b),
        (3, "center-d"): 4 * phase_b,
        (4, "center-a"): 4 * (sizes["pet"] + phase_a),
        (4, "center-d"): 4 * phase_a,
    }


def test_the_backbone_is_sent_once_and_stays_as_it_was_frozen(finished: StudyDirectory, result: Result) -> None:
    sizes = result["parameters"]
    down = [record["bytes_down"] for record in result["rounds"] if record["center"] == "center-a"]
    fresh = 4 * (sizes["pet"] + sizes["fusion"] + sizes["peft"])
    magnitudes = [spec for spec in read_prepared(finished.root).specs if spec.key.endswith("#magnitude")]
    fresh -= 4 * sum(int(np.prod(spec.shape)) for spec in magnitudes)
    assert down[:2] == [4 * sizes["backbone"]] * 2
    assert down[2] == fresh
    assert {entry["backbone"] for entry in result["bank"]} == {result["backbone"]}


def test_a_center_without_pet_never_moves_a_pet_tensor(finished: StudyDirectory) -> None:
    bank = AdapterBank(finished.bank)
    shared, own = bank.tensors(bank.entry("shared", 2)), bank.tensors(bank.entry("center-a", 1))
    for key, array in shared.items():
        if key.startswith("pet_"):
            np.testing.assert_array_equal(array, own[key])


def test_arriving_trains_only_adapters(finished: StudyDirectory) -> None:
    bank = AdapterBank(finished.bank)
    before, after = (bank.tensors(bank.entry("shared", version)) for version in (2, 3))
    moved = {key for key in after if not np.array_equal(before[key], after[key])}
    assert moved
    assert all("#" in key for key in moved)


def test_the_bank_names_each_version_by_stage_and_parent(finished: StudyDirectory) -> None:
    entries = {e.reference: (e.stage, e.server_round, e.parent) for e in AdapterBank(finished.bank).entries()}
    assert entries["shared/0003"] == ("arrive", 5, "shared/0002")
    assert entries["center-a/0001"] == ("adapt", 4, "shared/0001")
    assert entries["center-d/0002"] == ("arrive", 5, "center-d/0001")
    assert len(entries) == 6


def test_the_bank_counts_pet_cases_only_where_there_is_pet(finished: StudyDirectory) -> None:
    support = {entry.reference: dict(entry.support) for entry in AdapterBank(finished.bank).entries()}
    assert support["center-d/0001"] == {"peft": 1}
    assert support["shared/0002"]["pet"] == 1
    assert support["shared/0002"]["peft"] == 2


def test_an_exported_adapter_loads_with_peft_alone(finished: StudyDirectory, tmp_path: Path) -> None:
    bank = AdapterBank(finished.bank)
    entry = bank.export("shared", tmp_path / "exported")
    backbone, tensors = bank.backbone(entry.backbone), bank.tensors(entry)
    ours = assemble(bank.settings, row_of(bank.settings), backbone, tensors).eval()
    bare = build(bank.settings, row_of(bank.settings))
    bare.load_state_dict({key: torch.from_numpy(array) for key, array in backbone.items()}, strict=False)
    theirs = PeftModel.from_pretrained(bare, str(tmp_path / "exported")).eval()
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs(image, image), ours(image, image))


def test_mlflow_holds_a_parent_run_and_one_for_each_center(finished: StudyDirectory, result: Result) -> None:
    client = MlflowClient(f"sqlite:///{finished.root / 'mlflow.db'}")
    names = {found.experiment_id: found.name for found in client.search_experiments() if found.name != "Default"}
    runs = {run.info.run_name: run for run in client.search_runs(list(names))}
    assert {name: names[run.info.experiment_id] for name, run in runs.items()} == {
        "A small synthetic study": "small",
        "shared": "small/shared",
        "center-a": "small/center-a",
        "center-d": "small/center-d",
    }
    parent = runs["A small synthetic study"]
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in ("center-a", "center-d")} == {parent.info.run_id}
    assert parent.data.tags["backbone_hash"] == result["backbone"]
    history = client.get_metric_history(runs["center-a"].info.run_id, "validation/dice/ct")
    assert [metric.step for metric in history] == [1, 2, 3, 4]
    assert {artifact.path for artifact in client.list_artifacts(parent.info.run_id)} == {
        "evaluation_matrix.json",
        "report.html",
        "result.json",
    }


def test_each_version_of_the_bank_is_a_version_of_a_registered_model(finished: StudyDirectory) -> None:
    client, bank = MlflowClient(f"sqlite:///{finished.root / 'mlflow.db'}"), AdapterBank(finished.bank)
    registered = {(found.name, found.tags["bank"]) for found in client.search_model_versions()}
    assert registered == {(f"small.{entry.name}", entry.reference) for entry in bank.entries()}
    champions = {name: client.get_model_version_by_alias(f"small.{name}", "champion") for name in bank.names()}
    assert {name: found.tags["bank"] for name, found in champions.items()} == {
        name: bank.head(name).reference for name in bank.names()
    }


def test_no_case_name_reaches_the_coordinator(finished: StudyDirectory) -> None:
    """Case names of the cohort start with "synthetic-center-"; nothing outside the centers' homes holds one."""
    own = finished.root / "centers"
    files = [path for path in finished.root.rglob("*") if path.is_file() and own not in path.parents]
    assert len(files) > 20
    for path in files:
        assert b"synthetic-center-" not in path.read_bytes(), path


def test_an_adapter_of_the_bank_scores_a_folder_as_the_study_did(finished: StudyDirectory, cohort: Path) -> None:
    bank = AdapterBank(finished.bank)
    row = row_of(bank.settings)
    model = load_adapter(bank, row, "shared", None, device="cpu")
    manifest = scan_folder(cohort / "center-a", "ct+pet", bank.settings.labels)
    scores = evaluate_cases(lambda _case: model, bank.settings, row, manifest, "ct+pet")
    table = evaluation_table(scores, manifest)
    rows = read_rows(finished.root / "centers" / "center-a" / "scores.json")
    seen = {row["case"]: row["dice"] for row in rows if row["stage"] == "arrive" and row["modalities"] == "ct+pet"}
    found = {row["case"]: row["dice"] for row in table["cases"]}
    assert len(found) == 3
    assert {case: found[case] for case in seen} == seen
    assert table["mean"]["dice"] == pytest.approx(sum(found.values()) / 3)
    assert table["left_out"] == []


def test_a_center_without_a_folder_is_named_before_anything_is_trained(cohort: Path, tmp_path: Path) -> None:
    study = write_study(
        tmp_path / "study.toml", STUDY.replace("[centers.center-d]", '[centers.center-d]\nfolders = ["x"]')
    )
    with pytest.raises(CaseError, match=r"center 'center-d'.*no such folder"):
        run(study, cohort, tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()


def test_an_unknown_engine_is_refused(study_file: Path, cohort: Path, tmp_path: Path) -> None:
    from rich.console import Console

    with pytest.raises(StudyError, match=r"unknown engine 'spark'; known: \['in-process', 'ray'\]"):
        simulate(study_file, cohort, tmp_path, engine="spark", device="cpu", resume=False, console=Console(quiet=True))


def test_a_center_whose_training_fails_is_left_out_while_the_quorum_holds(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from client.service.trainer import Trainer
    from protocol.messages.instruction import Instruction
    from protocol.messages.reply import Reply

    study_file = write_study(tmp_path / "study.toml", STUDY.replace("seed = 5", "seed = 5\nquorum = 1"))
    perform = Trainer.perform

    def failing(self: Trainer, instruction: Instruction) -> Reply:
        if self.center == "center-d" and instruction.server_round == 1:
            raise RuntimeError("/data/PAT0001 is on fire")
        return perform(self, instruction)

    monkeypatch.setattr(Trainer, "perform", failing)
    directory = run(study_file, cohort, tmp_path / "out")
    rounds = json.loads(directory.result.read_text())["rounds"]
    assert [(row["center"], row["error"]) for row in rounds[:2]] == [("center-a", ""), ("center-d", "internal")]
    assert b"PAT0001" not in directory.result.read_bytes()


def test_below_the_quorum_the_last_round_stands(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from client.service.work import CenterWork

    study = write_study(tmp_path / "study.toml", STUDY.replace("seed = 5", "seed = 5\nquorum = 2"))
    train = CenterWork._train

    def failing(self: CenterWork, instruction: Any, check: Any) -> Any:
        if self.center == "center-d" and instruction.server_round == 2:
            raise RuntimeError
        return train(self, instruction, check)

    monkeypatch.setattr(CenterWork, "_train", failing)
    with pytest.raises(
        QuorumError, match=r"round 2: 1 of 2 center\(s\) .* quorum is 2 \(center-a: ok, center-d: internal\)"
    ):
        run(study, cohort, tmp_path / "out")
    state = checkpoints.load(tmp_path / "out" / "checkpoint.safetensors")
    assert state is not None
    assert state.server_round == 1
    assert json.loads((tmp_path / "out" / "result.json").read_text())["status"] == "failed"
