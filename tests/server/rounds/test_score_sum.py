"""What a sum of scores takes in, and which weights its plan has. Whole studies are in `test_summed_scores.py`."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import QuorumError
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from protocol.messages.suppression import NOTHING_SUPPRESSED
from server.rounds.score_sum import weights_of_rows
from tests.support.summed_score_study import summing_scores


def test_weights_are_registered_cases_of_who_reaches_the_row() -> None:
    cases = {"a": 5, "b": 8, "c": 4, "d": 6}
    found = weights_of_rows("abcd", {"ct/dice": "abcd", "ct+pet/dice": "abc", "pet/dice": "ab"}, cases, 3)
    assert found["ct/dice"] == {"a": 5.0, "b": 8.0, "c": 4.0, "d": 6.0}
    assert found["ct+pet/dice"] == {"a": 5.0, "b": 8.0, "c": 4.0}
    assert "pet/dice" not in found, "nobody sends anything of a row that two reach"


def test_no_center_weighs_more_than_half_or_next_to_nothing() -> None:
    """Of 100, 5 and 5 the first is believed 20 and cut to half; of 1 beside 100s the weight is raised."""
    assert weights_of_rows("abc", {"ct/dice": "abc"}, {"a": 100, "b": 5, "c": 5}, 3)["ct/dice"]["a"] == 10.0
    weights = weights_of_rows("abcd", {"ct/dice": "abcd"}, {"a": 100, "b": 100, "c": 100, "d": 1}, 3)["ct/dice"]
    assert weights["d"] * 4 >= 0.05 * sum(weights.values())


def test_a_center_without_cases_is_not_counted() -> None:
    assert weights_of_rows("abcd", {"ct/dice": "abcd"}, {"a": 5, "b": 5, "c": 5}, 3)["ct/dice"].keys() == set("abc")


@pytest.mark.parametrize("wrong", ["open", "unsigned", "lacking", "code"])
def test_what_is_not_as_agreed_is_not_in_the_sum(tmp_path: Path, wrong: str) -> None:
    """Two of four: the candidate waits, and the other two's sum stays closed."""

    def change(instruction: Instruction, reply: Reply) -> Reply:
        if instruction.kind != "compare" or reply.secure is None or reply.secure.contribution is None:
            return reply
        if wrong == "open":
            return replace(reply, comparison=Comparison(5, 0.1, 0.1), suppressed=NOTHING_SUPPRESSED)
        if wrong == "lacking":
            return replace(reply, secure=replace(reply.secure, rows={}))
        if wrong == "code":
            return Reply(reply.center, reply.kind, error="cases")
        said = replace(reply.secure.contribution, signature="")
        return replace(reply, secure=replace(reply.secure, contribution=said))

    hidden = summing_scores(tmp_path)
    for name in "ab":
        hidden.centers[name].change = change
    with pytest.raises(QuorumError, match=r"2 of 4 center\(s\) are left after 'compare'"):
        hidden.run()
