"""An answer weighs what came with it."""

from protocol.messages.reply import Reply
from server.grid.center_answer import CenterAnswer
from tests.support.grids import trained


def test_bytes_up_are_those_of_the_payload() -> None:
    """Three float32 values: 12 bytes."""
    answer = CenterAnswer.weigh(trained("a"), 8)
    assert (answer.center, answer.bytes_down, answer.bytes_up, answer.late) == ("a", 8, 12, False)


def test_an_error_weighs_nothing_up() -> None:
    assert CenterAnswer.weigh(Reply("a", "train", error="internal"), 8, late=True).bytes_up == 0
