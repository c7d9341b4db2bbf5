"""Rows of scores as figures see them: whole blocks, setting by setting and value by value."""

import numpy as np

from client.data.blocks import Block
from client.data.cohort import EVERYBODY, Cohort
from client.scores.cohort_rows import level, scored_in
from client.scores.scoring import Scored
from client.tasks.contract import CaseScore

TWO = Block({"a": "a", "b": "b"})
OTHER = Block({"c": "c", "d": "d"})
COHORT = Cohort((TWO, OTHER), {name: name for name in "abcde"})


def row(case: str, setting: str = "ct", dice: float = 0.5, distance: float | None = 1.0) -> Scored:
    values = {"dice": dice, "hd95_mm": distance}
    return Scored(CaseScore(case, setting, values), (1,), np.dtype(np.uint8), b"")


def test_each_setting_has_whole_blocks_only() -> None:
    """CT of both blocks; PET of one, since the other's second case has none; the fifth case waits."""
    rows = [*(row(name) for name in "abcde"), row("a", "pet"), row("b", "pet"), row("c", "pet")]
    found = scored_in(rows, COHORT)
    kept = {(found_row.score.modalities, found_row.score.case) for found_row in found}
    assert kept == {*(("ct", name) for name in "abcd"), ("pet", "a"), ("pet", "b")}


def test_what_one_case_does_not_define_its_block_does_not_either() -> None:
    found = level({name: row(name, distance=None if name == "c" else 1.0).score for name in "abcd"}, COHORT)
    assert {case: score.values["hd95_mm"] for case, score in found.items()} == {"a": 1, "b": 1, "c": None, "d": None}
    assert {score.values["dice"] for score in found.values()} == {0.5}


def test_where_every_case_enters_by_itself_rows_stay_as_they_are() -> None:
    rows = [row("a", distance=None), row("z", "pet")]
    assert scored_in(rows, EVERYBODY) == rows
    scores = {"a": rows[0].score}
    assert level(scores, EVERYBODY) == scores
