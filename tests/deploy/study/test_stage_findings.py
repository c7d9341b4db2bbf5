"""What is said of stages that leave untrained what they need."""

from pathlib import Path

import numpy as np
import pytest

from deploy.study.prepare import prepare
from deploy.study.stage_findings import idle_pathways, unheard_pathways
from protocol.errors import StudyError
from server.study.file import Study, read_study
from tests.support.small_study import NAMES, STUDY, write_study
from tests.support.study_text import centers_text, stage_text

CLOSED = {"attention_gates.0.gate": np.zeros(2, np.float32), "skip_gain.gain": np.zeros(4, np.float32)}
DEAF = 'groups = ["pet", "peft"]\n'
HEAD = STUDY.split("[centers.center-a]")[0] + centers_text(("a", "b", "ct-only"), {"ct-only": 'modalities = ["ct"]'})
FIRST, LATER = stage_text("first", ["a"]), stage_text("later", ["a", "b"], kind="arrive") + DEAF


def studied(tmp_path: Path, *stages: str) -> Study:
    return read_study(write_study(tmp_path / "study.toml", HEAD + "".join(stages)))


def test_a_head_that_a_task_asks_and_no_stage_trains_is_idle(tmp_path: Path) -> None:
    labels = '[labels.classes]\ncolumn = "metastasis"\n\n[centers.center-a]'
    text = STUDY.replace("[centers.center-a]", labels).replace("seed = 5", 'seed = 5\ntask = "classification"')
    study = read_study(write_study(tmp_path / "study.toml", text))
    assert idle_pathways(study, {"head", "peft"}) == {}
    arriving = study.model_copy(update={"stages": study.stages[2:]})
    assert idle_pathways(arriving, {"head", "peft"}) == {"head": ["ct", "ct+pet", "pet"]}
    assert idle_pathways(read_study(write_study(tmp_path / "study.toml")), {"head"}) == {}


@pytest.mark.parametrize(
    ("stages", "deaf"),
    [
        ((FIRST,), {}),
        ((LATER,), {"later": "['a', 'b']"}),
        ((FIRST, LATER), {}),
        ((LATER, LATER.replace("later", "last"), FIRST), {"later": "['a', 'b']", "last": "['a', 'b']"}),
        # What is exchanged with nobody has opened the gates of a alone.
        ((FIRST + 'aggregation = "local-only"\n', LATER), {"later": "['b']"}),
        # Gates that only a center without PET was asked to train are as they were.
        ((stage_text("first", ["ct-only"]), LATER), {"later": "['a', 'b']"}),
        # Nothing to hear: no case with CT and PET at once, nobody who has both, no pathway that trains.
        ((LATER + "modality_shares = { pet = 1.0 }\n",), {}),
        ((stage_text("later", ["ct-only"]) + DEAF,), {}),
        ((stage_text("later", ["a"], kind="arrive"),), {}),
    ],
)
def test_a_pathway_that_learns_behind_closed_gates_is_found(
    tmp_path: Path, stages: tuple[str, ...], deaf: dict[str, str]
) -> None:
    findings = list(unheard_pathways(studied(tmp_path, *stages), CLOSED))
    assert len(findings) == len(deaf)
    for finding, (stage, centers) in zip(findings, deaf.items(), strict=True):
        assert finding.startswith(f"stage '{stage}' (arrive) trains 'pet' but not 'fusion'")
        assert f"at {centers} CT with PET would be answered as CT alone" in finding


def test_a_gate_that_is_open_from_the_start_and_a_network_without_any_let_pet_through(tmp_path: Path) -> None:
    study = studied(tmp_path, LATER)
    assert list(unheard_pathways(study, {**CLOSED, "skip_gain.gain": np.full(4, 0.5, np.float32)})) == []
    assert list(unheard_pathways(study, {"fuse.weight": np.zeros(3, np.float32)})) == []


def test_a_study_that_would_never_hear_pet_is_not_prepared(tmp_path: Path) -> None:
    """By default PEMMA-UNETR's gates start closed; the published pathway has none."""
    text = STUDY.replace('kind = "adapt"\n', 'kind = "adapt"\n' + DEAF)
    path = write_study(tmp_path / "study.toml", text)
    with pytest.raises(StudyError, match=rf"study.toml: stage 'adapt' .* at \['{NAMES[0]}'\] CT with PET"):
        prepare(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    published = text.replace("[adapter]", '[model.options]\npathway = "published"\n[adapter]')
    prepare(write_study(path, published), tmp_path / "out")
