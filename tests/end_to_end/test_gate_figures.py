"""Figures from inside a network: how they are taken, what may leave, what stands behind it, and where they arrive."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.outgoing.payload_egress import EgressLimits
from client.scores import scoring
from client.scores.scoring import Network, ScoreCache, Scored, mean_diagnostics
from fusion_models.registry import model_row
from fusion_models.vmambax.cgm import Cgm
from protocol.messages.diagnostics import diagnostic_findings
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, Preprocessing, StudySettings
from protocol.messages.suppression import Suppressed
from server.grid.center_answer import CenterAnswer
from server.rounds.records import record_of
from server.study.stage import Stage
from tests.support.image_network import ImageNetwork
from tests.support.leaving import leave
from tests.support.masked_case import masked
from tests.support.segmentation_scores import dice_score
from tests.support.segmentation_task import row as score_row
from tests.support.segmentation_task import segmentation

FIGURES = {"gate/0/ct/mean": 0.25, "gate/0/pet/mean": 0.75}


REPLY = Reply(
    center="a",
    kind="train",
    scores={"ct": dice_score(9, 0.5, None), "ct+pet": dice_score(5, 0.5, None)},
    diagnostics=FIGURES,
)


def send(reply: Reply, folder: Path) -> tuple[Reply, dict[str, Any]]:
    """What leaves, and its line in the log."""
    leaving = leave(reply, folder / "outgoing.jsonl", EgressLimits((), 5, 0))
    return leaving, json.loads((folder / "outgoing.jsonl").read_text())


def test_figures_on_enough_cases_leave_and_are_logged(tmp_path: Path) -> None:
    """Five cases with CT and PET, the minimum exactly."""
    leaving, line = send(REPLY, tmp_path)
    assert leaving == REPLY
    assert (line["diagnostics"], line["held_back"]) == (FIGURES, [])


@pytest.mark.parametrize(
    ("scores", "cases"),
    [({"ct+pet": dice_score(4, 0.5, None)}, 4), ({"ct": dice_score(9, 0.5, None)}, 0)],
)
def test_figures_on_too_few_cases_are_withheld_alone(tmp_path: Path, scores: Any, cases: int) -> None:
    """Only cases with CT and PET stand behind a gate: nine with CT count for nothing."""
    leaving, line = send(replace(REPLY, scores=scores), tmp_path)
    enough = {setting: score for setting, score in scores.items() if score.cases >= 5}
    few = Suppressed({setting: ("dice", "hd95_mm") for setting in scores if setting not in enough}, ("diagnostics",))
    assert leaving == replace(REPLY, scores=enough, diagnostics={}, suppressed=few)
    assert line["diagnostics"] == {}
    assert line["held_back"][-1:] == [f"diagnostics stand on {cases} case(s), this center sends from 5 on"]


def test_a_figure_that_is_not_listed_stops_the_reply(tmp_path: Path) -> None:
    leaving, line = send(replace(REPLY, diagnostics={"patient/DOE": 1.0}), tmp_path)
    assert leaving == Reply(center="a", kind="train", error="egress-refused")
    assert line["diagnostics"] == {}
    assert [reason.partition(",")[0] for reason in line["held_back"]] == [
        "diagnostics: 'patient/DOE' is not in the table"
    ]


def test_an_error_leaves_without_figures(tmp_path: Path) -> None:
    assert send(replace(REPLY, error="cases"), tmp_path)[0].diagnostics == {}


class Gated(ImageNetwork):
    """A network with a CGM at each of two stages; what it predicts does not depend on them."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Cgm(1, norm=lambda _: nn.Identity()) for _ in range(2)])
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        if ct is not None and pet is not None:
            for stage in self.stages:
                stage(ct[:, :, 0], pet[:, :, 0])
        present = [image for image in (ct, pet) if image is not None]
        return torch.cat([present[0], present[-1]], dim=1)


TASK = segmentation((4, 4, 4))


def case_of(name: str, *, with_pet: bool = True) -> PreparedCase:
    ct = np.ones((4, 4, 4), np.float32)
    return masked(name, ct, ct if with_pet else None, np.ones((4, 4, 4), np.uint8))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """The gated network on a grid of crops of 4 voxels an edge."""
    settings = StudySettings(
        study="s", seed=0, model=Model(name="vmambax-tiny"), preprocessing=Preprocessing(crop_zyx=(4, 4, 4))
    )
    monkeypatch.setattr(scoring, "assemble", lambda *_, **__: Gated())
    return Network(settings, model_row("vmambax-tiny"), {}, "", {}, "cpu")


def test_gates_are_watched_while_cases_with_both_are_scored(network: Network) -> None:
    """All weights 0: both sigmoids give 1/2, so that G = 1/4 everywhere: no spread, nothing saturated."""
    scored = list(ScoreCache().scores(network, TASK, [case_of("p")], ["ct", "pet", "ct+pet"]))
    assert [bool(found.diagnostics) for found in scored] == [False, False, True]
    found = mean_diagnostics(scored)
    assert found == {
        f"gate/{stage}/{modality}/{name}": value
        for stage in (0, 1)
        for modality in ("ct", "pet")
        for name, value in (("mean", 0.25), ("std", 0.0), ("saturated", 0.0))
    }
    assert list(diagnostic_findings(found)) == []


def test_a_case_that_was_scored_before_has_the_figures_it_had(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = ScoreCache()
    first = mean_diagnostics(book.scores(network, TASK, [case_of("p")], ["ct+pet"]))
    monkeypatch.setattr(scoring, "score_now", lambda *_, **__: pytest.fail("scored twice"))
    assert mean_diagnostics(book.scores(network, TASK, [case_of("p")], ["ct+pet"])) == first != {}


def test_no_figures_without_pet(network: Network) -> None:
    scored = list(ScoreCache().scores(network, TASK, [case_of("p", with_pet=False)], ["ct", "ct+pet"]))
    assert (len(scored), mean_diagnostics(scored)) == (1, {})


def test_figures_are_means_over_the_cases_that_have_them() -> None:
    """Means 0.25 and 0.75 of two cases are 0.5; the third was scored on CT alone."""
    rows = [{"gate/0/ct/mean": 0.25}, {"gate/0/ct/mean": 0.75}, {}]
    scored = [Scored(score_row("p"), (), np.dtype(np.uint8), b"", row) for row in rows]
    assert mean_diagnostics(scored) == {"gate/0/ct/mean": 0.5}


@pytest.mark.parametrize("error", ["", "non-finite"])
def test_the_record_of_a_round_keeps_them_as_it_keeps_scores(error: str) -> None:
    """They belong to the state a center received, whatever became of what it sent."""
    stage = Stage.model_validate(
        {"name": "s", "kind": "adapt", "centers": ["a"], "rounds": 1, "local_steps": 1, "learning_rate": 0.1}
    )
    record = record_of(CenterAnswer(REPLY), stage, 1, error, {})
    assert (record.diagnostics, record.validation) == (FIGURES, REPLY.scores)
