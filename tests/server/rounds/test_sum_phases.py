"""Phases say what is summed; keys of a round are none of a row of scores. More is in `test_secure_round.py`."""

from protocol.messages.secure_sum import SumRequest, keys_statement
from server.rounds.sum_phases import OpenSum
from tests.support.summing import CENTERS, Summing


def test_instructions_say_what_is_summed() -> None:
    summing = Summing()
    plan = summing.plan()
    boxes: dict[str, dict[str, str]] = {name: {} for name in CENTERS}
    asked = OpenSum(plan, boxes, "evaluate").instruct({name: summing.instruction("evaluate") for name in CENTERS})
    assert asked["a"].secure == SumRequest(of="evaluate")


def test_keys_that_were_signed_for_a_round_serve_for_no_row() -> None:
    keys = Summing().centers["a"].answer(Summing().instruction("advertise")).secure
    assert keys is not None
    assert keys.keys is not None
    of_round = keys_statement("summing", "adapt", 1, "a", keys.keys)
    assert of_round != keys_statement("summing", "adapt", 1, "a", keys.keys, "evaluate")
    assert of_round == keys_statement("summing", "adapt", 1, "a", keys.keys, "train")
