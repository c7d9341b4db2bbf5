"""What becomes of a round once its answers are in."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from protocol.errors import PayloadError, QuorumError, StudyError
from protocol.messages.payload import Payload
from protocol.messages.settings import Training
from server.rounds import round_end
from server.rounds.round_end import conclude
from server.rounds.transitions import after_round
from server.rounds.weighing import weights_of
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import Scores
from server.study.stage import Stage
from strategies.aggregation.contract import Base
from tests.support.ended_round import Change, Ended, end_round
from tests.support.hostile_updates import claiming
from tests.support.segmentation_scores import dice_score


def concluded(ended: Ended) -> Checkpoint:
    return conclude(ended.under_way, ended.entered.state, ended.records, ended.inbox)


def test_a_round_is_aggregated_and_can_be_gone_back_to(tmp_path: Path) -> None:
    ended = end_round(tmp_path, {})
    after = concluded(ended)
    assert (after.server_round, after.scored_in) == (1, 1)
    assert after.scored_shared == ended.entered.state.shared
    assert all(record.direction is not None for record in after.history.rounds)


def along(part: float) -> Change:
    """Every entry moves by this."""
    return lambda payload, received: replace(
        payload, tensors={key: received[key] + np.float32(part) for key in payload.tensors}
    )


def test_a_center_that_turned_its_update_round_lies_against_the_others(tmp_path: Path) -> None:
    after = concluded(end_round(tmp_path, {"a": along(1e-4), "b": along(1e-4), "c": along(-1e-4)}))
    assert {found.center: round(found.direction or 0, 3) for found in after.history.rounds} == {"a": 0, "b": 0, "c": -1}


def test_a_round_that_finds_its_state_ruined_restores_the_one_before_and_is_not_used(tmp_path: Path) -> None:
    ended = end_round(tmp_path, {})
    good: Scores = {"ct": dice_score(5, 0.6, 3.0)}
    first = conclude(
        ended.under_way, ended.entered.state, [replace(r, validation=good) for r in ended.records], ended.inbox
    )
    second = replace(ended.under_way, number=2)
    ruined = [
        replace(r, server_round=2, validation={"ct": dice_score(5, 0.0, 3.0)}, error="norm") for r in ended.records
    ]
    with pytest.raises(QuorumError):
        conclude(second, first, ruined, ended.inbox)
    usable = [replace(record, error="") for record in ruined]
    with patch.object(round_end, "clip_updates", lambda _u, _s, records, _i: tuple(records)):
        after = conclude(second, first, usable, ended.inbox)
    assert after.server_round == 2
    assert after.shared == ended.entered.state.shared
    assert [(found.server_round, found.restored_round) for found in after.history.rollbacks] == [(2, 0)]


def failing(error: Exception, when: Callable[[set[str]], bool]) -> Any:
    """An aggregation that fails for some sets of centers."""

    def sometimes(
        state: Checkpoint, stage: Stage, training: Training, payloads: Iterable[Payload], base: Base, study: Study
    ) -> Checkpoint:
        found = list(payloads)
        if when({payload.center for payload in found}):
            raise error
        return after_round(state, stage, training, found, base, study)

    return patch.object(round_end, "after_round", sometimes)


@pytest.mark.parametrize(
    "error", [np.linalg.LinAlgError("SVD did not converge"), PayloadError("unfit"), StudyError("cap")], ids=type
)
def test_a_center_without_which_the_arithmetic_succeeds_is_refused_and_the_round_goes_on(
    error: Exception, tmp_path: Path
) -> None:
    ended = end_round(tmp_path, {})
    with failing(error, lambda centers: "b" in centers):
        after = concluded(ended)
    assert {record.center: record.error for record in after.history.rounds} == {"a": "", "b": "aggregation", "c": ""}
    assert after.server_round == 1


@pytest.mark.parametrize("least", [0, 3], ids=["whoever-is-left-out", "until-anybody-is"])
def test_a_setting_of_the_study_is_no_centers_fault(least: int, tmp_path: Path) -> None:
    ended = end_round(tmp_path, {})
    error = StudyError("raise aggregation.residual_rank")
    with failing(error, lambda centers: len(centers) >= least), pytest.raises(StudyError, match="residual_rank"):
        concluded(ended)


def test_a_claim_of_a_billion_cases_is_a_share_of_one_half(tmp_path: Path) -> None:
    """The claim exceeds what was registered: refused. Where the registration lied too, it is capped."""
    ended = end_round(tmp_path, {"c": claiming(10**9)})
    assert ended.record("c").error == "support"
    lied = tuple(replace(r, error="", support={"peft": 10**9}) if r.center == "c" else r for r in ended.records)
    study = ended.entered.prepared.study
    found = weights_of(lied, study, ended.entered.state)["peft"]
    assert found["c"] == pytest.approx(found["a"] + found["b"])
