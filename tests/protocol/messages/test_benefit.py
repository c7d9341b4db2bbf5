from dataclasses import replace

import pytest

from protocol.errors import PayloadError
from protocol.messages.benefit import Benefit, benefit_findings
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from protocol.messages.text import from_text, to_text

TOLD = Benefit("segmentation", "ct+pet", "local-only", 6, Comparison(5, 0.03, 0.01))
WITHHELD = Benefit("segmentation", "ct", "ct-network", 2, None)


def test_what_is_withheld_and_what_is_undefined_travel_apart() -> None:
    undefined = Benefit("segmentation", "pet", "local-only", 6, Comparison(0, None))
    reply = Reply(center="a", kind="evaluate", benefits=(TOLD, WITHHELD, undefined))
    assert from_text(Reply, to_text(reply)).benefits == (TOLD, WITHHELD, undefined)


@pytest.mark.parametrize(
    ("damaged", "finding"),
    [
        ((TOLD, TOLD), "say the same thing twice"),
        ((replace(TOLD, cases=4),), "stands on more cases than both answered"),
        ((replace(TOLD, comparison=Comparison(5, 2.0, 0.1)),), r"difference is not a number in \[-1, 1\]"),
        ((replace(TOLD, comparison=Comparison(5, 0.5, -0.1)),), "standard_error is not a number"),
    ],
)
def test_what_cannot_be_is_refused_by_name(damaged: tuple[Benefit, ...], finding: str) -> None:
    with pytest.raises(PayloadError, match=finding):
        to_text(Reply(center="a", kind="evaluate", benefits=damaged))


def test_a_task_that_the_study_does_not_have_is_found() -> None:
    assert not list(benefit_findings([TOLD], frozenset({"dice"})))
    assert "task that the study does not have" in next(benefit_findings([TOLD], frozenset({"auc"})))
