"""What a row of a matrix makes of totals. Whole studies are in `tests/end_to_end/test_summed_scores.py`."""

from pathlib import Path

import numpy as np
import pytest

from protocol.errors import NoVoiceError, QuorumError
from protocol.messages.reply import Reply
from protocol.messages.secure_aggregation import SecureAggregation
from server.grid.center_answer import CenterAnswer
from server.rounds.instructions import InstructionBuilder
from server.rounds.score_sum import ScoreTotals
from server.rounds.summed_scores import SummedScores, row_of_totals, summed_scores_of
from server.study.directory import read_prepared
from server.study.file import Study, read_study
from tests.support.light_study import light

ROWS = {"ct/dice": "abcd", "ct/hd95_mm": "abcd", "ct+pet/dice": "ab", "ct+pet/hd95_mm": "ab"}
UNIT = 2.0**20


def test_a_row_has_totals_and_names_what_stayed_closed() -> None:
    """Dice (0.5 * 2) / 2; HD95 stands on two; PET is in no plan, since two reach it."""
    behind = {"ct/dice": ("a", "b", "c"), "ct/hd95_mm": ("a", "b")}
    totals = {"ct/dice": np.array([0.5 * 2 * 1024, 2.0, 16 / UNIT])}
    row = row_of_totals("adapt", ROWS, ScoreTotals({}, behind, totals))
    assert row.test["all centers"]["ct"].values == {"dice": 0.5}
    assert row.test["all centers"]["ct"].cases == 16
    assert row.suppressed["all centers"].scores == {"ct": ("hd95_mm",), "ct+pet": ("dice", "hd95_mm")}


def test_what_nobody_stands_behind_is_absent() -> None:
    behind = dict.fromkeys(ROWS, ())
    row = row_of_totals("adapt", ROWS, ScoreTotals({}, behind, {}))
    assert (dict(row.test), dict(row.suppressed)) == ({}, {})


def test_the_usual_study_asks_each_center(tmp_path: object) -> None:
    found = light(tmp_path)  # type: ignore[arg-type]
    study = read_study(found.directory.study_file)
    assert summed_scores_of(study, found.directory.roster, lambda _asked: {}, dict) is None


@pytest.mark.parametrize(("error", "expected"), [("too-few", NoVoiceError), ("no-answer", QuorumError)])
def test_a_sum_of_too_few_comparisons_is_asked_for_again_only_where_somebody_is_away(
    tmp_path: Path, error: str, expected: type[Exception]
) -> None:
    prepared = read_prepared(light(tmp_path).root)
    builder = InstructionBuilder(prepared, prepared.study.stages[0], {})
    answers = {"a": CenterAnswer(Reply("a", "compare", error=error))}
    scores = SummedScores(_of_three(prepared.study), tmp_path / "roster", lambda _asked: {}, dict)
    with pytest.raises(expected, match="stays closed"):
        scores._check_heard(builder, ("a",), answers, {"comparison": ()}, ())


def _of_three(study: Study) -> Study:
    return study.model_copy(update={"secure_aggregation": SecureAggregation(fewest=3)})
