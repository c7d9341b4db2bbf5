"""Which of a center's rounds its kept moments are of."""

import pytest

from server.rounds.counted import last_counted
from server.study.history import History, RollbackRecord, RoundRecord
from server.study.stage import Stage

STAGE = Stage.model_validate(
    {"name": "adapt", "kind": "adapt", "centers": ["a"], "rounds": 9, "local_steps": 1, "learning_rate": 0.1}
)


def counted(*rounds: RoundRecord, undone: tuple[int, int] | None = None) -> int:
    """For center a; `undone`: the round after which the state was restored, and the one that found it."""
    rollbacks = () if undone is None else (RollbackRecord("adapt", undone[1], undone[0]),)
    return last_counted(History(rounds=rounds, rollbacks=rollbacks), STAGE, "a")


def of(*numbers: int) -> list[RoundRecord]:
    return [RoundRecord("adapt", number, "a") for number in numbers]


def test_it_is_the_last_round_whose_update_counted() -> None:
    assert counted(*of(1, 2), RoundRecord("adapt", 3, "a", error="norm"), RoundRecord("adapt", 4, "b")) == 2


def test_another_stage_has_none() -> None:
    assert counted(RoundRecord("pretrain", 1, "a")) == 0


@pytest.mark.parametrize(("rounds", "expected"), [((1, 2, 3), 0), ((1, 2), 0), ((1,), 1), ((1, 2, 3, 4), 4)])
def test_undone_rounds_and_the_one_that_found_it_go_on_nowhere(rounds: tuple[int, ...], expected: int) -> None:
    """Round 3 found that the state after round 1 was better."""
    assert counted(*of(*rounds), undone=(1, 3)) == expected
