"""A federated study of fusion on cases without a single contour: CT alone is reconstructed, then fused with PET."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.messages.tensors import group_in
from server.study.directory import StudyDirectory, read_prepared
from strategies.bank.bank import AdapterBank
from tests.support.small_study import NAMES, run, write_cohort, write_study
from tests.support.study_text import NETWORK, NO_GATE, centers_text, head_text, stage_text

STUDY = (
    head_text("fusion", "A small synthetic study of fusion", "seed = 5", 'task = "fusion"')
    + NETWORK.replace("pemma-unetr-tiny", "clinicalfmamba-3d-tiny")
    + NO_GATE
    + centers_text(NAMES, {"center-d": 'modalities = ["ct"]'})
    + stage_text("pretrain", NAMES, kind="pretrain")
    + stage_text("adapt", NAMES).replace("learning_rate = 1e-3", "learning_rate = 1e-3\nvalidate_every = 0")
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    """A finished study of center-a with CT and PET and center-d with CT alone; nobody has a contour."""
    root = tmp_path_factory.mktemp("fusion")
    write_cohort(root / "cohort")
    for contour in (root / "cohort").rglob("gtv.nii.gz"):
        contour.unlink()
    return run(write_study(root / "study.toml", STUDY), root / "cohort", root / "run")


@pytest.fixture(scope="module")
def matrices(study: StudyDirectory) -> Mapping[str, Any]:
    result = json.loads(study.result.read_text())
    assert result["status"] == "complete"
    assert {record["error"] for record in result["rounds"]} == {""}
    found: Mapping[str, Any] = result["matrices"]
    return found


@pytest.mark.slow
def test_centers_without_contours_train_and_are_scored_by_what_they_have(matrices: Mapping[str, Any]) -> None:
    assert all(0 < value < 1 for value in matrices["ct"]["ssim"][-1])
    assert matrices["ct+pet"]["cases"][-1] == [1, 0]
    assert 0 < matrices["ct+pet"]["ssim"][-1][0] < 1
    assert matrices["ct+pet"]["ms_ssim"][-1] == [None, None]


@pytest.mark.slow
def test_simple_ways_of_fusing_stand_beside_the_network(matrices: Mapping[str, Any], study: StudyDirectory) -> None:
    for name in ("average", "maximum", "laplacian"):
        assert 0 < matrices["ct+pet"][f"ssim_{name}"][-1][0] < 1
        assert matrices["ct"][f"ssim_{name}"][-1] == [None, None]
    page = (study.root / "centers" / "center-a" / "report.html").read_text()
    assert "Laplacian pyramid" in page
    assert "data:image/png" in page


@pytest.mark.slow
def test_what_pet_and_fusion_own_is_trained_after_the_ct_network(study: StudyDirectory) -> None:
    groups = {spec.key: spec.group for spec in read_prepared(study.root).specs}
    bank = AdapterBank(study.bank)
    before, after = (bank.tensors(bank.entry("shared", version)) for version in (1, 2))
    moved = {key for key in after if key not in before or not np.array_equal(after[key], before[key])}
    assert {group_in(key, groups) for key in moved} == {"pet", "fusion", "peft"}


@pytest.mark.slow
def test_no_contour_was_there(study: StudyDirectory) -> None:
    cohort: Path = study.root.parent / "cohort"
    assert list(cohort.rglob("ct.nii.gz"))
    assert not list(cohort.rglob("gtv.nii.gz"))
