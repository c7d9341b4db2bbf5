"""What a study cannot have beside summed scores is refused by name when its file is read."""

import tomllib

import pytest
from pydantic import ValidationError

from server.study.file import Study
from server.study.summed_score_findings import refuse_unfit_score_sums
from tests.support.study_text import NETWORK, centers_text, head_text, stage_text

STRATEGY = "[strategy]\ngate = { liars = 0 }\nrollback = false\n"
SUMMED = '[secure_aggregation]\nscores = "summed"\n'


def study(strategy: str = STRATEGY, *, secure: str = SUMMED, centers: str | None = None, names: str = "abc") -> Study:
    text = head_text("summed", "Sums alone") + NETWORK + secure + strategy + (centers or centers_text(names))
    return Study.model_validate(tomllib.loads(text + stage_text("adapt", names)))


def test_what_goes_together_is_read_and_travels_to_the_centers() -> None:
    found = study()
    assert found.settings.secure_aggregation is not None
    assert found.settings.secure_aggregation.scores == "summed"


def test_the_usual_study_is_asked_nothing() -> None:
    assert study("", secure="[secure_aggregation]\n").secure_aggregation is not None


def test_all_that_needs_single_scores_is_named() -> None:
    with pytest.raises(ValidationError) as found:
        study("")
    message = str(found.value)
    assert 'secure_aggregation.scores = "summed" shows no center\'s own score' in message
    assert "set rollback = false" in message
    assert "strategy.gate.liars is 0.333" in message


def test_a_study_without_a_gate_needs_no_voices() -> None:
    assert study("[strategy]\ngate = false\nrollback = false\n").strategy.gate is False


def test_two_evaluated_centers_are_too_few_for_rows_and_gate() -> None:
    with pytest.raises(ValidationError) as found:
        study(centers=centers_text("abc", {"c": "evaluated = false"}))
    message = str(found.value)
    assert "2 center(s) are evaluated, a sum needs 3" in message
    assert "the gate asks 2 center(s) about stage 'adapt'" in message


def test_more_shares_than_a_message_holds_are_refused() -> None:
    """Three settings of 16 figures are 48 rows; of 43 centers 2064, of 42 centers 2016."""
    figures = [f"figure{number}" for number in range(16)]
    for count, is_fit in ((42, True), (43, False)):
        names = [f"c{number}" for number in range(count)]
        text = head_text("summed", "Sums alone") + NETWORK + SUMMED + STRATEGY + centers_text(names)
        found = Study.model_validate(tomllib.loads(text + stage_text("adapt", names)))
        given = (found.secure_aggregation, found.centers, found.stages, found.strategy, figures)
        if is_fit:
            refuse_unfit_score_sums(*given)
        else:
            with pytest.raises(ValueError, match="48 rows of a sum over 43 centers"):
                refuse_unfit_score_sums(*given)
