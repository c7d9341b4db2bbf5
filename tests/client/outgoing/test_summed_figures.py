"""No figure leaves beside masked rows, and each is named as suppressed."""

from client.outgoing.summed_figures import without_figures
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from protocol.messages.suppression import Suppressed
from tests.support.segmentation_scores import dice_score


def test_scores_comparison_and_diagnostics_stay() -> None:
    reply = Reply(
        "a",
        "train",
        scores={"ct": dice_score(5, 0.6, None)},
        comparison=Comparison(5, 0.1),
        diagnostics={"gate/1/ct/mean": 0.5},
        loss=0.3,
        suppressed=Suppressed({"ct+pet": ("dice",)}),
    )
    left = without_figures(reply)
    assert (left.scores, left.comparison, left.diagnostics, left.loss) == ({}, None, {}, 0.3)
    assert left.suppressed.names() == ("comparison", "diagnostics", "ct/dice", "ct/hd95_mm", "ct+pet/dice")


def test_what_has_no_figure_stays_as_it_is() -> None:
    assert without_figures(Reply("a", "advertise")) == Reply("a", "advertise")
