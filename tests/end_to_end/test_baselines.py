"""The baselines are study files: each runs end to end, and has the property that makes it a baseline."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data.scan import scan_center
from client.data.split import parts
from client.data.synthetic import CENTERS, write_synthetic_cohort
from server.study.directory import StudyDirectory, read_prepared
from strategies.bank.bank import AdapterBank
from tests.support.small_study import STUDY, run, write_study

HEAD = STUDY.split("[centers.center-a]")[0]
TWO_CENTERS = "[centers.center-a]\n[centers.center-b]\n"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients with CT and PET at each of two centers."""
    root = tmp_path_factory.mktemp("cohort")
    centers = [replace(center, patients=3) for center in CENTERS if center.name in {"center-a", "center-b"}]
    write_synthetic_cohort(root, centers=centers, seed=1)
    return root


def stage(name: str, kind: str, centers: str, extra: str = "") -> str:
    size = "rounds = 1\nlocal_steps = 1\nlearning_rate = 1e-3\nbatch_size = 1"
    return f'[[stages]]\nname = "{name}"\nkind = "{kind}"\ncenters = {json.dumps(centers.split())}\n{size}\n{extra}\n'


def finish(text: str, cohort: Path, out: Path) -> tuple[StudyDirectory, Mapping[str, Any]]:
    directory = run(write_study(out / "study.toml", text), cohort, out / "run")
    result: Mapping[str, Any] = json.loads(directory.result.read_text())
    assert result["status"] == "complete"
    assert [record["error"] for record in result["rounds"]] == [""] * len(result["rounds"])
    return directory, result


def test_full_fine_tuning_moves_the_whole_network_and_has_no_adapter(cohort: Path, tmp_path: Path) -> None:
    every = 'groups = ["backbone", "pet", "fusion"]'
    stages = stage("pretrain", "pretrain", "center-a") + stage("adapt", "adapt", "center-a center-b", every)
    directory, result = finish(HEAD + TWO_CENTERS + stages + stage("b", "arrive", "center-b", every), cohort, tmp_path)
    bank, sizes = AdapterBank(directory.bank), result["parameters"]
    backbones = [bank.entry("shared", version).backbone for version in (1, 2, 3)]
    assert len(set(backbones)) == 3
    assert not any("#" in key for key in bank.tensors(bank.entry("shared", 3)))
    assert sizes["peft"] == 0
    up = [record["bytes_up"] for record in result["rounds"]]
    assert up == [4 * sizes["backbone"], *[4 * sizes["total"]] * 3]


def test_early_fusion_is_scored_on_one_setting_and_has_no_pathway(cohort: Path, tmp_path: Path) -> None:
    fused = 'groups = ["backbone"]\nmodality_shares = { "ct+pet" = 1.0 }'
    head = HEAD.replace("pemma-unetr-tiny", "early-fusion-unetr-tiny")
    stages = stage("adapt", "adapt", "center-a", fused) + stage("b", "arrive", "center-b", fused)
    directory, result = finish(head + TWO_CENTERS + stages, cohort, tmp_path)
    cases = {name: matrix["cases"] for name, matrix in result["matrices"].items()}
    assert cases == {"ct+pet": [[1, 1]] * 3}
    assert result["matrices"]["ct+pet"]["stages"] == ["initial", "adapt", "b"]
    assert (result["parameters"]["pet"], result["parameters"]["peft"]) == (0, 0)
    assert set(result["rounds"][0]["validation"]) == {"ct+pet"}
    bank = AdapterBank(directory.bank)
    assert bank.entry("shared", 1).backbone != bank.entry("shared", 2).backbone


def test_local_only_leaves_the_shared_adapter_as_it_began(cohort: Path, tmp_path: Path) -> None:
    alone = 'aggregation = "local-only"'
    stages = stage("pretrain", "pretrain", "center-a center-b") + stage("adapt", "adapt", "center-a center-b", alone)
    directory, _ = finish(HEAD + TWO_CENTERS + stages, cohort, tmp_path)
    bank, initial = AdapterBank(directory.bank), read_prepared(directory.root).initial
    shared = bank.tensors(bank.head("shared"))
    assert shared
    for key, array in shared.items():
        np.testing.assert_array_equal(array, initial[key])
    own = [bank.tensors(bank.head(center)) for center in ("center-a", "center-b")]
    moved = [key for key in own[0] if key.endswith("#lora_b")]
    assert moved
    for key in moved:
        assert not np.array_equal(own[0][key], shared[key])
        assert not np.array_equal(own[0][key], own[1][key])


def test_pooled_trains_on_the_union_and_is_scored_center_by_center(cohort: Path, tmp_path: Path) -> None:
    pooled = '[centers.pooled]\nfolders = ["center-a", "center-b"]\nevaluated = false\n'
    stages = stage("pretrain", "pretrain", "pooled") + stage("adapt", "adapt", "pooled")
    directory, result = finish(HEAD + TWO_CENTERS + pooled + stages, cohort, tmp_path)
    assert {tuple(matrix["centers"]) for matrix in result["matrices"].values()} == {("center-a", "center-b")}
    assert {record["center"] for record in result["rounds"]} == {"pooled"}
    study = read_prepared(directory.root).study
    folders = {"pooled": ["center-a", "center-b"], "center-a": ["center-a"], "center-b": ["center-b"]}
    found = {
        name: parts(
            scan_center(name, [cohort / folder for folder in owned], ("ct", "pet")), seed=study.seed, split=study.split
        )
        for name, owned in folders.items()
    }
    assert found["pooled"] == {**found["center-a"], **found["center-b"]}
    assert len(found["pooled"]) == 6
