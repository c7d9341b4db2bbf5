"""When a round is undone, and what is restored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.tasks import TASKS
from server.rounds.rollback import falls_between, find_fall, forget_scored, remember_scored, restore, standing
from server.study.history import History, RollbackRecord, RoundRecord, Scores
from tests.support.entered_study import enter
from tests.support.light_study import STUDY
from tests.support.segmentation_scores import dice_score

DICE = TASKS["segmentation"].metric("dice")
AUC = TASKS["classification"].metric("auc")


def scored(number: int, **dice: float | None) -> list[RoundRecord]:
    return [
        RoundRecord("adapt", number, center, validation={"ct": dice_score(5, value, 3.0)}, direction=0.5)
        for center, value in dice.items()
    ]


def verdict(folder: Path, before: list[RoundRecord], now: list[RoundRecord], text: str = STUDY) -> bool:
    """Whether the second round undoes the first, after which the shared tensors were others."""
    entered = enter(folder, text)
    state = remember_scored(entered.state, before)
    moved = {key: array + 1 for key, array in state.shared.items()}
    state = replace(state, shared=moved, server_round=1, history=History(rounds=tuple(before)))
    return find_fall(state, now, entered.builder.stage, entered.prepared.study) is not None


@pytest.mark.parametrize(
    ("before", "now", "undone"),
    [
        ({"a": 0.6, "b": 0.6, "c": 0.6}, {"a": 0.1, "b": 0.1, "c": 0.6}, True),
        ({"a": 0.6, "b": 0.6, "c": 0.6}, {"a": 0.1, "b": 0.6, "c": 0.6}, False),
        ({"a": 0.6, "b": 0.6, "c": 0.6}, {"a": 0.1, "b": 0.1, "c": 1.0}, True),
        ({"a": 0.6, "b": 0.6}, {"a": 0.1, "b": 0.6}, False),
        ({"a": 0.6, "b": 0.6}, {"a": 0.1, "b": 0.1}, True),
        ({"a": 0.6, "b": None, "c": None}, {"a": 0.1, "b": None, "c": None}, False),
        ({"a": 0.6, "b": 0.6, "c": 0.6, "d": 0.6}, {"a": 0.1, "b": 0.1, "c": 0.6, "d": 0.6}, False),
        ({"a": 0.6}, {"a": 0.1}, True),
        ({"a": 0.6, "b": 0.6}, {"a": 0.35, "b": 0.35}, False),
        (dict.fromkeys("abc", 0.6), {"a": 0.1, "b": 0.1, "c": None}, True),
        (dict.fromkeys("abcdefg", 0.6), {**dict.fromkeys("abc", 0.1), **dict.fromkeys("defg")}, False),
        ({"a": 0.6, "b": 0.6, "c": None}, {"a": 0.1, "b": 0.1, "c": 0.6}, True),
    ],
    ids=[
        "two-of-three",
        "one-of-three",
        "one-denies",
        "one-of-two",
        "both",
        "one-can-tell",
        "half-of-four",
        "alone",
        "just-enough",
        "two-of-three-asked",
        "three-of-seven-asked",
        "one-never-scored",
    ],
)
def test_more_than_half_of_the_centers_must_see_it(
    before: dict[str, float | None], now: dict[str, float | None], undone: bool, tmp_path: Path
) -> None:
    assert verdict(tmp_path, scored(1, **before), scored(2, **now)) == undone


def test_a_study_may_say_how_far_a_score_may_fall_or_keep_every_round(tmp_path: Path) -> None:
    before, now = scored(1, a=0.6, b=0.6), scored(2, a=0.4, b=0.4)
    assert not verdict(tmp_path / "usual", before, now)
    assert verdict(tmp_path / "strict", before, now, STUDY.replace("gate = false", "gate = false\nrollback.fall = 0.1"))
    never = STUDY.replace("gate = false", "gate = false\nrollback = false")
    assert not verdict(tmp_path / "never", before, scored(2, a=0, b=0), never)


def test_a_figure_of_few_cases_of_a_cohort_must_fall_further() -> None:
    """Over 16 cases chance alone moves an AUC by a quarter: a fall of 0.5 is at the limit."""

    def auc(number: int, value: float) -> list[RoundRecord]:
        (record,) = scored(number, a=0.5)
        score = replace(record.validation["ct"], cases=16, values={"auc": value}, undefined={})
        return [replace(record, validation={"ct": score})]

    assert falls_between(auc(1, 0.9), auc(2, 0.4), AUC, 0.25) == ({"a": 0.5}, [])
    assert falls_between(auc(1, 0.9), auc(2, 0.39), AUC, 0.25)[1] == ["a"]


def test_the_fullest_setting_that_both_rounds_have_decides() -> None:
    (before,), (now,) = scored(1, a=0.5), scored(2, a=0.5)
    full: Scores = {"ct": dice_score(5, 0.5, 3.0), "ct+pet": dice_score(5, 0.9, 3.0)}
    later: Scores = {"ct": dice_score(5, 0.5, 3.0), "ct+pet": dice_score(5, 0.2, 3.0)}
    falls, told = falls_between([replace(before, validation=full)], [replace(now, validation=later)], DICE, 0.25)
    assert falls["a"] == pytest.approx(0.7)
    assert told == ["a"]
    assert falls_between([before], [replace(now, validation=later)], DICE, 0.25) == ({"a": 0.0}, [])


def test_everything_that_the_round_changed_is_restored_and_the_count_goes_on(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    own = {"a": {"qkv#lora_a@own": np.ones(2, np.float32)}}
    start = replace(entered.state, own=own, memory={"qkv#lora_a@momentum": np.ones(2, np.float32)})
    before = scored(1, a=0.6, b=0.6)
    state = remember_scored(start, before)
    moved = {key: array + 1 for key, array in state.shared.items()}
    state = replace(state, shared=moved, own={}, memory={}, server_round=1, history=History(rounds=tuple(before)))
    fall = find_fall(state, scored(2, a=0.1, b=0.1), entered.builder.stage, entered.prepared.study)
    assert fall is not None
    assert (fall.server_round, fall.restored_round, fall.directions) == (2, 0, {"a": 0.5, "b": 0.5})
    after = restore(state, fall)
    assert (after.shared, after.own, after.memory) == (start.shared, start.own, start.memory)
    assert (after.server_round, after.history.rollbacks) == (2, (fall,))
    assert find_fall(after, scored(3, a=0.1, b=0.1), entered.builder.stage, entered.prepared.study) is None
    assert forget_scored(after).scored_in == 0


def test_a_round_that_few_scored_keeps_the_state_that_most_scored_last(tmp_path: Path) -> None:
    entered = enter(tmp_path)
    state = replace(remember_scored(entered.state, scored(1, a=0.6, b=0.6)), server_round=1)
    assert remember_scored(state, [RoundRecord("adapt", 2, "a"), *scored(2, b=0.6)]).scored_in == 1
    assert remember_scored(state, scored(2, a=0.6, b=0.6)).scored_in == 2


def test_each_center_is_held_against_its_own_last_score(tmp_path: Path) -> None:
    """In round 2, c alone is away: the fall that it finds in round 3 is the one since round 1."""
    entered = enter(tmp_path)
    rounds = (*scored(1, a=0.6, b=0.6, c=0.6), *scored(2, a=0.6, b=0.6))
    state = replace(remember_scored(entered.state, rounds[:3]), server_round=1, history=History(rounds=rounds[:3]))
    state = remember_scored(state, [*rounds[3:], RoundRecord("adapt", 2, "c")])
    moved = {key: array + 1 for key, array in state.shared.items()}
    state = replace(state, shared=moved, server_round=2, history=History(rounds=rounds))
    now = scored(3, a=0.1, b=0.6, c=0.1)
    fall = find_fall(state, now, entered.builder.stage, entered.prepared.study)
    assert fall is not None
    assert (fall.restored_round, fall.falls) == (1, {"a": 0.5, "b": 0.0, "c": 0.5})


def test_scores_of_states_that_were_undone_and_of_other_stages_do_not_count(tmp_path: Path) -> None:
    """Round 4 found what rounds 2 and 3 did, and the state after round 1, which round 2 scored, stands."""
    stage = enter(tmp_path).builder.stage
    rounds = [record for number in range(1, 6) for record in scored(number, a=number / 10)]
    history = History(rounds=(RoundRecord("earlier", 1, "a"), *rounds), rollbacks=(RollbackRecord("adapt", 4, 1),))
    assert [record.server_round for record in standing(history, stage)] == [1, 2, 5]
