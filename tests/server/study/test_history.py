"""A history comes back from plain values as it was."""

from dataclasses import asdict, replace

from pydantic import TypeAdapter

from server.study.history import History, LateRecord, QueryRecord, RoundRecord, StageRow
from tests.support.segmentation_scores import dice_score


def test_a_history_comes_back_from_plain_values() -> None:
    history = History(
        rounds=(RoundRecord("adapt", 1, "a", loss=0.5, validation={"ct": dice_score(3, 0.25, None, 0, 3)}),),
        rows=(StageRow("adapt", {"a": {"ct": dice_score(3, 0.25, None, 0, 3)}}),),
        queries=(QueryRecord("adapt", "compare", "a", bytes_up=3),),
        late=(LateRecord("adapt", 1, "b", 2, "set-aside", "ab"),),
    )
    assert TypeAdapter(History).validate_python(asdict(history)) == history


def test_a_new_history_is_empty() -> None:
    assert set(asdict(History()).values()) == {()}


def test_what_came_since_an_earlier_history_and_all_of_one_that_went_another_way() -> None:
    one, two, other = (RoundRecord("adapt", number, "a") for number in (1, 2, 2))
    earlier = History(rounds=(one,), late=(LateRecord("adapt", 1, "b", 2, "set-aside"),))
    now = replace(earlier, rounds=(one, two))
    assert now.after(earlier) == History(rounds=(two,))
    assert now.after(History()) == now
    assert History(rounds=(one, other)).after(now).rounds == (one, other)
    assert History(rounds=(one,)).after(now).rounds == (one,)
