"""Every local term and server optimiser through Flower, over two stages with a newcomer: nobody is refused."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from server.study import checkpoint as checkpoints
from server.study.directory import StudyDirectory
from strategies.continual.terms import TERMS
from tests.support.federation import GROWING, federation

STUDIES = {
    "scaffold": "[strategy.terms]\nscaffold = true\n[strategy.aggregation]\nscheme = 'fedit'",
    "ditto": "[strategy.terms]\nditto = 0.1",
    "proximal, one phase": "[strategy.terms]\nproximal = 0.1\n[strategy.aggregation]\nphases = ['b']",
    "gram-anchor, gauge step": "[strategy.terms]\ngram_anchor = 0.1\n[strategy.aggregation]\ngauge_step = true",
    "distillation, fedadam": "[strategy.terms]\ndistillation = 1.0\n"
    "[strategy.aggregation]\nserver_optimiser = { name = 'fedadam', rate = 1e-3 }",
    "ewc, fedyogi": "[strategy.terms]\newc = 1.0\n"
    "[strategy.aggregation]\nscheme = 'fedit'\nserver_optimiser = { name = 'fedyogi', rate = 1e-3 }",
    "orthogonality, fedavgm": "[strategy.terms]\northogonality = 1.0\n"
    "[strategy.aggregation]\nserver_optimiser = { name = 'fedavgm' }",
    "all at once": "[strategy.terms]\nproximal = 0.1\ngram_anchor = 0.1\ndistillation = 0.5\northogonality = 0.1",
}
"""A term acts at the centers and an optimiser at the coordinator, so that one study has room for one of each."""


@pytest.fixture(scope="module")
def grown(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], StudyDirectory]:
    """Runs the growing federation under a term and an optimiser, each once."""

    @cache
    def run(study: str) -> StudyDirectory:
        text = GROWING.replace("[centers.center-a]", f"{STUDIES[study]}\n[centers.center-a]")
        found = federation(tmp_path_factory.mktemp("grown"), cohort, text)
        found.run()
        return found.directory

    return run


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_a_growing_federation_ends_without_a_refusal(study: str, grown: Callable[[str], StudyDirectory]) -> None:
    directory = grown(study)
    result = json.loads(directory.result.read_text())
    assert result["status"] == "complete"
    assert {row["error"] for row in result["rounds"]} == {""}
    assert {query["error"] for query in result["queries"]} <= {""}
    state = checkpoints.load(directory.checkpoint)
    assert state is not None
    assert all(np.isfinite(array).all() for array in (*state.shared.values(), *state.memory.values()))


def test_every_term_has_its_study() -> None:
    assert [name for name in TERMS if not any(f"{name} = " in text for text in STUDIES.values())] == []


def test_the_shared_control_is_the_mean_of_the_centers_own(grown: Callable[[str], StudyDirectory]) -> None:
    """SCAFFOLD from c = c_i = 0 with everybody taking part: c stays the plain mean of the c_i."""
    state = checkpoints.load(grown("scaffold").checkpoint)
    assert state is not None
    keys = [key.removesuffix("@shared-control") for key in state.memory if key.endswith("@shared-control")]
    assert keys
    for key in keys:
        own = [state.own[center][f"{key}@control"] for center in ("center-a", "center-d")]
        np.testing.assert_allclose(state.memory[f"{key}@shared-control"], np.mean(own, axis=0), atol=1e-6)
