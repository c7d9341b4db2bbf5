"""What federation brought a center, on scores given by hand."""

from collections.abc import Mapping

import numpy as np
import pytest

from client.data.blocks import Block
from client.data.cohort import EVERYBODY, Cohort
from client.data.preprocessing import PreparedCase
from client.scores import scoring
from client.scores.benefits import References, Told, tell_benefits
from client.scores.scoring import Network, ScoreCache, Scored
from client.tasks.contract import CenterTask
from fusion_models.registry import model_row
from protocol.messages.benefit import Against
from protocol.messages.settings import Model, StudySettings
from protocol.modalities import ModalitySetting
from tests.support.masked_case import masked
from tests.support.segmentation_task import row, segmentation

TASK = segmentation()
SETTINGS = StudySettings(study="small", seed=5, model=Model(name="pemma-unetr-tiny"))
IMAGE = np.zeros((2, 2, 2), np.float32)
BOTH = [masked(name, IMAGE, IMAGE, np.ones((2, 2, 2), np.uint8)) for name in ("p", "q")]
DICE = {"served": {"p": 0.9, "q": 0.8}, "arm": {"p": 0.7, "q": 0.4}, "backbone": {"p": 0.5, "q": 0.5}}


def network(mark: str) -> Network:
    tensors = {mark: np.ones(1, np.float32)}
    return Network(SETTINGS, model_row("pemma-unetr-tiny"), {}, "", tensors, "cpu")


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A network's mark and the case's name decide the Dice; which network was asked under which setting."""
    asked = []

    def score_now(found: Network, _task: CenterTask, case: PreparedCase, setting: str) -> Scored:
        (mark,) = found.tensors
        asked.append((mark, setting))
        return Scored(row(case.name, setting, DICE[mark][case.name]), (1,), np.dtype(np.uint8), b"")

    monkeypatch.setattr(scoring, "score_now", score_now)
    return asked


def tell(cohort: Cohort = EVERYBODY, arm: Network | None = network("arm")) -> Mapping[tuple[str, str], Told]:  # noqa: B008
    """What is told of two cases with CT and PET, by setting and reference."""
    cache, found = ScoreCache(), network("served")
    served: dict[CenterTask, list[Scored]] = {TASK: list(cache.scores(found, TASK, BOTH, found.row.settings))}
    told = tell_benefits(cache, served, References(arm, network("backbone")), BOTH, cohort, np.random.default_rng(0))
    return {(one.own.setting, one.own.against): one for one in told}


@pytest.mark.parametrize("setting", ["ct", "pet", "ct+pet"])
@pytest.mark.parametrize(("against", "difference", "error"), [("local-only", 0.3, 0.1), ("ct-network", 0.35, 0.05)])
def test_cases_are_paired_under_every_setting(
    setting: ModalitySetting, against: Against, difference: float, error: float
) -> None:
    """0.9 - 0.7 and 0.8 - 0.4 against the arm, 0.4 and 0.3 against the CT network; errors over the root of 2."""
    found = tell()[setting, against].own
    assert found.comparison is not None
    assert (found.cases, found.comparison.cases) == (2, 2)
    assert found.comparison.difference == pytest.approx(difference)
    assert found.comparison.standard_error == pytest.approx(error / 2**0.5)


def test_the_ct_network_is_shown_the_ct_alone(answers: list[tuple[str, str]]) -> None:
    tell()
    assert {setting for mark, setting in answers if mark == "backbone"} == {"ct"}
    assert {setting for mark, setting in answers if mark == "arm"} == {"ct", "pet", "ct+pet"}


def test_what_stands_on_no_whole_block_stays_and_the_center_sees_it_all_the_same() -> None:
    waiting = Cohort((Block({"p": "p", "r": "r"}),), {"p": "p", "q": "q"})
    found = tell(waiting)["ct", "local-only"]
    assert found.leaving.comparison is None
    assert (found.own.comparison is not None, found.own.cases) == (True, 2)


def test_an_arm_that_has_ended_is_undefined_and_the_other_reference_is_told() -> None:
    found = tell(arm=None)
    undefined = found["ct+pet", "local-only"].leaving
    assert undefined.comparison is not None
    assert (undefined.cases, undefined.comparison.difference) == (2, None)
    assert found["ct+pet", "ct-network"].leaving.comparison is not None
